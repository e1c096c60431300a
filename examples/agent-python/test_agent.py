"""Tests that need no call. local/e2e runs them, and a whole call. Run: python -m unittest."""

import unittest
from unittest import mock

from aiohttp import web
from aiohttp.test_utils import TestServer

import instructions
import transcript
from instructions import Instructions, Voice


class ParseTest(unittest.TestCase):
    def test_parse(self) -> None:
        for name, text, want in [
            ("nothing", "", Instructions()),
            ("an empty object", "{}", Instructions()),
            (
                "an inbound call",
                '{"call_id":"call_1","direction":"inbound","transcript_url":"http://a","call_token":"kct_x"}',
                Instructions(call_id="call_1", transcript_url="http://a", call_token="kct_x"),
            ),
            (
                "all there is, and more",
                '{"call_id":"call_1","direction":"outbound","phone_number":"+14155550100",'
                '"from_number":"+2348012345678","system_prompt":"Be kind.","welcome_message":"Hello.",'
                '"voice":{"language":"en-NG","voice_id":"ada","speed":1.5,"pitch":2},'
                '"metadata":{"order":"A-1001"},"transcript_url":"http://a","call_token":"kct_x","new":1}',
                Instructions(
                    "call_1", "outbound", "+14155550100", "+2348012345678", "Be kind.", "Hello.",
                    Voice("en-NG", "ada", 1.5), {"order": "A-1001"}, "http://a", "kct_x",
                ),
            ),
            ("nulls", '{"voice":null,"metadata":null}', Instructions()),
        ]:
            with self.subTest(name):
                self.assertEqual(instructions.parse(text), want)

    def test_not_an_object(self) -> None:
        for text in ("hello", "[1]", '"x"'):
            with self.subTest(text), self.assertRaises(ValueError):
                instructions.parse(text)

    def test_the_token_is_not_printed(self) -> None:
        self.assertNotIn("kct_x", repr(Instructions(call_token="kct_x")))


class TranscriptTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.posts: list[list[dict]] = []  # the turns of each request
        self.statuses: list[int] = []  # of the next answers, then 202; 0 closes the connection

        async def post(request: web.Request) -> web.Response:
            self.assertEqual(request.headers["Authorization"], "Bearer kct_x")
            self.posts.append((await request.json())["turns"])
            status = self.statuses.pop(0) if self.statuses else 202
            if status == 0:
                request.transport.close()
            return web.Response(status=status or 202)

        app = web.Application(client_max_size=64 * 1024)
        app.router.add_post("/transcript", post)
        self.server = TestServer(app)
        await self.server.start_server()
        self.addAsyncCleanup(self.server.close)
        self.url = str(self.server.make_url("/transcript"))
        patch = mock.patch.object(transcript, "FIRST_WAIT_SECONDS", 0.001)
        patch.start()
        self.addCleanup(patch.stop)

    def ids(self) -> list[list[str]]:
        return [[turn["turn_id"] for turn in post] for post in self.posts]

    async def test_turns_wait_for_an_address_and_go_together(self) -> None:
        t = transcript.Transcript()
        t.add("item_1", "agent", "Hello.", 1795382799.5)
        t.send_to("", "")
        t.send_to(self.url, "kct_x")
        t.send_to("http://elsewhere", "kct_y")
        t.add("item_2", "callee", "Who is it?", 1795382801)
        await t.finish()
        self.assertEqual(self.posts, [[
            {"turn_id": "item_1", "role": "agent", "content": "Hello.", "at": "2026-11-22T21:26:39.500Z"},
            {"turn_id": "item_2", "role": "callee", "content": "Who is it?", "at": "2026-11-22T21:26:41.000Z"},
        ]])

    async def test_turns_go_while_the_call_goes_on(self) -> None:
        with mock.patch.object(transcript, "GATHER_SECONDS", 0.01):
            t = transcript.Transcript()
            t.send_to(self.url, "kct_x")
            t.add("item_1", "agent", "Hello.", 0)
            while not self.posts:
                await transcript.asyncio.sleep(0.005)
            t.add("item_2", "callee", "Hello.", 0)
            await t.finish()
        self.assertEqual(self.ids(), [["item_1"], ["item_2"]])

    async def test_again_with_the_same_turns(self) -> None:
        for name, statuses, attempts in [
            ("busy", [429, 503, 500], 4),
            ("a lost connection", [0], 2),
            ("refused for good", [409], 1),
            ("never well", [503] * 9, transcript.ATTEMPTS),
        ]:
            with self.subTest(name):
                self.posts.clear()
                self.statuses[:] = statuses
                t = transcript.Transcript()
                t.send_to(self.url, "kct_x")
                t.add("item_1", "agent", "Hello.", 0)
                if name in ("refused for good", "never well"):
                    with self.assertLogs("transcript", "ERROR") as logs:
                        await t.finish()
                    self.assertIn("1 turns lost", logs.output[0])
                else:
                    with self.assertNoLogs("transcript", "ERROR"):
                        await t.finish()
                self.assertEqual(self.ids(), [["item_1"]] * attempts)

    async def test_batches_fit(self) -> None:
        t = transcript.Transcript()
        t.send_to(self.url, "kct_x")
        for i in range(25):
            t.add(f"short_{i}", "agent", "Hello.", 0)
        for i in range(4):
            t.add(f"long_{i}", "agent", "é" * 8_000, 0)
        await t.finish()
        self.assertEqual([len(post) for post in self.posts], [20, 8, 1])
        self.assertEqual(len(sum(self.ids(), [])), 29)

    async def test_only_what_the_api_takes(self) -> None:
        t = transcript.Transcript()
        t.send_to(self.url, "kct_x")
        t.add("item_1", "agent", " \x00\x1b \x7f", 0)
        t.add("item_2", "agent", "Line\n\ttwo\x07 – ẹ 😀", 0)
        t.add("item_3", "agent", "a" * 9000, 0)
        await t.finish()
        said = [turn["content"] for turn in self.posts[0]]
        self.assertEqual(said, ["Line\n\ttwo – ẹ 😀", "a" * 8000])

    async def test_nobody_said_where(self) -> None:
        t = transcript.Transcript()
        t.add("item_1", "agent", "Hello.", 0)
        with self.assertLogs("transcript", "ERROR") as logs:
            await t.finish()
        self.assertIn("1 turns lost", logs.output[0])


if __name__ == "__main__":
    unittest.main()
