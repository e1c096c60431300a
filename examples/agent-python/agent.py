"""An agent for the calls of KrosAI Telephony: a LiveKit agent worker. README.md says how to run it,
docs/agents.md what it has to do."""

import asyncio
import math
import os

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentServer,
    ChatMessage,
    CloseEvent,
    CloseReason,
    ConversationItemAddedEvent,
    JobContext,
    room_io,
)
from livekit.agents.beta.tools import EndCallTool

import instructions
import models
from transcript import Transcript

PROMPT = "You are a friendly assistant on the phone. Speak in short sentences and without formatting."

ROLES = {"assistant": "agent", "user": "callee"}

# LiveKit gives no further call to a worker that talks in this many at once.
MOST_CALLS = int(os.environ.get("AGENT_MOST_CALLS", "10"))

# LiveKit passes over a worker with this load (target_load of LiveKit's configuration).
FULL = 0.7

models.check()

server = AgentServer(
    num_idle_processes=1,  # a phone must not wait for Python to start
    load_fnc=lambda worker: FULL * len(worker.active_jobs) / MOST_CALLS,
    # With a finite threshold, an idle worker would refuse the second of two simultaneous calls.
    load_threshold=math.inf,
    shutdown_process_timeout=60,  # the last turns of a transcript may need several attempts
    host=os.environ.get("HEALTH_HOST", "127.0.0.1"),
    port=int(os.environ.get("HEALTH_PORT", "0")),
)


# Without a name LiveKit would give the worker every room.
@server.rtc_session(agent_name=os.environ.get("LIVEKIT_AGENT_NAME") or "python-agent")
async def talk(ctx: JobContext) -> None:
    """Handles one call, from the creation of its room to its end."""
    transcript = Transcript()
    ctx.add_shutdown_callback(transcript.finish)
    await ctx.connect()
    told = await instructions.read(ctx)
    transcript.send_to(told.transcript_url, told.call_token)

    @ctx.room.on("room_metadata_changed")
    def told_late(_old: str, new: str) -> None:
        late = instructions.parse(new)
        transcript.send_to(late.transcript_url, late.call_token)

    session = models.session(told.voice)

    @session.on("conversation_item_added")
    def said(event: ConversationItemAddedEvent) -> None:
        item = event.item
        if isinstance(item, ChatMessage) and item.role in ROLES and item.text_content:
            transcript.add(item.id, ROLES[item.role], item.text_content, item.created_at)

    @session.on("close")
    def over(event: CloseEvent) -> None:
        if event.reason != CloseReason.PARTICIPANT_DISCONNECTED and ctx.room.isconnected():
            hung_up = ctx.delete_room()  # hangs up the phone
            ctx.add_shutdown_callback(lambda: hung_up)
        ctx.shutdown(event.reason.value)

    # session.start publishes the agent's voice, and LiveKit then answers an inbound call. The agent
    # hears nothing before set_audio_enabled(True).
    session.input.set_audio_enabled(False)
    agent = Agent(
        instructions=told.system_prompt or PROMPT,
        tools=[EndCallTool(delete_room=False, end_instructions="Say goodbye in a few words.")],
    )
    await session.start(agent, room=ctx.room, room_options=telephone(), record=False)
    if not await on_the_line(ctx.room):
        return
    session.input.set_audio_enabled(True)
    if told.welcome_message:
        session.say(told.welcome_message)
    else:
        session.generate_reply(instructions="Greet the person and offer your help.")


def telephone() -> room_io.RoomOptions:
    voice = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    # PCMU, the only codec in rooms of the laptop platform, needs this bitrate. Opus needs less.
    voice.audio_encoding.max_bitrate = 64_000
    return room_io.RoomOptions(
        audio_output=room_io.AudioOutputOptions(track_publish_options=voice),
        text_input=False,
    )


async def on_the_line(room: rtc.Room) -> bool:
    """Waits until the phone has been answered. Returns False if the call is over before that."""
    answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def look(*_: object) -> None:
        for p in room.remote_participants.values():
            if (
                p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_SIP
                and p.attributes.get("sip.callStatus") == "active"
                and not answered.done()
            ):
                answered.set_result(True)

    def gone(*_: object) -> None:
        if not answered.done():
            answered.set_result(False)

    room.on("participant_connected", look)
    room.on("participant_attributes_changed", look)
    room.on("disconnected", gone)
    look()
    return await answered
