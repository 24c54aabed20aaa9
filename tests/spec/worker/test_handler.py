"""Whatever a handler is, and whatever it does, becomes a response or a forward."""

from __future__ import annotations

import json
from typing import Any

import pytest

from primectl.message import Forward, HTTPError, Job, Response
from primectl.wire import frames
from primectl.wire.job import WireJob, first_job
from primectl.worker.handler import Handler, Outcome

HERE = __name__


def returns(value: Any, job: Job) -> Any:
    return {
        "text": "häuser",
        "bytes": b"\x00\xff",
        "dict": {"a": [1, None]},
        "huge": {"n": 10**30},
        "list": [1, 2],
        "response": Response(204),
        "forward": Forward("compute", 7),
        "none": None,
        "status": Response(99),
        "body": Response(200, (), "text"),  # type: ignore[arg-type]
        "field": Response(200, (("a", 1),)),  # type: ignore[arg-type]
    }[value]


def raises(value: str, job: Job) -> Response:
    raise {"http": HTTPError(404, "no such user", {"x-a": "b"}), "exit": SystemExit(3), "error": KeyError("x\ny")}[
        value
    ]


async def slowly(value: str, job: Job) -> str:
    return f"{value} at {job.worker}"


class Counter:
    def __init__(self) -> None:
        self.log: list[str] = []

    def start(self) -> None:
        self.log.append("start")

    def stop(self) -> None:
        self.log.append("stop")

    def __call__(self, value: str, job: Job) -> list[str]:
        return [*self.log, value]


counter = Counter()


def run(name: str, value: object) -> Outcome:
    handler = Handler(f"tests.spec.worker.test_handler:{name}")
    handler.start()
    kind, payload = frames.encode_payload(value)
    wire = WireJob(first_job(1, 1), "server.1", 1e9, kind, True, payload)
    outcome = handler.run(wire, Job(wire.id, "0001", "parse", "parse.1", 1, 1e9))
    handler.stop()
    return outcome


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        ("text", "text/plain; charset=utf-8", "häuser".encode()),
        ("bytes", "application/octet-stream", b"\x00\xff"),
        ("dict", "application/json", b'{"a":[1,null]}'),
        ("huge", "application/json", b'{"n":1000000000000000000000000000000}'),
        ("list", "application/json", b"[1,2]"),
    ],
)
def test_plain_values_become_answers_of_their_kind(value: str, content_type: str, body: bytes):
    assert run("returns", value) == Outcome(Response(200, (("content-type", content_type),), body))


def test_a_response_and_a_forward_pass_as_they_are():
    assert run("returns", "response") == Outcome(Response(204))
    assert run("returns", "forward") == Outcome(Forward("compute", 7))


@pytest.mark.parametrize("value", ["none", "status", "body", "field"])
def test_a_wrong_result_is_500_and_a_line_for_the_log(value: str):
    outcome = run("returns", value)
    assert isinstance(outcome.result, Response)
    assert (outcome.result.status, outcome.failed) == (500, True)
    assert "Error" in outcome.trouble


def test_an_http_error_is_the_answer_it_names_and_no_failure():
    outcome = run("raises", "http")
    assert isinstance(outcome.result, Response)
    assert (outcome.result.status, outcome.failed) == (404, False)
    assert json.loads(outcome.result.body)["detail"] == "no such user"
    assert ("x-a", "b") in outcome.result.fields


@pytest.mark.parametrize("value", ["exit", "error"])
def test_an_exception_is_500_and_its_traceback_is_not_for_the_client(value: str):
    outcome = run("raises", value)
    assert isinstance(outcome.result, Response)
    assert (outcome.result.status, outcome.failed) == (500, True)
    assert "Traceback" in outcome.trouble
    assert b"Traceback" not in outcome.result.body


def test_an_async_handler_is_awaited():
    assert run("slowly", "x").result == Response.text("x at parse.1")


def test_an_object_is_started_before_its_first_job_and_stopped_after_its_last():
    assert run("counter", "x").result == Response(200, (("content-type", "application/json"),), b'["start","x"]')
    assert counter.log == ["start", "stop"]


def test_a_payload_that_cannot_be_read_is_500():
    handler = Handler("tests.spec.worker.test_handler:slowly")
    handler.start()
    wire = WireJob(first_job(1, 1), "server.1", 1e9, 1, True, b"\xc1")
    assert handler.run(wire, Job(wire.id, "1", "parse", "parse.1", 1, 1e9)).failed
    handler.stop()
