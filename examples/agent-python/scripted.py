"""Models that need no network. They follow a script, at the pace of the real call. The callee's
speech is recognized by its loudness only, and the agent's speech is a hum."""

import array
import math

from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, llm, stt, tts, utils

# CALLEE is the callee's part, one line for each HEARD_SECONDS of sound. AGENT has the agent's
# answers. After the last one the agent ends the call with GOODBYE. GREETING is for calls without a
# welcome message.
GREETING = "Hello."
CALLEE = ["Hello, who is it?", "Thank you, goodbye."]
AGENT = ["This is the scripted agent. I hum, and all I say is in the transcript."]
GOODBYE = "Goodbye!"

HEARD_SECONDS = 0.6
LOUD = 500  # of 32767; a frame with a larger root mean square is not silence
SAMPLE_RATE = 24000


class STT(stt.STT):
    """Recognizes the next line of CALLEE after each HEARD_SECONDS of sound."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))

    async def _recognize_impl(self, buffer, *, language=None, conn_options=None):
        raise NotImplementedError("speech is recognized from a stream only")

    def stream(self, *, language=None, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return Hearing(stt=self, conn_options=conn_options)


class Hearing(stt.RecognizeStream):
    async def _run(self) -> None:
        lines, heard = list(CALLEE), 0.0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame) or not lines:
                continue
            if loudness(frame) > LOUD:
                heard += frame.duration
            if heard < HEARD_SECONDS:
                continue
            heard = 0.0
            said = stt.SpeechData(language="en", text=lines.pop(0), confidence=1.0)
            for kind, words in (
                (stt.SpeechEventType.START_OF_SPEECH, []),
                (stt.SpeechEventType.FINAL_TRANSCRIPT, [said]),
                (stt.SpeechEventType.END_OF_SPEECH, []),
            ):
                self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=words))


def loudness(frame: rtc.AudioFrame) -> float:
    samples = array.array("h", bytes(frame.data))
    return math.sqrt(sum(s * s for s in samples) / max(len(samples), 1))


class LLM(llm.LLM):
    """Answers with the next line of AGENT. After the last line it calls the tool end_call."""

    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_):
        return Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class Answer(llm.LLMStream):
    async def _run(self) -> None:
        last = self._chat_ctx.items[-1]
        asked = sum(i.type == "message" and i.role == "user" for i in self._chat_ctx.items)
        if last.type == "function_call_output":
            delta = llm.ChoiceDelta(role="assistant", content=GOODBYE)
        elif asked <= len(AGENT):
            delta = llm.ChoiceDelta(role="assistant", content=([GREETING] + AGENT)[asked])
        else:
            call = llm.FunctionToolCall(
                name="end_call", arguments="{}", call_id=utils.shortuuid("tool_")
            )
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
        self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("answer_"), delta=delta))


class TTS(tts.TTS):
    """Hums for about as long as it takes to say the text, between 0.5 and 3 seconds."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
        )

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return Hum(tts=self, input_text=text, conn_options=conn_options)


class Hum(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid("hum_"),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
        )
        seconds = min(max(0.04 * len(self.input_text), 0.5), 3)
        output_emitter.push((HUM * 3)[: 2 * int(seconds * SAMPLE_RATE)])
        output_emitter.flush()


def hum() -> bytes:
    """A second of a voice at 210 Hz that breathes four times, in 16-bit samples."""
    rate = 2 * math.pi / SAMPLE_RATE
    return array.array("h", (
        int(8000 * math.sin(210 * rate * i) * abs(math.sin(2 * rate * i)))
        for i in range(SAMPLE_RATE)
    )).tobytes()


HUM = hum()
