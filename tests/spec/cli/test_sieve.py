"""Which lines of a log are shown: by time and by text."""

from __future__ import annotations

import re

import pytest

from primectl.cli.loglines import merged
from primectl.cli.sieve import Sieve
from primectl.cli.since import since, stamp
from primectl.errors import ConfigError

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z

LOG = """\
a print of before
2026-01-01T12:00:00.000Z INFO ready
printed one
printed two
2026-01-01T12:00:01.000Z ERROR request 7 failed
  | Traceback (most recent call last):
  | ValueError: bad number
2026-01-01T12:00:02.000Z INFO going on
Traceback (most recent call last):
  File "handler.py", line 1
KeyError: 'printed'
after the traceback""".splitlines()


def sifted(after: str = "", grep: str | None = None) -> list[str]:
    sieve = Sieve(after, None if grep is None else re.compile(grep))
    return [text for line in LOG for text in sieve(line)]


def test_without_a_wish_all_is_shown() -> None:
    assert sifted() == LOG


def test_what_was_written_before_a_time_is_left_out_with_all_that_belongs_to_it() -> None:
    assert sifted("2026-01-01T12:00:01.000Z") == [LOG[0], *LOG[4:]]
    assert sifted("2026-01-01T12:00:00.500Z") == [LOG[0], *LOG[4:]]
    assert sifted("2026-01-01T12:00:03.000Z") == LOG[:1]


def test_a_line_that_no_entry_dates_is_shown() -> None:
    sieve = Sieve("2026-01-01T12:00:01.000Z")
    assert sieve("printed") == ["printed"]


def test_an_entry_whose_first_line_has_the_text_is_shown_whole() -> None:
    assert sifted(grep="request 7") == LOG[4:7]
    assert sifted(grep="ready") == LOG[1:4]


def test_a_text_in_a_traceback_brings_all_of_its_entry() -> None:
    assert sifted(grep="ValueError") == LOG[4:7]


def test_a_traceback_that_was_printed_is_one_piece() -> None:
    assert sifted(grep="KeyError") == LOG[8:11]


def test_of_prints_each_is_a_piece() -> None:
    assert sifted(grep="printed one") == ["printed one"]
    assert sifted(grep="after the") == ["after the traceback"]


def test_both_wishes_hold() -> None:
    assert sifted("2026-01-01T12:00:01.000Z", "printed") == LOG[8:11]


def test_a_piece_without_end_is_not_kept_without_end() -> None:
    sieve = Sieve("", re.compile("found"))
    assert sum(len(sieve(f" {number}")) for number in range(10_000)) == 0
    assert len(sieve(" found")) <= 201


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("5m", NOON - 300),
        ("1.5h", NOON - 5400),
        ("2026-01-01T11:00:00Z", NOON - 3600),
        ("2026-01-01T13:00:00.250+02:00", NOON - 3599.75),
        ("2026-01-01 11:00:00Z", NOON - 3600),
    ],
)
def test_a_time_ago_or_a_time(text: str, meant: float) -> None:
    assert since(text, NOON) == pytest.approx(meant)


@pytest.mark.parametrize("text", ["", "yesterday", "5", "12:60", "-5m", "2026-13-01"])
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        since(text, NOON)
    assert str(caught.value) == (
        f'--since: expected a time ago such as 5m, or a time such as 2026-01-01T12:00:00Z, got "{text}"'
    )
    assert caught.value.exit_code == 2


def test_times_are_compared_as_logs_write_them() -> None:
    assert stamp(NOON + 0.25) == "2026-01-01T12:00:00.250Z"


def test_logs_are_merged_as_they_are_read() -> None:
    read: list[str] = []

    def log(name: str, *seconds: int):
        for second in seconds:
            read.append(f"{name}{second}")
            yield f"2026-01-01T12:00:{second:02}.000Z INFO {name}{second}"

    lines = merged({"a": log("a", 1, 4, 5), "b": log("b", 2, 3)})
    assert [next(lines).text.split()[-1] for _ in range(3)] == ["a1", "b2", "b3"]
    assert "a5" not in read
