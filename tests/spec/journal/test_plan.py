"""Recorded requests and an operator's wishes -> Plan."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from primectl.journal import plan
from primectl.journal.plan import Secret, Wishes
from primectl.journal.steps import Outgoing, Plan
from primectl.message import Headers
from primectl.wire.journal import Entry, Row


def an_entry(
    id: str = "0000000000001",  # noqa: A002
    time: float = 100.0,
    method: str = "GET",
    path: str = "/is_prime",
    query: str = "possible_prime=7",
    fields: Headers = (),
    body: bytes = b"",
    cut_of: int = 0,
    redacted: Sequence[str] = (),
) -> Entry:
    return Entry(
        row=Row(
            id=id,
            time=time,
            method=method,
            path=path,
            query=query,
            status=200,
            ms=1.0,
            cut=bool(cut_of),
            asked_size=cut_of or len(body),
        ),
        fields=fields,
        body=body,
        redacted=list(redacted),
    )


def gaps(times: Sequence[float], speed: float, rate: float, repeat: int) -> Sequence[float]:
    """As far apart as then; a repeat begins where the one before it ended."""
    if not times:
        return []
    span = times[-1] - times[0]
    return [turn * span + time - times[0] for turn in range(repeat) for time in times]


def made(*entries: Entry, **wishes: object) -> Plan:
    return plan.make(entries, Wishes(**wishes), gaps)


def why(*entries: Entry, **wishes: object) -> list[str]:
    """Of a plan that sends nothing."""
    found = made(*entries, **wishes)
    assert found.steps == ()
    return [each.why for each in found.skipped]


def test_requests_are_sent_in_the_order_of_their_times():
    found = made(an_entry("3", 103.0), an_entry("1", 101.0), an_entry("2", 101.5))
    assert [(step.number, step.entry.row.id, step.due_s) for step in found.steps] == [
        (0, "1", 0.0),
        (1, "2", 0.5),
        (2, "3", 2.0),
    ]
    assert found.seconds == 2.0


def test_a_repeat_sends_all_of_them_again_and_counts_on():
    found = made(an_entry("1", 1.0, body=b"abc"), an_entry("2", 2.0), repeat=2)
    assert [(step.number, step.entry.row.id, step.due_s) for step in found.steps] == [
        (0, "1", 0.0),
        (1, "2", 1.0),
        (2, "1", 1.0),
        (3, "2", 2.0),
    ]
    assert found.size == 6


def test_nothing_to_send_makes_an_empty_plan():
    assert made() == Plan()


def test_a_body_that_is_cut_is_skipped_and_says_where():
    assert why(an_entry(body=b"abc", cut_of=9)) == ["its body is cut at 3 of 9 bytes"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_a_method_that_may_change_something_is_skipped_unless_it_was_allowed(method: str):
    entry = an_entry("a", method=method)
    assert why(entry) == [f"{method} may change something"]
    assert why(entry, unsafe="ask") == [f"{method} may change something"]
    assert len(made(entry, unsafe="ask", allowed=frozenset("a")).steps) == 1
    assert len(made(entry, unsafe="send").steps) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_a_safe_method_needs_no_leave(method: str):
    assert len(made(an_entry(method=method)).steps) == 1


def test_fields_of_the_connection_of_then_are_not_sent_along():
    fields = (
        ("Host", "a"),
        ("Connection", "close"),
        ("Content-Length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
        ("X-Primectl-Replay", "12345678/1"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Accept", "*/*"),
        ("Accept", "text/html"),
    )
    (step,) = made(an_entry(fields=fields)).steps
    assert step.outgoing == Outgoing(
        "GET",
        "/is_prime?possible_prime=7",
        (("X-Forwarded-For", "10.0.0.1"), ("Accept", "*/*"), ("Accept", "text/html")),
    )


def test_a_field_that_is_set_takes_the_place_of_all_of_its_name_and_an_empty_one_takes_it_out():
    fields = (("accept", "*/*"), ("Accept", "text/html"), ("x-a", "1"), ("x-b", "2"))
    (step,) = made(an_entry(fields=fields), set_headers=(("Accept", "text/plain"), ("X-A", ""))).steps
    assert step.outgoing.fields == (("x-b", "2"), ("Accept", "text/plain"))


def test_an_edit_takes_the_place_of_the_request_and_a_cancelled_one_is_skipped():
    edited = Outgoing("GET", "/other")
    assert made(an_entry("a"), edits={"a": edited}).steps[0].outgoing == edited
    assert why(an_entry("a"), edits={"a": None}) == ["its edit was cancelled"]


def test_a_secret_does_not_show_itself():
    assert "hunter2" not in repr(Wishes(secrets=(Secret("authorization", "hunter2"),)))
