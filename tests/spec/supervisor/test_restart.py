"""Crashes back off, and a crash loop has an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.config.model import SupervisorConfig
from supervisor.restart import CrashRecord, backoff_s, is_spent, was_killed_from_outside

POLICY = SupervisorConfig(backoff_first=0.1, backoff_longest=10.0, crash_limit=3, crash_window=30.0)


def test_the_first_crash_costs_no_wait_and_each_further_one_doubles_it():
    assert [backoff_s(crash, POLICY, jitter=0.0) for crash in (1, 2, 3, 4)] == [0.0, 0.1, 0.2, 0.4]


@given(crashes=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_no_wait_is_negative_or_beyond_the_longest(crashes, jitter):
    assert 0.0 <= backoff_s(crashes, POLICY, jitter) <= POLICY.backoff_longest


def test_jitter_takes_up_to_a_quarter_off():
    assert backoff_s(20, POLICY, jitter=1.0) == 7.5


def test_there_is_no_crash_number_zero():
    with pytest.raises(ValueError, match="number 1"):
        backoff_s(0, POLICY, jitter=0.0)


def test_crashes_older_than_the_window_no_longer_count():
    record = CrashRecord()
    assert [record.add(now, POLICY) for now in (0.0, 10.0, 20.0, 30.0, 100.0)] == [1, 2, 3, 3, 1]


def test_an_operator_who_starts_it_again_forgives_its_crashes():
    record = CrashRecord()
    record.add(0.0, POLICY)
    record.clear()
    assert record.add(1.0, POLICY) == 1


def test_the_budget_is_spent_at_the_limit():
    assert [is_spent(crashes, POLICY) for crashes in (1, 2, 3, 4)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("status", "ready_s", "outside"),
    [
        (-9, 5.0, True),
        (-9, 0.5, True),
        (-9, 0.1, False),
        (-9, None, False),
        (-11, 5.0, False),
        (1, 5.0, False),
        (None, 5.0, False),
    ],
)
def test_only_sigkill_to_a_process_that_has_run_comes_from_outside(status, ready_s, outside):
    assert was_killed_from_outside(status, ready_s) is outside
