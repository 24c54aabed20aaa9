"""Durations and sizes: what they may look like, and that reading undoes showing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.config.units import (
    DURATION_PATTERN,
    LARGEST_SIZE,
    LONGEST_DURATION_S,
    SIZE_PATTERN,
    parse_duration,
    parse_size,
    show_duration,
    show_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("30s", 30.0),
        ("5m", 300.0),
        ("24h", 86_400.0),
        ("7d", 604_800.0),
        ("1.5h", 5400.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512B", 512),
        ("64KiB", 65_536),
        ("10MiB", 10_485_760),
        ("1GiB", 1 << 30),
        ("2TiB", 1 << 41),
        ("10KB", 10_000),
        ("3MB", 3_000_000),
        ("1.5KiB", 1536),
        ("0.3B", 0),
    ],
)
def test_a_size_is_a_number_with_its_unit_and_a_fraction_of_a_byte_is_left_out(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "-1s", "+1s", "30 s", " 30s", "30s\n", "1e3s", "inf", "nan", "1h30m", "30S", "٣s", "1_0s", ".5s"],
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "10", "MiB", "-1B", "10 MiB", "10mib", "10M", "10Mb", "1e3B", "0x10B", "30s"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_size(text)


def test_what_no_timer_and_no_counter_could_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a hundred years"):
        parse_duration("36501d")
    with pytest.raises(ValueError, match="more than 63 bits"):
        parse_size("8388608TiB")
    with pytest.raises(ValueError, match="no number with a unit"):
        parse_size("9" * 5000 + "B")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1, "100ms"),
        (30.0, "30s"),
        (75.0, "75s"),
        (60.0, "1m"),
        (86_400.0, "24h"),
        (604_800.0, "7d"),
        (1.5, "1.5s"),
        (0.0, "0s"),
    ],
)
def test_a_duration_is_shown_as_a_person_would_write_it(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (512, "512B"),
        (65_536, "64KiB"),
        (10 << 20, "10MiB"),
        (1 << 40, "1TiB"),
        (10_000, "10KB"),
        (1025, "1025B"),
    ],
)
def test_a_size_is_shown_as_a_person_would_write_it(size: int, text: str) -> None:
    assert show_size(size) == text


@given(st.floats(min_value=0, max_value=LONGEST_DURATION_S).filter(lambda seconds: seconds == 0 or seconds > 1e-9))
def test_reading_a_duration_undoes_showing_it(seconds: float) -> None:
    text = show_duration(seconds)
    assert re.fullmatch(DURATION_PATTERN, text)
    assert parse_duration(text) == seconds


@given(st.integers(min_value=0, max_value=LARGEST_SIZE))
def test_reading_a_size_undoes_showing_it(size: int) -> None:
    text = show_size(size)
    assert re.fullmatch(SIZE_PATTERN, text)
    assert parse_size(text) == size


@given(st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,6})?(ms|s|m|h|d)", fullmatch=True))
def test_what_an_editor_takes_for_a_duration_is_one(text: str) -> None:
    assert re.fullmatch(DURATION_PATTERN, text)
    assert 0 <= parse_duration(text) <= LONGEST_DURATION_S


@given(st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,6})?(B|[KMGT]iB|[KMGT]B)", fullmatch=True))
def test_what_an_editor_takes_for_a_size_is_one(text: str) -> None:
    assert re.fullmatch(SIZE_PATTERN, text)
    assert 0 <= parse_size(text) <= LARGEST_SIZE
