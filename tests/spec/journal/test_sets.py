"""Saved sets: an entry as a JSON object, and back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primectl.errors import ConfigError
from primectl.journal.sets import NOT_SAID, from_json, read_set, time_text, to_json, to_line
from primectl.message import Headers
from primectl.wire.journal import Entry, HopTimes, Row

latin1 = st.text(st.characters(max_codepoint=255), max_size=8)
ids = st.integers(0, (1 << 52) - 1).map(lambda number: f"{number:013x}")
headers: st.SearchStrategy[Headers] = st.lists(st.tuples(latin1, latin1), max_size=4).map(tuple)
milliseconds = st.integers(0, 4_102_444_800_000).map(lambda ms: ms / 1000)
words = st.text(max_size=8)
hops = st.builds(HopTimes, pool=words, worker=words, queued_ms=st.floats(0, 9), served_ms=st.floats(0, 9))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    body, answer_body = draw(st.binary(max_size=20)), draw(st.binary(max_size=20))
    cut, answer_cut = draw(st.booleans()), draw(st.booleans())
    row = Row(
        id=draw(ids),
        number=draw(st.integers(0, 1 << 60)),
        time=draw(milliseconds),
        method=draw(words),
        path=draw(words.filter(lambda text: "?" not in text)),
        query=draw(words),
        status=draw(st.sampled_from([NOT_SAID, 0, 200, 503])),
        ms=draw(st.floats(0, 1e6)),
        pool=draw(words),
        worker=draw(words),
        server=draw(words),
        client=draw(words),
        attempts=draw(st.integers(1, 9)),
        size=len(answer_body) + (draw(st.integers(0, 9)) if answer_cut else 0),
        asked_size=len(body) + (draw(st.integers(0, 9)) if cut else 0),
        problem=draw(words),
        hops=draw(st.lists(hops, max_size=2)),
        cut=cut,
        answer_cut=answer_cut,
        dead=draw(st.booleans()),
        redeemed=draw(st.booleans()),
        streamed=draw(st.booleans()),
        imported=draw(st.booleans()),
        replay_of=draw(st.just("") | ids),
        replay_run=draw(words),
    )
    return Entry(
        row=row,
        version=draw(words),
        scheme=draw(words),
        fields=draw(headers),
        body=body,
        answer_fields=draw(headers),
        answer_body=answer_body,
        redacted=draw(st.lists(words, max_size=2)),
    )


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine it says nothing
@given(entries())
def test_what_is_written_is_read_again(entry: Entry):
    assert from_json(msgspec.json.decode(msgspec.json.encode(to_json(entry)))) == entry


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine it says nothing
@given(st.lists(entries(), max_size=3))
def test_a_set_has_one_object_a_line(some: list[Entry]):
    lines = b"".join(map(to_line, some)).splitlines(keepends=True)
    assert len(lines) == len(some)
    assert list(read_set(lines, "set.jsonl")) == some


def test_an_object_says_its_time_in_milliseconds_and_its_bodies_as_text_where_they_are():
    row = Row(id="0000000000abc", time=1_767_225_600.1234, method="POST", path="/a", query="b=1", status=200, ms=1.5)
    told = to_json(Entry(row=row, fields=(("host", "x"),), body=b"\xff", answer_body="é".encode()))
    assert told["time"] == "2026-01-01T00:00:00.123Z"
    assert told["target"] == "/a?b=1"
    assert told["request"] == {
        "version": "1.1",
        "scheme": "http",
        "headers": (("host", "x"),),
        "body": "/w==",
        "body_encoding": "base64",
    }
    assert told["answer"] == {"status": 200, "headers": (), "body": "é", "body_encoding": "utf-8"}


def test_a_time_that_rounds_up_reaches_the_next_second():
    assert time_text(1.9996) == "1970-01-01T00:00:02.000Z"


def test_a_line_written_by_hand_needs_a_method_and_a_target_only():
    (entry,) = read_set([b'{"method": "GET", "target": "/is_prime?possible_prime=7"}'], "set.jsonl")
    assert entry.row == Row(
        id="0000000000001",
        time=0.0,
        method="GET",
        path="/is_prime",
        query="possible_prime=7",
        status=NOT_SAID,
        ms=0.0,
        answer_cut=True,
    )
    assert entry.target == "/is_prime?possible_prime=7"


def test_a_line_written_by_hand_may_say_a_part_of_the_answer():
    whole, status, body = read_set(
        [
            b'{"method": "GET", "target": "/", "answer": {"status": 200, "headers": {"a": "b"}, "body": "7"}}',
            b'{"method": "GET", "target": "/", "answer": {"status": 404}}',
            b'{"method": "GET", "target": "/", "answer": {"body": ""}}',
        ],
        "set.jsonl",
    )
    assert (whole.row.status, whole.row.answer_cut, whole.answer_fields, whole.answer_body) == (
        200,
        False,
        (("a", "b"),),
        b"7",
    )
    assert (status.row.status, status.row.answer_cut) == (404, True)
    assert (body.row.status, body.row.answer_cut) == (NOT_SAID, False)


def test_what_people_edit_counts_more_than_what_is_there_to_be_read():
    line = {
        "method": "GET",
        "path": "/old",
        "query": "x",
        "target": "/new?y",
        "status": 200,
        "size": 99,
        "answer": {"status": 404, "body": "no"},
    }
    entry = from_json(line)
    assert (entry.target, entry.row.status, entry.row.size) == ("/new?y", 404, 2)


def test_empty_lines_and_comments_are_passed_over_and_still_counted():
    lines = [b"# primes\n", b"\n", b'{"method": "GET", "target": "/", "comment": "the root"}\n']
    assert [entry.row.id for entry in read_set(lines, "set.jsonl")] == ["0000000000003"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not a JSON object: Input data was truncated. A set has one object a line"),
        (b'{"target": "\xff"}', "not a JSON object: 'utf-8' codec can't decode byte 0xff"),
        (b"[]", "expected an object, got a list"),
        (b'{"target": "/"}', 'the key "method" is missing'),
        (b'{"method": "GET"}', 'the key "target" is missing. It is the path with its query, such as /a?b=c'),
        (b'{"methd": "GET"}', 'unknown key "methd". Did you mean "method"?'),
        (b'{"method": 1}', "method: expected a text, got a whole number"),
        (
            b'{"method": "GET", "target": "/", "answer": {"stauts": 200}}',
            'answer: unknown key "stauts". Did you mean "status"?',
        ),
        (
            b'{"method": "GET", "target": "/", "answer": {"status": "200"}}',
            "answer.status: expected a whole number or null, got a text",
        ),
        (
            b'{"method": "GET", "target": "/", "request": {"headers": 3}}',
            "request.headers: expected an object or a list, got a whole number",
        ),
        (
            '{"method": "GET", "target": "/", "request": {"headers": {"a": "☃"}}}'.encode(),
            'request.headers: the field "a" has a character that is not in Latin-1',
        ),
        (
            b'{"method": "GET", "target": "/", "request": {"body": "!", "body_encoding": "base64"}}',
            "request: body: not base64: Only base64 data is allowed",
        ),
        (
            b'{"method": "GET", "target": "/", "time": "yesterday"}',
            'time: expected a time such as 2026-01-31T12:00:00.123Z, got "yesterday"',
        ),
        (b'{"method": "GET", "target": "/", "time": -1}', "time: expected a time such as"),
        (
            b'{"method": "GET", "target": "/", "id": "login"}',
            'id: expected an X-Request-Id of 1 to 13 hexadecimal digits in lower case, got "login"',
        ),
    ],
)
def test_a_line_that_is_wrong_is_named_with_what_is_wrong(line: bytes, says: str):
    lines = read_set([b'{"method": "GET", "target": "/"}', line], "set.jsonl")
    next(lines)
    with pytest.raises(ConfigError) as caught:
        next(lines)
    assert str(caught.value).startswith(f"set.jsonl:2: {says}")
    assert "\n" not in str(caught.value)
