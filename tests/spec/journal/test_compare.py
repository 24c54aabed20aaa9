"""Answers then and now: what counts as the same, and what is found to differ."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from primectl.errors import ConfigError
from primectl.journal import jsondiff
from primectl.journal.compare import TOLD, Difference, Kind, Result, Rules, compare, rules
from primectl.journal.jsondiff import Ignoring
from primectl.journal.sets import NOT_SAID, read_set
from primectl.journal.steps import Outcome
from primectl.message import Headers
from primectl.wire.journal import Entry, Row

JSON: Headers = (("content-type", "application/json"),)
TEXT: Headers = (("content-type", "text/plain"),)


def an_entry(
    body: bytes = b"7",
    fields: Headers = TEXT,
    status: int = 200,
    *,
    ms: float = 10.0,
    method: str = "GET",
    problem: str = "",
    cut: bool = False,
    size: int = 0,
    redacted: list[str] | None = None,
) -> Entry:
    row = Row(
        id="5-a",
        number=1,
        time=1000.0,
        method=method,
        path="/x",
        query="n=7",
        status=status,
        ms=ms,
        problem=problem,
        answer_cut=cut,
        size=size or len(body),
    )
    return Entry(row=row, answer_fields=fields, answer_body=body, redacted=redacted or [])


def an_outcome(
    body: bytes = b"7", fields: Headers = TEXT, status: int = 200, *, seconds: float = 0.01, error: str = ""
) -> Outcome:
    return Outcome(0, 0.0, 0.0, seconds, status, fields, body, error, "5-b" if status else "")


def told(result: Result) -> list[tuple[str, str | None, str | None]]:
    return [(found.what, found.before, found.after) for found in result.differences]


def json_told(old: bytes, new: bytes, how: Rules | None = None) -> list[tuple[str, str | None, str | None]]:
    return told(compare(an_entry(old, JSON), an_outcome(new, JSON), how or Rules()))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(leaf for key, item in inner for leaf in leaves(item, (*path, str(key))))]


def changed(value: Any, path: tuple[str, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: changed(item, path[1:], new) if key == path[0] else item for key, item in value.items()}
    return [changed(item, path[1:], new) if str(at) == path[0] else item for at, item in enumerate(value)]


@given(st.binary(max_size=60), st.sampled_from([JSON, TEXT, ()]), st.sampled_from([200, 204, 404, 500]))
def test_any_answer_is_the_same_as_itself(body: bytes, fields: Headers, status: int) -> None:
    result = compare(an_entry(body, fields, status), an_outcome(body, fields, status), Rules())
    assert (result.kind, result.differences) == (Kind.SAME, ())


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from([TEXT, ()]))
def test_any_change_of_a_body_that_is_no_json_is_found(old: bytes, new: bytes, fields: Headers) -> None:
    assume(old != new and b"{" not in (old[:1], new[:1]) and b"[" not in (old[:1], new[:1]))
    result = compare(an_entry(old, fields), an_outcome(new, fields), Rules())
    assert result.kind is Kind.CHANGED
    assert all(found.before != found.after for found in result.differences)


@given(values)
def test_json_is_the_same_in_any_order_of_its_keys_and_with_any_spaces(value: Any) -> None:
    def turned(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: turned(item[key]) for key in reversed(item)}
        return [turned(inner) for inner in item] if isinstance(item, list) else item

    assert json_told(json.dumps(value).encode(), json.dumps(turned(value), indent=1).encode()) == []


@given(values, st.data())
def test_a_change_at_any_place_of_json_is_found_there_unless_the_place_is_ignored(value: Any, data: Any) -> None:
    path = data.draw(st.sampled_from(leaves(value)))
    new = changed(value, path, "no value has so many letters")
    place = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)
    old_body, new_body = json.dumps(value).encode(), json.dumps(new).encode()
    assert [what for what, _, _ in json_told(old_body, new_body)] == [f"body {place}" if place else "body"]
    if place:
        assert json_told(old_body, new_body, rules([place])) == []
        anywhere = "/".join(["", *("*" for _ in path)])
        assert json_told(old_body, new_body, rules([anywhere])) == []


def test_json_differences_tell_where_and_what() -> None:
    old = b'{"a": 1, "b": [1, 2, {"c/d": null}], "gone": "x", "e": {"f": {"g": [1]}}}'
    new = b'{"b": [1, "2", {"c/d": false}, 4], "a": 1, "e": 5, "new": {"k": [1, 2, 3]}}'
    assert json_told(old, new) == [
        ("body /b/1", "2", '"2"'),
        ("body /b/2/c~1d", "null", "false"),
        ("body /b/3", None, "4"),
        ("body /gone", '"x"', None),
        ("body /e", '{"f":{"g":[…1]}}', "5"),
        ("body /new", None, '{"k":[1,2,3]}'),
    ]


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("1", "1.0", True),
        ("1", "true", False),
        ("0", "false", False),
        ("NaN", "NaN", True),
        ("NaN", "0.0", False),
        ("1e999", "Infinity", True),
        ("9007199254740993", "9007199254740992", False),
        ("9007199254740993", "9007199254740992.0", False),
        ("1" * 5000, "1" * 5000, True),
        ("1" * 5000, "1" * 4999 + "2", False),
        ("1" * 5000, f'"{"1" * 5000}"', False),
        ("1" * 3000, "1" * 2999 + "2", False),
        ("0.1", "0.10000000001", False),
    ],
)
def test_numbers_are_compared_exactly(old: str, new: str, same: bool) -> None:
    found = json_told(f"[{old}]".encode(), f"[ {new} ]".encode())
    assert (found == []) is same
    assert all(before != after for _, before, after in found)


def test_a_tolerance_is_for_figures_with_a_fraction_and_relative_or_absolute() -> None:
    how = rules([], 1e-6)
    assert json_told(b"[1.0, 1e9, 1e-9, 3]", b"[1.0000001, 1000000001.0, 0.0, 3.0000001]", how) == []
    assert json_told(b"[1.0, 3]", b"[1.1, 4]", how) == [("body /0", "1.0", "1.1"), ("body /1", "3", "4")]
    assert len(json_told(b"[1.0]", f"[{10**400}]".encode(), how)) == 1


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.sampled_from([0.0, 1e-9, 0.5]))
def test_two_floats_are_the_same_as_mathisclose_says(old: float, new: float, tolerance: float) -> None:
    found = list(jsondiff.differences(old, new, Ignoring(()), tolerance))
    assert (found == []) is math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)


def test_a_document_that_is_too_deep_to_read_is_compared_as_text() -> None:
    deep = b"[" * 100_000
    assert [what for what, _, _ in json_told(deep + b"1", deep + b"2")] == ["body line 1"]


def test_a_deep_document_is_compared_to_its_bottom() -> None:
    deep, end = b"[" * 400, b"]" * 400
    assert json_told(deep + b"1" + end, deep + b"2" + end) == [("body " + "/0" * 400, "1", "2")]


def test_half_a_surrogate_pair_is_told_as_text_that_can_be_written() -> None:
    [(_, before, after)] = json_told(rb'["\ud800"]', rb'["\udfff!"]')
    assert (before or "").encode()
    assert (after or "").encode()


def test_long_values_are_told_around_the_place_where_they_differ() -> None:
    [(_, before, after)] = json_told(b'["' + b"a" * 5000 + b'b"]', b'["' + b"a" * 5000 + b'c"]')
    assert before is not None
    assert after is not None
    assert len(before) <= jsondiff.SHOWN
    assert before.endswith('aab"')
    assert after.endswith('aac"')


def test_many_differences_are_told_up_to_a_bound_and_counted_beyond_it() -> None:
    old, new = json.dumps([0] * 300).encode(), json.dumps([1] * 300).encode()
    result = compare(an_entry(old, JSON), an_outcome(new, JSON), Rules())
    assert (len(result.differences), result.more) == (TOLD, 300 - TOLD)


def test_text_is_compared_by_lines() -> None:
    old, new = b"one\ntwo\nthree\nfour\n", b"one\n2\nthree\nfour\nfive\n"
    assert told(compare(an_entry(old), an_outcome(new), Rules())) == [
        ("body line 2", "two", "2"),
        ("body line 5", None, "five"),
    ]


def test_long_texts_are_compared_in_time() -> None:
    old, new = (b"".join(b"%d %d\n" % (at, at * by) for at in range(40_000)) for by in (1, 2))
    result = compare(an_entry(old), an_outcome(new), Rules())
    assert (len(result.differences), result.more) == (TOLD, 40_000 - 1 - TOLD)


def test_other_bytes_are_compared_by_size_and_hash() -> None:
    [(what, before, after)] = told(compare(an_entry(b"\xff\x00"), an_outcome(b"\xff\x00\x01"), Rules()))
    assert what == "body"
    assert before is not None
    assert after is not None
    assert before.startswith("2 bytes, blake2b ")
    assert after.startswith("3 bytes, blake2b ")


def test_header_fields_are_compared_in_any_order_and_case_but_repeated_ones_in_theirs() -> None:
    old = (("Content-Type", "text/plain"), ("x-a", "1"), ("X-B", "1"), ("x-b", "2"))
    new = (("x-b", "1"), ("x-b", "2"), ("x-a", " 1"), ("content-type", "text/plain"))
    assert told(compare(an_entry(fields=old), an_outcome(fields=new), Rules())) == []
    turned = (("x-b", "2"), ("x-b", "1"), ("x-c", "3"), ("content-type", "text/plain"))
    assert told(compare(an_entry(fields=old), an_outcome(fields=turned), Rules())) == [
        ("header x-a", "1", None),
        ("header x-b", "1, 2", "2, 1"),
        ("header x-c", None, "3"),
    ]


def test_what_belongs_to_the_moment_or_the_connection_is_not_compared_nor_what_is_to_be_ignored() -> None:
    new = (
        *TEXT,
        ("date", "now"),
        ("x-request-id", "5-b"),
        ("content-length", "1"),
        ("connection", "close"),
        ("x-t", "9"),
    )
    assert told(compare(an_entry(), an_outcome(fields=new), rules(["X-T"]))) == []
    assert told(compare(an_entry(), an_outcome(fields=new), Rules())) == [("header x-t", None, "9")]


def test_the_length_counts_where_there_is_no_body() -> None:
    old, new = (("content-length", "9"),), (("content-length", "8"),)
    head = an_entry(b"", old, method="HEAD")
    assert told(compare(head, an_outcome(b"", new), Rules())) == [("header content-length", "9", "8")]
    assert told(compare(an_entry(b"recorded", (), method="HEAD"), an_outcome(b"", new), Rules())) == []


def test_a_status_without_a_body_is_compared_without_one() -> None:
    assert compare(an_entry(b"made", (), 204), an_outcome(b"", (), 204), Rules()).kind is Kind.SAME
    assert told(compare(an_entry(b"made", (), 200), an_outcome(b"", (), 204), Rules()))[0] == ("status", "200", "204")


def test_the_request_id_in_a_problem_is_not_compared() -> None:
    fields = (("content-type", "application/problem+json"),)
    old, new = (b'{"detail": "%s", "request_id": "%s"}' % (detail, at) for detail, at in ((b"x", b"1"), (b"x", b"2")))
    assert told(compare(an_entry(old, fields, 500), an_outcome(new, fields, 500), Rules())) == []
    assert len(json_told(old, new)) == 1


def test_a_body_that_was_cut_is_compared_as_far_as_it_was_recorded_and_by_its_length() -> None:
    entry = an_entry("gr\u00fc\u00df".encode()[:3], cut=True, size=8)
    same = compare(entry, an_outcome("grün, ja".encode()[:3] + b"12345"), Rules())
    assert (same.kind, same.notes) == (
        Kind.SAME,
        ("the body is compared as far as it was recorded: 3 of 8 bytes",),
    )
    assert told(compare(entry, an_outcome(b"gr"), Rules()))[0] == ("body length", "8 bytes", "2 bytes")
    assert compare(entry, an_outcome(b"gRu45678"), Rules()).differences[0].what == "body line 1"


def test_what_was_redacted_is_not_compared_and_that_is_said() -> None:
    entry = an_entry(
        b'{"token": "redacted:3:0011223344556677", "n": 1}',
        (*JSON, ("set-cookie", "redacted:3:0011223344556677")),
        redacted=["header cookie", "answer header Set-Cookie", "answer body /token"],
    )
    result = compare(entry, an_outcome(b'{"token": "abc", "n": 2}', (*JSON, ("set-cookie", "a=b"))), Rules())
    assert told(result) == [("body /n", "1", "2")]
    assert result.notes == (
        "header Set-Cookie is redacted, not compared",
        "body /token is redacted, not compared",
    )


@pytest.mark.parametrize(
    ("before", "problem", "after", "kind", "new_error", "fixed"),
    [
        (200, "", 200, Kind.SAME, False, False),
        (200, "", 404, Kind.CHANGED, False, False),
        (200, "", 500, Kind.CHANGED, True, False),
        (404, "", 0, Kind.FAILED, True, False),
        (500, "", 0, Kind.FAILED, False, False),
        (502, "", 200, Kind.CHANGED, False, True),
        (500, "", 503, Kind.CHANGED, False, False),
        (0, "the client left", 200, Kind.CHANGED, False, True),
        (0, "the client left", 500, Kind.CHANGED, False, False),
        (0, "the client left", 0, Kind.FAILED, False, False),
        (NOT_SAID, "", 404, Kind.SAME, False, False),
        (NOT_SAID, "", 500, Kind.CHANGED, True, False),
        (NOT_SAID, "", 0, Kind.FAILED, True, False),
    ],
)
def test_what_is_an_error_then_and_now(
    before: int, problem: str, after: int, kind: Kind, new_error: bool, fixed: bool
) -> None:
    entry = an_entry(b"" if before == 0 else b"7", status=before, problem=problem)
    result = compare(entry, an_outcome(status=after, error="" if after else "refused"), Rules())
    assert (result.kind, result.new_error, result.fixed) == (kind, new_error, fixed)
    assert bool(result.differences) is (kind is Kind.CHANGED)
    assert bool(result.why) is (kind is Kind.FAILED)


def from_line(line: str) -> Entry:
    return next(read_set([line.encode()], "set.jsonl"))


def test_a_line_of_a_set_expects_what_it_says_and_no_more() -> None:
    nothing = compare(from_line('{"method": "GET", "target": "/x"}'), an_outcome(), Rules())
    assert (nothing.kind, nothing.status_before) == (Kind.SAME, 0)
    assert nothing.notes == ("nothing to compare: there is no answer of then",)
    status = from_line('{"method": "GET", "target": "/x", "answer": {"status": 200}}')
    assert compare(status, an_outcome(), Rules()).notes == ()
    assert told(compare(status, an_outcome(status=201), Rules())) == [("status", "200", "201")]
    body = from_line('{"method": "GET", "target": "/x", "answer": {"body": "7"}}')
    assert told(compare(body, an_outcome(), Rules())) == []
    assert told(compare(body, an_outcome(b"8"), Rules())) == [("body line 1", "7", "8")]
    fields = from_line('{"method": "GET", "target": "/x", "answer": {"headers": {"x-a": "1"}}}')
    assert told(compare(fields, an_outcome(fields=()), Rules())) == [("header x-a", "1", None)]


def test_a_recorded_answer_without_header_fields_gets_a_new_one_noticed() -> None:
    entry = an_entry(fields=())
    entry = structs.replace(entry, row=structs.replace(entry.row, number=5))
    assert told(compare(entry, an_outcome(), Rules())) == [("header content-type", None, "text/plain")]


@pytest.mark.parametrize(
    ("dead", "status", "redeems"), [(True, 200, True), (True, 399, True), (True, 404, False), (False, 200, False)]
)
def test_a_dead_letter_is_redeemed_by_an_answer_below_400(dead: bool, status: int, redeems: bool) -> None:
    entry = an_entry(status=502)
    entry = structs.replace(entry, row=structs.replace(entry.row, dead=dead))
    assert compare(entry, an_outcome(status=status), Rules()).redeems is redeems


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "slower"),
    [(10.0, 20.0, False), (10.0, 20.5, True), (1.0, 5.9, False), (1.0, 6.1, True), (10.0, 1.0, False)],
)
def test_slower_is_more_than_twice_the_time_and_some_milliseconds(
    before_ms: float, after_ms: float, slower: bool
) -> None:
    assert compare(an_entry(ms=before_ms), an_outcome(seconds=after_ms / 1e3), Rules()).slower is slower


@pytest.mark.parametrize("bad", ["", "two words", "a:b", "/a~2b", "/~"])
def test_what_cannot_be_ignored_is_refused_with_what_could_be(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"--ignore: .* Write "):
        rules([bad])


def test_a_difference_has_both_sides_as_text() -> None:
    found = compare(an_entry(), an_outcome(status=404), Rules()).differences
    assert found == (Difference("status", "200", "404"),)
