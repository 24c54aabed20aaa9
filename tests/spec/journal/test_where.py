"""The filter language: what compiles runs and means what it says; what does not is shown with its place."""

from __future__ import annotations

import operator
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.errors import ConfigError
from primectl.journal import where
from primectl.journal.entry import COLUMNS, CUT, IMPORTED, REDEEMED
from primectl.journal.where import DEEPEST, FIELDS, LONGEST, WORDS, Filter
from primectl.wire.journal import DEAD, STREAMED

DOCS = Path(__file__).parents[3] / "docs" / "journal.md"
ROW: dict[str, Any] = {
    "number": 1, "request": 0xABCDEF0051BB, "time": 1.0, "ms": 31.5, "status": 500, "flags": 0, "attempts": 1,
    "size": 100, "asked_size": 70_000, "method": "POST", "path": "/optimize", "query": "mode=car&x=1",
    "workers": "|parse.1|compute.3|", "worker": "compute.3", "pool": "parse", "server": "server.1",
    "client": "127.0.0.1:5", "problem": "no path", "replay_of": None, "replay_run": None, "block": 1, "place": 0,
}  # fmt: skip


def fitting(text: str, *rows: dict[str, Any]) -> list[int]:
    """The numbers of the rows that a filter lets through."""
    chosen = where.compile(text)
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE TABLE requests ({', '.join(COLUMNS)})")
    marks = ", ".join("?" * len(COLUMNS))
    db.executemany(f"INSERT INTO requests VALUES ({marks})", [tuple(row[name] for name in COLUMNS) for row in rows])
    found = db.execute(f"SELECT number FROM requests WHERE {chosen.sql} ORDER BY number", chosen.params).fetchall()
    db.close()
    return [number for (number,) in found]


def fits(text: str, **changed: Any) -> bool:
    return bool(fitting(text, {**ROW, **changed}))


# --- what it means ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "status>=500 and path~/opt and ms>20 and pool=compute",
        "status=5xx",
        "status=404,5xx",
        "status!=4xx,200",
        "ms>31 and ms<=31.5",
        "ms>30ms",
        "ms < 1.5s",
        "asked_size>64KiB",
        "size=100",
        "size<=100B",
        "method=post",
        "method=GET,POST",
        "method!=GET",
        "path=/optimize",
        "path!~/is_prime",
        "query~mode=car",
        "target=/optimize?mode=car&x=1",
        'target~"?mode"',
        "pool=parse",
        "pool!=render",
        "worker=compute.3",
        "worker=parse.1",
        "worker~parse",
        "worker!~render",
        "worker!=compute.1",
        "server=server.1",
        "client~127.0.0.1",
        "attempts=1",
        "problem~'no path'",
        "id=51bb",
        "id=51BB",
        "id=0abcdef0051bb",
        "id!=51bc",
        "id~def00",
        'run=""',
        "not dead",
        "replay=false",
        "replay!=true",
        "not not status=500",
        "dead or status=500 and not replay",
        "(dead or replay) or (status=500)",
        "",
        "   ",
    ],
)
def test_the_row_fits(text: str):
    assert fits(text)


@pytest.mark.parametrize(
    "text",
    [
        "status=4xx",
        "status!=500",
        "status!=404,500",
        "ms>31.5",
        "ms>1.5s",
        "asked_size>1MiB",
        "method=GET",
        "method!=GET,POST",
        "path=optimize",
        "path~OPT",
        "pool=comp",
        "pool=comput",
        "pool!=compute",
        "worker=compute",
        "worker=compute.30",
        "id=51bc",
        "dead",
        "redeemed",
        "replay",
        "cut",
        "streamed",
        "imported",
        "not status=500",
        "dead and status=500 or replay",
        "status=500 and (dead or replay)",
    ],
)
def test_the_row_does_not_fit(text: str):
    assert not fits(text)


