"""Places a call, waits for its end and prints what happened: the timeline, the transcript and the
summary. Needs KROS_URL and KROS_API_KEY in the environment. Ctrl-C hangs up."""

import argparse
import datetime
import os
import sys
import textwrap
import time
import uuid

import httpx

EXIT = """exit status:
  0  the call was answered and is completed
  1  the platform refused or could not be reached
  2  the command line or the environment is not right
  3  nobody was reached: busy, no_answer or canceled
  4  the call failed
"""
REACHED_NOBODY = ("busy", "no_answer", "canceled")

# Pauses between reads of the call, in seconds. Each is GROWTH times the one before, but never
# longer than LONGEST_PAUSE.
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.5, 5.0, 1.3

# How long to wait for a summary after the call's end, in seconds.
SUMMARY_PATIENCE = 90.0

# How many times a request is sent if the platform cannot be reached or is busy.
ATTEMPTS = 4


class Refused(Exception):
    """The platform refused a request, or could not be reached."""


class Platform:
    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30
        )

    def create(self, call: dict) -> str:
        """Places a call and returns its id. Because of the Idempotency-Key, the platform places one
        call even if the request is sent several times."""
        return self.send(
            "POST", "/outbound-calls/create", json=call, headers={"Idempotency-Key": str(uuid.uuid4())}
        )["call_id"]

    def hang_up(self, call_id: str) -> None:
        self.send("POST", f"/outbound-calls/{call_id}/hangup")

    def details(self, call_id: str) -> dict:
        return self.send(
            "GET",
            f"/outbound-calls/{call_id}/details",
            params={"include_transcript": "true", "include_summary": "true"},
        )

    def send(self, method: str, path: str, **options) -> dict:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self.http.request(method, path, **options)
            except httpx.TransportError as e:
                if attempt == ATTEMPTS:
                    raise Refused(f"{method} {path}: {e}") from e
            else:
                if answer.is_success:
                    return answer.json()
                if attempt == ATTEMPTS or not worth_repeating(answer):
                    raise Refused(f"{method} {path} answered {problem(answer)}")
            time.sleep(2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")


def worth_repeating(answer: httpx.Response) -> bool:
    """Reports whether to repeat the request: after a 503, or a 409 that says that the first request
    with this Idempotency-Key is still in progress. A 429 may require a wait of up to an hour."""
    return answer.status_code == 503 or code(answer) == "IDEMPOTENCY_IN_PROGRESS"


def code(answer: httpx.Response) -> str:
    if answer.headers.get("Content-Type") != "application/problem+json":
        return ""
    return answer.json().get("code", "")


def problem(answer: httpx.Response) -> str:
    """Returns the status and the content of an application/problem+json, in one line."""
    if not code(answer):
        return str(answer.status_code)
    said = answer.json()
    fields = "; ".join(f"{e['field']}: {e['detail']}" for e in said.get("errors", []))
    return f"{answer.status_code} {said['code']}: {fields or said.get('detail', '')}"


def wait(platform: Platform, call_id: str) -> dict:
    """Waits for the call's end and its summary, and prints each new status."""
    shown, pause, ended = "", FIRST_PAUSE, None
    while True:
        call = platform.details(call_id)
        if call["status"] != shown:
            shown, pause = call["status"], FIRST_PAUSE
            print(f"  {shown}", flush=True)
        if call["hangup_cause"]:
            ended = ended or time.monotonic()
            pending = call["summary"]["status"] == "pending"
            if not pending or time.monotonic() - ended > SUMMARY_PATIENCE:
                return call
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE)


def report(call: dict) -> None:
    print(f"\n{call['status']}, {call['hangup_cause']}, {call['duration_seconds']} s of talk")
    print("\nTimeline")
    created = moment(call["created_at"])
    for event in call["timeline"]:
        after = (moment(event["at"]) - created).total_seconds()
        print(f"  {after:8.2f} s  {event['event']:<10} {event.get('detail') or ''}".rstrip())
    print("\nTranscript")
    for turn in call["transcript"]:
        print(f"  {turn['role']:<7} {turn['content']}")
    if not call["transcript"]:
        print("  none")
    summary = call["summary"]
    print(f"\nSummary ({summary['status']}{', ' + summary['model'] if summary.get('model') else ''})")
    print(textwrap.indent(summary.get("text") or "none", "  "))


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def exit_status(call: dict) -> int:
    if call["status"] == "completed":
        return 0
    return 3 if call["status"] in REACHED_NOBODY else 4


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXIT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phone_number", help="the number to call, such as +14155550101")
    parser.add_argument("--prompt", help="what the agent is to do")
    parser.add_argument("--welcome", help="the first thing the agent says")
    parser.add_argument("--agent", help="the agent's name, if not the one the number is configured with")
    parser.add_argument("--from-id", help="the id of the number to call from, if you have several")
    parser.add_argument("--max-seconds", type=int, help="the longest the call may take once answered")
    args = parser.parse_args()
    for name in ("KROS_URL", "KROS_API_KEY"):
        if not os.environ.get(name):
            parser.error(f"{name} is not set; on a laptop: set -a; . .local/env; set +a")
    return args


def main() -> int:
    args = arguments()
    call = {
        "phone_number": args.phone_number,
        "system_prompt": args.prompt,
        "welcome_message": args.welcome,
        "agent_name": args.agent,
        "phone_number_id": args.from_id,
        "max_duration_seconds": args.max_seconds,
    }
    platform = Platform(os.environ["KROS_URL"], os.environ["KROS_API_KEY"])
    try:
        call_id = platform.create({name: value for name, value in call.items() if value is not None})
        print(f"{call_id} to {args.phone_number}", flush=True)
        try:
            ended = wait(platform, call_id)
        except KeyboardInterrupt:
            print("  hanging up", flush=True)
            platform.hang_up(call_id)
            ended = wait(platform, call_id)
    except Refused as e:
        print(f"call.py: {e}", file=sys.stderr)
        return 1
    report(ended)
    return exit_status(ended)


if __name__ == "__main__":
    sys.exit(main())
