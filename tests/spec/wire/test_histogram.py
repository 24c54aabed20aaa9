"""Percentiles from counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.wire.histogram import Histogram, add, difference, percentile_s


def counted(*durations_s: float) -> list[int]:
    histogram = Histogram()
    for duration in durations_s:
        histogram.add(duration)
    return histogram.to_list()


@given(st.floats(1e-5, 900.0))
def test_a_percentile_is_within_five_percent_of_the_duration(duration_s: float):
    assert percentile_s(counted(duration_s), 0.5) == pytest.approx(duration_s, rel=0.05)


def test_percentiles_split_the_durations():
    counts = counted(*([0.001] * 98), 1.0, 1.0)
    assert percentile_s(counts, 0.5) == pytest.approx(0.001, rel=0.05)
    assert percentile_s(counts, 0.99) == pytest.approx(1.0, rel=0.05)


def test_nothing_counted_is_zero():
    assert percentile_s([], 0.5) == 0.0


def test_the_smallest_and_the_longest_durations_have_a_bucket():
    assert percentile_s(counted(0.0), 0.5) < 1e-5
    assert percentile_s(counted(1e9), 0.5) > 900


def test_the_difference_of_two_totals_is_what_came_between():
    assert difference(counted(0.001, 0.001, 5.0), counted(0.001)) == counted(0.001, 5.0)


def test_after_a_restart_everything_is_new():
    assert difference(counted(0.001), counted(0.001, 0.001)) == counted(0.001)
    assert difference(counted(0.001), counted(5.0)) == counted(0.001)


def test_counts_of_two_processes_add_up():
    assert add(counted(0.001), counted(5.0)) == counted(0.001, 5.0)