@pytest.mark.parametrize(
    ("word", "flag"),
    [("dead", DEAD), ("redeemed", REDEEMED), ("cut", CUT), ("streamed", STREAMED), ("imported", IMPORTED)],
)
def test_a_word_is_true_of_the_rows_that_have_its_flag(word: str, flag: int):
    assert fits(word, flags=flag)
    assert fits(f"{word}=true and {word}!=false", flags=flag)
    assert not fits(f"{word}=false", flags=flag)
    assert not fits(word, flags=1023 - flag)


def test_replays_and_their_runs():
    replay = {"replay_of": 5, "replay_run": "0123abcd"}
    assert fits("replay and run=0123abcd", **replay)
    assert not fits("not replay", **replay)
    assert not fits('run=""', **replay)


def test_a_request_that_no_route_was_found_for_is_in_no_pool():
    nowhere = {"pool": "", "workers": "", "worker": "server.1"}
    assert fits('pool="" and worker=server.1', **nowhere)
    assert not fits("pool=parse or pool=compute", **nowhere)


def test_a_pool_that_had_no_worker_to_begin_it_is_on_its_way_too():
    assert fits("pool=compute", workers="|parse.1|compute|")


def test_values_are_not_sql():
    assert fits('path="x\'; DROP TABLE requests; --"', path="x'; DROP TABLE requests; --")
    assert not fits('path~"\' OR 1=1 --"')
    assert fits("path~100%_", path="/100%_")
    assert not fits("path~100%_", path="/100xx")


def test_quotes_keep_spaces_words_and_each_other():
    assert fits('problem="and"', problem="and")
    assert fits(r'problem="a \"b\" \\ c"', problem='a "b" \\ c')
    assert fits("problem='it is \"so\"'", problem='it is "so"')
    assert fits("(path~'(x)')", path="/(x)")


