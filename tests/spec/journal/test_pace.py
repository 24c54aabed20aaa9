"""When steps are due."""

from __future__ import annotations

from itertools import pairwise
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.errors import ConfigError
from primectl.journal.pace import MAX, due_times, parse_speed

TIMES = st.lists(st.floats(0, 2e9), max_size=40)
SPEEDS = st.floats(0.01, 1000) | st.just(MAX)
RATES = st.just(0.0) | st.floats(0.1, 1e5)
REPEATS = st.integers(1, 4)


def test_requests_are_due_as_far_apart_as_they_came():
    assert due_times([100.0, 100.5, 103.0]) == [0.0, 0.5, 3.0]


def test_twice_the_speed_takes_half_the_time():
    assert due_times([100.0, 100.5, 103.0], speed=2) == [0.0, 0.25, 1.5]


def test_what_was_recorded_out_of_order_is_due_in_order():
    assert due_times([103.0, 100.0, 100.5]) == [0.0, 0.5, 3.0]


def test_at_the_highest_speed_everything_is_due_at_once():
    assert due_times([100.0, 200.0, 300.0], speed=MAX, repeat=2) == [0.0] * 6


def test_a_repeat_is_the_whole_again_after_its_length():
    assert due_times([10.0, 11.0, 14.0], repeat=3) == [0.0, 1.0, 4.0, 4.0, 5.0, 8.0, 8.0, 9.0, 12.0]


def test_a_rate_delays_what_comes_too_fast_and_leaves_the_rest_where_it_was():
    assert due_times([0.0, 0.1, 0.2, 5.0, 5.1], rate=2) == [0.0, 0.5, 1.0, 5.0, 5.5]


def test_a_rate_at_the_highest_speed_spreads_evenly_without_drift():
    due = due_times([0.0] * 100_000, speed=MAX, rate=3)
    assert due[99_999] == 33_333.0


def test_nothing_is_never_due():
    assert due_times([], rate=5, repeat=3) == []


@given(TIMES, SPEEDS, RATES, REPEATS)
def test_none_is_dropped_none_is_before_the_one_before_it_and_none_beyond_the_rate(
    times: list[float], speed: float, rate: float, repeat: int
):
    due = due_times(times, speed, rate, repeat)
    assert len(due) == len(times) * repeat
    assert due[:1] in ([], [0.0])
    for before, after in pairwise(due):
        assert after - before >= (1 / rate - 1e-9 * max(1.0, after) if rate else 0.0)


@given(TIMES, SPEEDS, RATES, REPEATS)
def test_a_rate_never_makes_anything_due_earlier(times: list[float], speed: float, rate: float, repeat: int):
    limited = due_times(times, speed, rate, repeat)
    free = due_times(times, speed, 0.0, repeat)
    assert all(late >= early for late, early in zip(limited, free, strict=True))


@pytest.mark.parametrize("pace", [{"speed": 0.0}, {"speed": -1.0}, {"speed": nan}, {"rate": -1.0}, {"repeat": 0}])
def test_a_pace_that_is_none_is_refused(pace: dict[str, float]):
    with pytest.raises(ValueError, match="no pace"):
        due_times([1.0], **pace)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "speed"), [("1", 1.0), ("2x", 2.0), ("0.5", 0.5), (".5x", 0.5), ("max", inf)])
def test_a_speed_is_a_factor_or_max(text: str, speed: float):
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["0", "0.0x", "-1", "fast", "", "1e9", "nan", "inf", "x", "2 x"])
def test_another_speed_is_refused_in_one_line(text: str):
    with pytest.raises(ConfigError, match=r'^--speed: expected "max" or a factor above 0, got "[^\n]*"\. 1 is as fast'):
        parse_speed(text)
