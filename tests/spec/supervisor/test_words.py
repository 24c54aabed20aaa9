"""Causes of an end, and requests of the control API, in words."""

import pytest
from msgspec import Raw

from primectl.wire import frames
from primectl.wire.control import EventsQuery, Kill, Killed, LogsQuery, Refusal, Request, Scale, Stop, Stopped
from primectl.wire.journal import EntryQuery, RequestsQuery
from supervisor import api
from supervisor.causes import cause_of, in_words


@pytest.mark.parametrize(
    ("status", "tail", "cause"),
    [
        (None, (), "ended, nobody saw how"),
        (-9, ("whatever",), "killed by SIGKILL"),
        (-64, (), "killed by SIGRTMAX"),
        (-99, (), "killed by signal 99"),
        (3, (), "exit status 3"),
        (1, ("Traceback", "ValueError: no", ""), "exit status 1: ValueError: no"),
        (1, ("2026-01-01T00:00:00.000Z INFO all is well",), "exit status 1"),
        (1, ("2026-01-01T00:00:00.000Z ERROR broken",), "exit status 1: 2026-01-01T00:00:00.000Z ERROR broken"),
        (1, ("  | ValueError: no", "  | "), "exit status 1: ValueError: no"),
        (1, ("Traceback", "MemoryError"), "exit status 1: out of memory: MemoryError"),
        (1, ("  | MemoryError: 8 GiB", "the worker ends"), "exit status 1: out of memory: the worker ends"),
        (-6, ("MemoryError", "Fatal Python error: Aborted"), "killed by SIGABRT: out of memory"),
        (1, ("MemoryError", *"12345"), "exit status 1: 5"),
        (1, ("it said MemoryError",), "exit status 1: it said MemoryError"),
    ],
)
def test_a_cause_is_one_line(status, tail, cause):
    assert cause_of(status, tail) == cause


def test_a_kill_of_the_kernel_for_want_of_memory_is_told_as_that():
    assert cause_of(-9, ("whatever",), oom=True) == "killed by SIGKILL: out of memory"


def test_a_cause_is_bounded():
    assert len(cause_of(1, ("x" * 10_000,))) < 250


def test_orders_end_in_words():
    assert in_words(Killed("compute", ["a", "b"], ["a", "b"], ["b"], 3, 0.1)) == (
        "killed",
        "compute",
        "KILL acknowledged by 2 of 2, 1 by SIGKILL; they held 3 jobs",
    )
    assert in_words(Stopped("test", 5, 1, 6, ["w.1"], 0.1))[2] == "stopped: 5 requests finished, 1 cancelled, 1 killed"


@pytest.mark.parametrize(
    ("method", "path", "body", "read"),
    [
        ("GET", "/cluster", None, api.ClusterQuery()),
        ("GET", "/events", None, EventsQuery()),
        ("GET", "/logs", LogsQuery("compute", 5), LogsQuery("compute", 5)),
        ("POST", "/scale", Scale("compute", "+1"), Scale("compute", "+1")),
        ("GET", "/requests", None, RequestsQuery()),
        ("GET", "/requests", RequestsQuery("x" * 500, since=1.9e9), RequestsQuery("x" * 500, since=1.9e9)),
        ("GET", "/requests/entry", EntryQuery("beef"), EntryQuery("beef")),
        ("POST", "/stop", None, Stop()),
    ],
)
def test_a_request_is_a_question_or_an_order(method, path, body, read):
    assert api.read(Request(1, method, path, frames.raw(body))) == read


@pytest.mark.parametrize(
    ("method", "path", "body", "refused"),
    [
        (
            "GET",
            "/clustre",
            b"\xc0",
            api.Refused(404, Refusal('there is no "GET /clustre"', "", 'Did you mean "GET /cluster"?')),
        ),
        ("POST", "/kill", b"\xc0", api.Refused(400, Refusal("the body is missing", "POST /kill", "Give target"))),
        (
            "POST",
            "/kill",
            bytes(frames.raw(Kill("all", grace_s=-1.0))),
            api.Refused(400, Refusal("grace_s: expected seconds from 0 to 604800, got -1.0", "POST /kill")),
        ),
        (
            "POST",
            "/kill",
            bytes(frames.raw(Kill("x" * 500))),
            api.Refused(400, Refusal("target is 500 characters long", "POST /kill")),
        ),
        (
            "GET",
            "/requests",
            bytes(frames.raw(RequestsQuery(after=-1))),
            api.Refused(400, Refusal("after: expected a number that is not negative, got -1", "GET /requests")),
        ),
        (
            "GET",
            "/requests",
            bytes(frames.raw(RequestsQuery(until=float("nan")))),
            api.Refused(400, Refusal("until: expected seconds from 0 to 253402300799, got nan", "GET /requests")),
        ),
        (
            "GET",
            "/requests/entry",
            b"\xc0",
            api.Refused(400, Refusal("the body is missing", "GET /requests/entry", "Give id")),
        ),
    ],
)
def test_any_other_request_is_refused_in_words(method, path, body, refused):
    assert api.read(Request(1, method, path, Raw(body))) == refused


def test_the_operators_name_is_fit_for_a_log():
    assert api.operator(Request(1, "GET", "/", operator="al\nice\x1b" + "x" * 100)) == "al?ice?" + "x" * 57