def test_it_tells_what_it_speaks_of():
    assert where.compile("status>=500 and (replay or not dead)").mentions == {"status", "replay", "dead"}
    assert where.compile("").mentions == frozenset()


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "place"),
    [
        ("status>= and path~/x", 'expected a value behind ">=". Give a number', 9),
        ("status>=", 'expected a value behind ">=". Give a number', 8),
        ("status>=abc", 'expected a number behind ">=". Give a number', 8),
        ("ms>long", 'expected a duration behind ">". Give milliseconds, or a number with ms, s, m, h or d', 3),
        ("size>9XB", 'expected a size behind ">". Give bytes, or a number with KiB, MiB, GiB, KB, MB or GB', 5),
        ("stats=500", 'there is no field "stats". Did you mean "status"?', 0),
        ("status=500 and Path=x", 'there is no field "Path". Did you mean "path"?', 15),
        ("status", 'expected an operator behind "status". It takes = != < <= > >=', 6),
        ("status~5", '"status" has no "~". It takes = != < <= > >=', 6),
        ("path>5", '"path" has no ">". It takes = != ~ !~', 4),
        ("dead>1", '"dead" takes = and !=, or stands alone', 4),
        ("dead=1", 'expected true or false behind "="', 5),
        ("(dead or cut", 'expected ")". Close what was opened', 12),
        ("dead)", 'there is no "(" that this closes. Take it away, or put it in quotes as "…)"', 4),
        ("dead cut", 'expected "and" or "or" before "cut". Put text with spaces into quotes', 5),
        ("dead and", "expected a field or a word, the filter ends here", 8),
        ("dead and or", 'expected a field or a word, got "or"', 9),
        ("5 = x", 'expected a field or a word, got "5"', 0),
        ("path='x", "this quote is not closed. Put the same one behind the value", 5),
        ("id=xyz", 'expected an id behind "=". Give the 13 hexadecimal digits of an X-Request-Id', 3),
        ("path~日本 cut", 'expected "and" or "or" before "cut"', 8),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_filter_and_a_caret_under_the_place(text: str, line: str, place: int):
    with pytest.raises(ConfigError) as caught:
        where.compile(text)
    told, shown, caret = str(caught.value).split("\n")
    assert told.startswith(f"--where: {line}")
    assert shown == f"  {text}"
    assert caret == " " * (2 + place + (2 if "日本" in text else 0)) + "^"
    assert caught.value.exit_code == 2


def test_a_place_is_found_in_a_text_with_line_ends_and_control_characters():
    with pytest.raises(ConfigError) as caught:
        where.compile("dead and\n\x1b[31m")
    assert str(caught.value).split("\n")[1:] == ["  dead and \N{REPLACEMENT CHARACTER}[31m", "           ^"]


def test_what_is_too_long_or_too_deep_is_refused():
    with pytest.raises(ConfigError, match=f"at most {LONGEST} characters"):
        where.compile("dead or " * 300 + "cut")
    with pytest.raises(ConfigError, match="deeper than"):
        where.compile("(" * (DEEPEST + 1) + "dead" + ")" * (DEEPEST + 1))
    assert fits("not " * (DEEPEST - 1) + "dead", flags=0)


def test_bytes_that_are_no_utf8_are_refused():
    with pytest.raises(ConfigError, match="UTF-8"):
        where.compile("path=a\udcff")


@pytest.mark.parametrize(
    "text", [" or ".join(["cut"] * 285), ",".join(["status=5xx"] + ["4xx"] * 497), f"method={'G,' * 990}G"]
)
def test_the_longest_filters_run(text: str):
    assert len(text) <= LONGEST
    fits(text)


# --- any text ---------------------------------------------------------------------------------------------------------

words = st.sampled_from([*FIELDS, *WORDS, "and", "or", "not", "(", ")", "=", "!=", "<", "<=", ">", ">=", "~", "!~"])
values = st.one_of(
    st.sampled_from(["5", "1.5s", "5xx", "64KiB", "true", '"', "'a b'", "/x", "51bb"]), st.text(max_size=5)
)
texts = st.one_of(st.text(max_size=40), st.lists(st.one_of(words, values), max_size=15).map(" ".join))


def compiled(text: str) -> Filter | str:
    """The filter, or what is said of the mistake."""
    try:
        return where.compile(text)
    except ConfigError as error:
        return str(error)


@given(texts)
def test_any_text_compiles_and_runs_or_is_a_mistake_with_its_place(text: str):
    chosen = compiled(text)
    if isinstance(chosen, str):
        assert re.fullmatch(r"--where: [^\n]+(\n  [^\n]*\n  *\^)?", chosen)
    else:
        assert fitting(text, ROW) in ([], [1])


# --- as Python has it -------------------------------------------------------------------------------------------------

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "~": lambda whole, part: part in whole, "!~": lambda whole, part: part not in whole,
}  # fmt: skip
FLAGS = {"dead": DEAD, "redeemed": REDEEMED, "cut": CUT, "streamed": STREAMED, "imported": IMPORTED}

Test = tuple[str, Callable[[dict[str, Any]], bool]]
"""A filter, and what it says of a row."""

texty = st.text(alphabet="ab/'\"\\ ()%_ä日", max_size=4)
rows = st.fixed_dictionaries(
    {
        "request": st.integers(0, (1 << 52) - 1) | st.integers(0, 20),
        "ms": st.integers(0, 40).map(lambda n: n / 4),
        "status": st.sampled_from([0, 200, 204, 404, 499, 500, 502]),
        "flags": st.integers(0, 511),
        "size": st.integers(0, 3),
        "method": st.sampled_from(["GET", "POST"]),
        "path": texty,
        "query": texty,
        "problem": texty,
        "workers": st.sampled_from(["", "|a.1|", "|a.1|b.2|", "|a.1|b|", "|b.1|"]),
        "worker": st.sampled_from(["server.1", "a.1", "b.2"]),
        "pool": st.sampled_from(["", "a", "b"]),
        "replay_run": st.none() | st.just("0123abcd"),
    }
).map(lambda changed: {**ROW, **changed})


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def number_test(field: str, sign: str, value: float) -> Test:
    return f"{field}{sign}{value:g}", lambda row: ORDER[sign](row[field], value)


