"""What the platform tells an agent about its call: docs/agents.md lists the members."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

from livekit.agents import JobContext

# How long an inbound call's metadata is waited for. The caller hears ringing meanwhile.
PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Voice:
    language: str = ""  # BCP 47, such as en-NG
    voice_id: str = ""
    speed: float = 1.0


@dataclass(frozen=True)
class Instructions:
    """Every member may be missing: the defaults are those of a call that says nothing."""

    call_id: str = ""
    direction: str = "inbound"
    phone_number: str = ""  # whom the agent talks to
    from_number: str = ""
    system_prompt: str = ""
    welcome_message: str = ""
    voice: Voice = field(default_factory=Voice)
    metadata: dict[str, str] = field(default_factory=dict)
    transcript_url: str = ""
    call_token: str = field(default="", repr=False)


def parse(text: str) -> Instructions:
    """Members that are not known here are for other agents. ValueError if it is no JSON object."""
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
    """An outbound call's instructions come with the job; an inbound call's are the room's metadata,
    moments after the job began. The room must be connected."""
    if ctx.job.metadata:
        return parse(ctx.job.metadata)
    came = asyncio.Event()

    @ctx.room.on("room_metadata_changed")
    def changed(_old: str, _new: str) -> None:
        came.set()

    if not ctx.room.metadata:
        with contextlib.suppress(TimeoutError):  # the caller is answered all the same
            await asyncio.wait_for(came.wait(), PATIENCE_SECONDS)
    ctx.room.off("room_metadata_changed", changed)
    return parse(ctx.room.metadata)
