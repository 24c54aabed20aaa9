"""Recorded requests and an operator's wishes -> Plan."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from primectl.errors import ConfigError
from primectl.journal import plan
from primectl.journal.plan import Secret, Wishes
from primectl.journal.steps import Outgoing, Plan
from primectl.message import Headers
from primectl.wire.journal import Entry, Row

TOKEN = "redacted:7:0123456789abcdef"


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


def made(*entries: Entry, **wishes: object) -> Plan:
    return plan.make(entries, Wishes(**wishes))


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
    assert why(an_entry("a"), edits={"a": Outgoing("DELETE", "/")}) == ["DELETE may change something"]


def test_an_edit_that_changed_nothing_mends_no_body_that_is_cut():
    entry = an_entry("a", body=b"abc", cut_of=9)
    assert why(entry, edits={"a": plan.bare(entry)}) == ["its body is cut at 3 of 9 bytes"]
    assert len(made(entry, edits={"a": Outgoing("GET", "/", body=b"abcdefghi")}).steps) == 1


@pytest.mark.parametrize(
    ("method", "path", "fields", "says"),
    [
        ("", "", (), "it was no HTTP request"),
        ("GE T", "/", (), 'its method "GE T" cannot be sent'),
        ("CONNECT", "/", (), 'its method "CONNECT" cannot be sent'),
        ("GET", "", (), 'its target "" is no path'),
        ("GET", "http://elsewhere/", (), 'its target "http://elsewhere/" is no path'),
        ("GET", "*", (), 'its target "*" is no path'),
        ("GET", "/a b", (), 'its target "/a b" is no path'),
        ("GET", "/", (("a b", "c"),), 'its header field "a b" cannot be sent'),
        ("GET", "/", (("a", "b\r\nc: d"),), 'its header field "a" cannot be sent'),
    ],
)
def test_what_is_no_request_that_can_be_sent_is_skipped_and_says_why(
    method: str, path: str, fields: Headers, says: str
):
    assert why(an_entry(method=method, path=path, query="", fields=fields), unsafe="send") == [says]


def test_the_asterisk_is_for_options():
    assert made(an_entry(method="OPTIONS", path="*", query="")).steps[0].outgoing.target == "*"


def test_a_redacted_field_is_left_out_and_a_redacted_key_skips_the_request_unless_secrets_give_them():
    entry = an_entry(query=f"token={TOKEN}", fields=(("cookie", TOKEN),))
    assert why(entry) == ["its query token was redacted and no secret gives it"]
    (step,) = made(entry, secrets=(Secret("token", "x"),)).steps
    assert step.outgoing == Outgoing("GET", "/is_prime?token=x")


def test_a_secret_does_not_show_itself():
    assert "hunter2" not in repr(Wishes(secrets=(Secret("authorization", "hunter2"),)))


def test_secrets_without_a_place_are_named_also_of_what_is_skipped():
    entries = (an_entry(query=f"token={TOKEN}"), an_entry(fields=(("cookie", TOKEN),)))
    wishes = Wishes(secrets=(Secret("cookie", "x"), Secret("tokn", "x")), repeat=3)
    assert plan.unused_secrets(plan.make(entries, wishes), wishes) == ["tokn"]


def test_a_plan_is_summed_up_by_method_and_by_why_requests_are_skipped():
    found = made(
        an_entry("1", 1.0, method="HEAD"),
        an_entry("2", 2.0, body=b"abc"),
        an_entry("3", 3.0),
        an_entry("4", 4.0, method="POST"),
        an_entry("5", 5.0, body=b"abc", cut_of=9),
        an_entry("6", 6.0, body=b"abc", cut_of=10),
        repeat=2,
    )
    assert plan.summary(found) == plan.Summary(
        count=6,
        bytes=6,
        seconds=4.0,
        skipped=3,
        methods={"GET": 4, "HEAD": 2},
        reasons={"its body is cut": 2, "POST may change something": 1},
    )


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("X-A: b", ("X-A", "b")),
        ("X-A:b:c", ("X-A", "b:c")),
        ("X-A:", ("X-A", "")),
        ("x: é", ("x", "\xc3\xa9")),
    ],
)
def test_a_header_is_given_by_name_and_value(text: str, pair: tuple[str, str]):
    assert plan.parse_header(text) == pair


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("X-A", 'expected "Name: value", got "X-A". With an empty value, "Name:", the field is taken out'),
        (": b", 'expected "Name: value", got ": b"'),
        ("X A: b", 'expected "Name: value", got "X A: b"'),
        ("X-A: b\r\nc: d", "the value of X-A has a line break. Give it in one line"),
        ("Host: there", "Host is made anew for each request, it cannot be set"),
    ],
)
def test_a_header_that_cannot_be_set_is_refused(text: str, says: str):
    with pytest.raises(ConfigError) as caught:
        plan.parse_header(text)
    assert str(caught.value).startswith(f"--set-header: {says}")
