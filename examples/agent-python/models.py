"""Selects the models that hear, think and speak. README.md lists the environment variables."""

import os

from livekit.agents import AgentSession, inference

import scripted
from instructions import Voice


def check() -> None:
    """Exits if a setting is missing or unknown. The worker then fails at its start, not in its
    first call."""
    if choice() not in SESSIONS:
        raise SystemExit(f"AGENT_MODELS is {choice()!r}; it may be {', '.join(SESSIONS)}")
    if choice() == "openai":
        if not os.environ.get("OPENAI_API_KEY"):
            raise SystemExit("OPENAI_API_KEY is not set (AGENT_MODELS=scripted needs no key)")
        import livekit.plugins.openai  # noqa: F401  takes a second, too long during a call


def choice() -> str:
    return os.environ.get("AGENT_MODELS", "openai")


def session(voice: Voice) -> AgentSession:
    return SESSIONS[choice()](voice)


def openai_session(voice: Voice) -> AgentSession:
    """OpenAI, or the service at OPENAI_BASE_URL, which must have the same API."""
    from livekit.plugins import openai

    language = primary(voice.language)
    return AgentSession(
        stt=openai.STT(
            model=os.environ.get("AGENT_STT", "gpt-4o-mini-transcribe"),
            language=language or "en",
            detect_language=not language,
        ),
        llm=openai.LLM(model=os.environ.get("AGENT_LLM", "gpt-4.1-mini")),
        tts=openai.TTS(
            model=os.environ.get("AGENT_TTS", "gpt-4o-mini-tts"),
            voice=voice.voice_id or os.environ.get("AGENT_VOICE", "ash"),
            speed=voice.speed,
        ),
        turn_handling=local_turns(),
        session_close_transcript_timeout=CLOSING_SECONDS,
    )


def livekit_session(voice: Voice) -> AgentSession:
    """LiveKit Inference, which comes with a LiveKit Cloud project and needs no further key."""
    language = primary(voice.language)
    tts = {"voice": voice.voice_id or os.environ.get("AGENT_VOICE", "")}
    if language:
        tts["language"] = language
    if voice.speed != 1:
        tts["extra_kwargs"] = {"speed": voice.speed}
    return AgentSession(
        stt=inference.STT(
            os.environ.get("AGENT_STT", "deepgram/nova-3"), language=language or "multi"
        ),
        llm=inference.LLM(os.environ.get("AGENT_LLM", "openai/gpt-4.1-mini")),
        tts=inference.TTS(
            os.environ.get("AGENT_TTS", "cartesia/sonic-3"),
            **{name: value for name, value in tts.items() if value},
        ),
        turn_handling=local_turns(),
        session_close_transcript_timeout=CLOSING_SECONDS,
    )


def scripted_session(_: Voice) -> AgentSession:
    """Models that follow a script, so that a call can be tested without a network or a key."""
    return AgentSession(
        stt=scripted.STT(),
        llm=scripted.LLM(),
        tts=scripted.TTS(),
        vad=None,
        turn_handling={
            "turn_detection": "stt",
            "endpointing": {"min_delay": 0.1, "max_delay": 0.1},
            "interruption": {"enabled": False},  # the carrier's callees hum and do not listen
            "preemptive_generation": {"enabled": False},
        },
        session_close_transcript_timeout=CLOSING_SECONDS,
    )


SESSIONS = {"openai": openai_session, "livekit": livekit_session, "scripted": scripted_session}

# After the agent's goodbye, the phone stays in the call this long for words that are still being
# recognized.
CLOSING_SECONDS = 0.5


def local_turns() -> dict:
    """Models that livekit-agents includes decide, on this machine, whose turn it is to speak."""
    return {
        "turn_detection": inference.TurnDetector(version="v1-mini"),
        "interruption": {"mode": "vad"},
    }


def primary(language: str) -> str:
    """Returns the primary language, en of en-NG. Speech providers know few regions."""
    return language.split("-")[0].lower()
