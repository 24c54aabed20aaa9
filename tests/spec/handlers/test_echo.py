"""The sample `echo`: what it says back, and its knobs."""

import json
from typing import Any

import pytest

from primectl.handlers.echo import echo
from primectl.message import Forward, HTTPError, Job, Request, Response


def ask(job: Job, query: str = "") -> Response:
    answer = echo(Request("GET", f"/echo{query}"), job)
    assert isinstance(answer, Response)
    return answer


def body(answer: Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_it_says_back_what_it_was_asked(job: Job) -> None:
    request = Request(
        "PUT", "/echo/a%20b?x=1&y=%C3%A9", (("Host", "h"), ("X-A", "1"), ("x-a", "2")), b"caf\xe9", "127.0.0.1:5"
    )
    answer = echo(request, job)
    assert isinstance(answer, Response)
    assert (answer.status, body(answer)) == (
        200,
        {
            "method": "PUT",
            "target": "/echo/a%20b?x=1&y=%C3%A9",
            "path": "/echo/a b",
            "path_params": {},
            "query": {"x": "1", "y": "é"},
            "headers": {"host": "h", "x-a": "1, 2"},
            "body": "caf\N{REPLACEMENT CHARACTER}",
            "client": "127.0.0.1:5",
            "version": "1.1",
            "request_id": "0000000000001",
            "pool": "work",
            "worker": "work.1",
            "attempt": 1,
        },
    )


def test_the_status_can_be_asked_for(job: Job) -> None:
    assert ask(job, "?status=503").status == 503


@pytest.mark.parametrize("length", [0, 1, 15, 16, 1000])
def test_so_many_bytes_can_be_asked_for(job: Job, length: int) -> None:
    answer = ask(job, f"?bytes={length}&status=201")
    assert (len(answer.body), answer.status) == (length, 201)


def test_it_is_forwarded_to_itself_as_often_as_asked_and_answers_the_first_request(job: Job) -> None:
    first = ask(job, "?x=1")
    step: Response | Forward = echo(Request("GET", "/echo?x=1&hops=2&status=202"), job)
    for left in (1, 0):
        assert isinstance(step, Forward)
        assert (step.pool, step.payload["left"]) == ("work", left)
        step = echo(step.payload, job)
    assert isinstance(step, Response)
    assert step.status == 202
    assert body(step) == {
        **body(first),
        "target": "/echo?x=1&hops=2&status=202",
        "query": {"x": "1", "hops": "2", "status": "202"},
    }


def test_it_fails_when_asked_to(job: Job) -> None:
    with pytest.raises(RuntimeError, match=r"asked to fail by '/echo\?fail=1'"):
        ask(job, "?fail=1")


def test_a_sleep_ends_when_nobody_waits_any_more(job: Job) -> None:
    job.cancelled = True
    assert ask(job, "?sleep=60").status == 200


def test_a_short_sleep_is_slept(job: Job) -> None:
    assert ask(job, "?sleep=0.001").status == 200


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("?status=199", "status: expected a whole number from 200 to 599"),
        ("?status=600", "status: expected a whole number from 200 to 599"),
        ("?status=abc", "status: expected a whole number from 200 to 599"),
        ("?bytes=16777217", "bytes: expected a whole number from 0 to 16777216"),
        ("?bytes=-1", "bytes: expected a whole number from 0 to 16777216"),
        ("?hops=5001", "hops: expected a whole number from 0 to 5000"),
        ("?hops=", "hops: expected a whole number from 0 to 5000"),
        ("?sleep=61", "sleep: expected seconds from 0 to 60"),
        ("?sleep=-1", "sleep: expected seconds from 0 to 60"),
        ("?sleep=nan", "sleep: expected seconds from 0 to 60"),
        ("?sleep=long", "sleep: expected seconds from 0 to 60"),
    ],
)
def test_a_knob_turned_too_far_is_refused(job: Job, query: str, problem: str) -> None:
    with pytest.raises(HTTPError) as caught:
        ask(job, query)
    assert (caught.value.status, caught.value.detail) == (400, problem)
