"""Runs state machines in moto's interpreter, in no time.

It reads one JSON object a line and answers each with one:
  {"definition": "...", "input": "...", "usual": {state: answer}, "script": {state: [answer, ...]}}
  {"status": ..., "output": ..., "error": ..., "cause": ..., "events": [...]} or {"refused": ...}

An answer is what becomes of one invocation of a state's function: {"says": value}, {"echo": true},
{"fails": error}, {"hangs": true}; or of its task token: {"denies": error}, {"silent": true}. A state
without an answer echoes. Waits, pauses between attempts and time-outs only move the clock that the
history is written by; jittered pauses are at their longest. What moto does while a token is waited
for is replaced, since it is made of threads that sleep.
"""

import datetime
import json
import logging
import sys
import threading
from types import SimpleNamespace

from moto.core import DEFAULT_ACCOUNT_ID
from moto.stepfunctions.parser.api import InvalidDefinition
from moto.stepfunctions.parser.asl.component.common.retry import jitter_strategy_decl, retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback,
    state_task_service_lambda,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackOutcomeFailure,
    CallbackOutcomeSuccess,
    HeartbeatTimedOut,
)
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

logging.disable(logging.CRITICAL)
token_answered = 60  # seconds after the function has returned
patience = 600  # seconds of real time for one execution


class Run:
    """What the execution under way knows of its functions and of the time."""

    def __init__(self, request):
        self.seconds = 0.0
        self.hanging = False
        self.script = request.get("script") or {}
        self.usual = request.get("usual") or {}

    def advance(self, seconds):
        self.seconds += seconds

    def answer(self, state):
        left = self.script.get(state)
        if left:
            return left.pop(0)
        return self.usual.get(state, {"echo": True})

    def hang(self):
        self.hanging = True
        threading.Event().wait()


class Ended(threading.Event):
    """Set when a task has ended. Its time-out comes as soon as the task hangs."""

    def wait(self, timeout=None):
        while not super().wait(0.001):
            if run.hanging:
                run.hanging = False
                run.advance(timeout)
                return False
        return True


run = None
local = threading.local()
service_task = state_task_service_lambda.StateTaskServiceLambda._eval_service_task


def evaluate(self, env, *arguments, **named):
    local.task, local.env = self, env
    return service_task(self, env, *arguments, **named)


def invoke(parameters, region, state_credentials):
    data = local.env.states.context_object.context_object_data
    answer = run.answer(data["State"]["Name"])
    if "fails" in answer:
        raise lambda_eval_utils.LambdaFunctionErrorException(
            "Unhandled", json.dumps({"errorMessage": "", "errorType": answer["fails"]}, separators=(",", ":")))
    if answer.get("hangs"):
        run.hang()
    payload = answer.get("says")
    if answer.get("echo"):
        payload = json.loads(parameters.get("Payload") or "{}")
    if local.task._is_integration_pattern():
        local.task.answered, payload = answer, None
    return {"ExecutedVersion": "$LATEST", "StatusCode": 200, "Payload": payload, "SdkHttpMetadata": {"HttpStatusCode": 200}}


def await_token(self, env, timeout_seconds, callback_endpoint, heartbeat_endpoint):
    answer = self.answered
    if answer.get("silent"):
        if heartbeat_endpoint and heartbeat_endpoint._heartbeat_seconds < timeout_seconds:
            run.advance(heartbeat_endpoint._heartbeat_seconds)
            return HeartbeatTimedOut()
        run.hang()
    run.advance(token_answered)
    if "denies" in answer:
        return CallbackOutcomeFailure(callback_endpoint.callback_id, answer["denies"], None)
    return CallbackOutcomeSuccess(callback_endpoint.callback_id, json.dumps(answer.get("says")))


def now():
    return datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=run.seconds)


state_task_service_lambda.StateTaskServiceLambda._eval_service_task = evaluate
state_task_service_callback.StateTaskServiceCallback._eval_wait_for_task_token = await_token
lambda_eval_utils._invoke_lambda_function = invoke
execute_state.threading = SimpleNamespace(Event=Ended)
retrier_decl.time = SimpleNamespace(sleep=lambda seconds: run.advance(seconds))
jitter_strategy_decl.random = SimpleNamespace(uniform=lambda _, longest: longest)
WaitFunction._wait_interval = lambda self, env, wait_seconds: run.advance(wait_seconds)
EventManager._get_current_timestamp = staticmethod(now)


def events_of(execution):
    for event in execution.to_history_output()["events"]:
        details = next((v for k, v in event.items() if k.endswith("Details")), None) or {}
        yield {"type": event["type"], "at": event["timestamp"], "name": details.get("name", ""), "error": details.get("error", "")}


def execute(number, request):
    global run
    run = Run(request)
    backend = StepFunctionsParserBackend("us-east-1", DEFAULT_ACCOUNT_ID)
    try:
        machine = backend.create_state_machine("m", request["definition"], f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/StepFunctions")
    except InvalidDefinition as error:
        return {"refused": str(error.message)}
    execution = backend.start_execution(machine.arn, f"x{number}", request["input"])
    ended = threading.Event()
    for _ in range(patience * 1000):
        if execution.status != "RUNNING":
            break
        ended.wait(0.001)
    output = execution.output
    if output is not None and not isinstance(output, str):
        output = json.dumps(output)
    return {"status": execution.status, "output": output, "error": execution.error, "cause": execution.cause,
            "events": list(events_of(execution))}


for number, text in enumerate(sys.stdin):
    print(json.dumps(execute(number, json.loads(text))), flush=True)
