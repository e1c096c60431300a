"""The instructions that the platform gives an agent for a call. docs/agents.md lists them."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

from livekit.agents import JobContext

# How long to wait for the metadata of an inbound call. The caller hears ringing meanwhile.
PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Voice:
    language: str = ""  # BCP 47, such as en-NG
    voice_id: str = ""
    speed: float = 1.0


@dataclass(frozen=True)
class Instructions:
    """Every member may be missing. It then has its default value."""

    call_id: str = ""
    direction: str = "inbound"
    phone_number: str = ""  # of the person that the agent talks to
    from_number: str = ""
    system_prompt: str = ""
    welcome_message: str = ""
    voice: Voice = field(default_factory=Voice)
    metadata: dict[str, str] = field(default_factory=dict)
    transcript_url: str = ""
    call_token: str = field(default="", repr=False)


def parse(text: str) -> Instructions:
    """Parses a JSON object, and ignores members that this agent does not know. Empty text is an
    empty object. Raises ValueError if text is anything else."""
    told = json.loads(text or "{}")
    if not isinstance(told, dict):
        raise ValueError("dispatch metadata is not a JSON object")
    known = {name: told[name] for name in Instructions.__dataclass_fields__ if told.get(name)}
    voice = known.pop("voice", {})
    return Instructions(
        voice=Voice(**{name: voice[name] for name in Voice.__dataclass_fields__ if voice.get(name)}),
        **known,
    )


async def read(ctx: JobContext) -> Instructions:
    """Reads the instructions. An outbound call's come with the job. An inbound call's are the
    metadata of the room, set moments after the job begins. The room must be connected."""
    if ctx.job.metadata:
        return parse(ctx.job.metadata)
    came = asyncio.Event()

    @ctx.room.on("room_metadata_changed")
    def changed(_old: str, _new: str) -> None:
        came.set()

    if not ctx.room.metadata:
        with contextlib.suppress(TimeoutError):  # the caller is answered anyway
            await asyncio.wait_for(came.wait(), PATIENCE_SECONDS)
    ctx.room.off("room_metadata_changed", changed)
    return parse(ctx.room.metadata)
