"""Figures as short text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.present import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (4e-7, "1µs"), (3.4e-4, "340µs"), (0.0099, "9.9ms"), (0.012, "12ms"), (0.9994, "999ms"), (1.94, "1.9s"),
     (9.94, "9.9s"), (42, "42s"), (99.4, "99s"), (303, "5m03"), (11_220, "3h07"), (353_000, "4d02h")],
)  # fmt: skip
def test_a_duration_has_the_unit_that_people_would_use(seconds: float, text: str):
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9999, "9999"), (12_345, "12.3k"), (99_960, "100k"), (812_345, "812k"), (4_100_000, "4.1M")],
)
def test_a_count_keeps_three_digits(number: int, text: str):
    assert units.count(number) == text


@given(st.floats(0, 8e8), st.floats(0, 9e14))
def test_figures_fit_their_columns(seconds: float, number: float):
    assert len(units.duration(seconds)) <= 6
    assert len(units.count(number)) <= 5
    assert len(units.size(number)) <= 5


def test_growth_shows_its_sign_and_nothing_is_zero():
    assert [units.growth(value) for value in (14.2, -3.21, 0.01, -0.01)] == ["+14", "-3.2", "0", "0"]


def test_a_bar_shows_the_least_use_and_is_full_only_at_the_end():
    assert units.bar(0.0, 5) == ("", "░░░░░")
    assert units.bar(0.02, 5) == ("█", "░░░░")
    assert units.bar(1.7, 5) == ("█████", "")


def test_sizes_are_binary():
    assert [units.size(value) for value in (512, 21_000_000, 3_300_000_000)] == ["512B", "20M", "3.1G"]
