"""Each item is due at one time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from primectl.server.wheel import SLOT_S, Wheel


def test_an_item_is_due_at_its_time_or_a_little_later_and_then_forgotten():
    wheel: Wheel[str] = Wheel()
    wheel.set("a", 10.0)
    assert wheel.due(9.9) == []
    assert wheel.due(10.0 + SLOT_S) == ["a"]
    assert wheel.due(100.0) == []
    assert len(wheel) == 0


def test_what_was_said_last_counts():
    wheel: Wheel[str] = Wheel()
    wheel.set("a", 10.0)
    wheel.set("a", 20.0)
    wheel.set("b", 20.0)
    wheel.set("b", 10.0)
    assert wheel.due(11.0) == ["b"]
    assert wheel.due(21.0) == ["a"]


def test_a_time_that_has_passed_comes_next():
    wheel: Wheel[str] = Wheel()
    wheel.due(50.0)
    wheel.set("late", 10.0)
    assert wheel.due(50.0 + SLOT_S) == ["late"]


def test_nothing_is_kept_of_what_is_dropped():
    wheel: Wheel[str] = Wheel()
    wheel.set("a", 10.0)
    wheel.drop("a")
    wheel.drop("a")
    assert len(wheel) == 0
    assert wheel.due(100.0) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 100), st.booleans()), max_size=60))
def test_every_item_comes_once_neither_early_nor_late(steps: list[tuple[int, float, bool]]):
    wheel: Wheel[int] = Wheel()
    expected: dict[int, float] = {}
    now = 0.0
    for item, value, is_set in steps:
        if is_set:
            wheel.set(item, value)
            expected[item] = max(value, now)
            continue
        now = max(now, value)
        for found in wheel.due(now):
            assert expected.pop(found) <= now
        assert all(at > now - 2 * SLOT_S for at in expected.values())
        assert len(wheel) == len(expected)
