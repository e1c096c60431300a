"""Posts the transcript of a call to the platform, in small batches, during the call."""

import asyncio
import contextlib
import datetime
import json
import logging
import re

import aiohttp

log = logging.getLogger("transcript")

# The most turns and bytes that a post has. The API accepts 64 KiB.
MOST_TURNS = 20
MOST_BYTES = 48 * 1024

# The API accepts texts of at most this many characters, without control characters other than tab
# and line ends.
MOST_CHARACTERS = 8000
CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x80-\U0010ffff]")

# Turns within this time after a turn are posted with it.
GATHER_SECONDS = 1.0

# How many times a post is attempted. The waits in between begin with FIRST_WAIT_SECONDS and double.
ATTEMPTS = 6
FIRST_WAIT_SECONDS = 0.5


class Transcript:
    """The turns of one call, in order. add may be called before send_to: turns wait until their
    destination is known."""

    def __init__(self) -> None:
        self._turns: list[dict[str, str]] = []
        self._url = self._token = ""
        self._more = asyncio.Event()  # set when there is something to do
        self._over = asyncio.Event()  # set when no more turns come
        self._task = asyncio.create_task(self._run())

    def send_to(self, url: str, token: str) -> None:
        """Sets the destination of the turns and the call token. Later calls change nothing."""
        if url and token and not self._url:
            self._url, self._token = url, token
            self._more.set()

    def add(self, turn_id: str, role: str, content: str, at: float) -> None:
        """Adds a turn. role is "agent" or "callee"; at is Unix time. The platform knows a turn by
        its id, so a repeated post changes nothing. Content that is too long is cut."""
        content = CONTROL.sub("", content).strip()[:MOST_CHARACTERS]
        if not content:
            return
        time = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
        self._turns.append({
            "turn_id": turn_id,
            "role": role,
            "content": content,
            "at": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        })
        self._more.set()

    async def finish(self) -> None:
        """Returns when every turn has been posted or given up."""
        self._over.set()
        self._more.set()
        await self._task
        if self._turns:
            log.error("%d turns lost: nobody said where they go", len(self._turns))

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            last = False
            while not last:
                await self._more.wait()
                self._more.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), GATHER_SECONDS)
                last = self._over.is_set()
                while self._url and self._turns:
                    batch = self._batch()
                    await self._post(http, batch)
                    del self._turns[: len(batch)]

    def _batch(self) -> list[dict[str, str]]:
        size, batch = 0, []
        for turn in self._turns[:MOST_TURNS]:
            size += len(encode(turn)) + 1
            if batch and size > MOST_BYTES:
                break
            batch.append(turn)
        return batch

    async def _post(self, http: aiohttp.ClientSession, turns: list[dict[str, str]]) -> None:
        """Posts turns. Retries after a lost connection, 429 and 5xx. Other answers are final."""
        body, wait = encode({"turns": turns}), FIRST_WAIT_SECONDS
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with http.post(self._url, data=body, headers=headers) as answer:
                    if answer.status < 300:
                        return
                    problem = f"the platform answered {answer.status}"
                    again = answer.status == 429 or answer.status >= 500
            except (aiohttp.ClientError, TimeoutError) as e:
                problem, again = repr(e), True
            if not again or attempt == ATTEMPTS:
                log.error("%d turns lost after %d attempts: %s", len(turns), attempt, problem)
                return
            await asyncio.sleep(wait)
            wait *= 2


def encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")