def text_test(field: str, sign: str, value: str) -> Test:
    def holds(row: dict[str, Any]) -> bool:
        target = f"{row['path']}?{row['query']}" if row["query"] else row["path"]
        return ORDER[sign]({**row, "target": target, "run": row["replay_run"] or ""}[field], value)

    return f"{field} {sign} {quoted(value)}", holds


def pool_test(sign: str, pool: str) -> Test:
    def holds(row: dict[str, Any]) -> bool:
        passed = {hop.partition(".")[0] for hop in row["workers"].split("|")} - {""}
        return (pool in {row["pool"], *passed}) == (sign == "=")

    return f"pool{sign}{pool}", holds


def id_test(sign: str, digits: str) -> Test:
    tests = {"=": str.endswith, "~": str.__contains__}
    return f"id{sign}{digits}", lambda row: tests[sign[-1]](f"{row['request']:013x}", digits) == ("!" not in sign)


def class_test(sign: str, first: int) -> Test:
    return f"status{sign}{first}xx", lambda row: (row["status"] // 100 == first) == (sign == "=")


equal, ordered, textual = (
    st.sampled_from(["=", "!="]),
    st.sampled_from(list(ORDER)[:6]),
    st.sampled_from(["=", "!=", "~", "!~"]),
)
one_test = st.one_of(
    st.builds(number_test, st.sampled_from(["ms", "status", "size"]), ordered, st.sampled_from([0, 1, 2.25, 200, 500])),
    st.builds(text_test, st.sampled_from(["path", "query", "target", "problem", "run"]), textual, texty),
    st.builds(pool_test, equal, st.sampled_from(["a", "b", "c"])),
    st.builds(id_test, textual, st.sampled_from(["0", "5", "00", "0a", "10"])),
    st.builds(class_test, equal, st.sampled_from([2, 4, 5])),
    st.sampled_from([*FLAGS]).map(lambda word: (word, lambda row: bool(row["flags"] & FLAGS[word]))),
    st.just(("replay", lambda row: row["replay_run"] is not None)),
)


def joined(left: Test, word: str, right: Test) -> Test:
    both = {"and": lambda a, b: a and b, "or": lambda a, b: a or b}[word]
    return f"({left[0]}) {word} ({right[0]})", lambda row: both(left[1](row), right[1](row))


def bare(left: Test, middle: Test, right: Test) -> Test:
    """`and` binds more than `or`."""
    return (
        f"{left[0]} or {middle[0]} and not {right[0]}",
        lambda row: left[1](row) or (middle[1](row) and not right[1](row)),
    )


tests = st.recursive(
    one_test | st.builds(bare, one_test, one_test, one_test),
    lambda inner: (
        st.builds(joined, inner, st.sampled_from(["and", "or"]), inner)
        | inner.map(lambda test: (f"not ({test[0]})", lambda row: not test[1](row)))
    ),
    max_leaves=6,
)


@given(tests, st.lists(rows, min_size=1, max_size=5))
def test_a_filter_lets_through_what_the_same_test_in_python_does(test: Test, some: list[dict[str, Any]]):
    text, holds = test
    numbered = [{**row, "number": number} for number, row in enumerate(some)]
    assert fitting(text, *numbered) == [row["number"] for row in numbered if holds(row)]


# --- the manual -------------------------------------------------------------------------------------------------------


def test_the_manual_has_every_field_with_its_operators_and_every_word():
    section = DOCS.read_text().partition("## The filter language")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", section, re.MULTILINE))
    fields = {name: " ".join(f"`{sign}`" for sign in field.operators) for name, field in FIELDS.items()}
    assert told == {**fields, **dict.fromkeys(WORDS, "a word")}
