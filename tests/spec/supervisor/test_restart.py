"""Crashes back off, a crash loop has an end, and what says nothing about the process itself is not held against it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.config.model import SupervisorConfig
from supervisor.restart import DEADLY_REQUESTS, CrashRecord, DeadlyRequests, End, Verdict, backoff_s

POLICY = SupervisorConfig(backoff_first=0.1, backoff_longest=10.0, crash_limit=3, crash_window=30.0, healthy_after=10.0)
AT_START = End(1, None)
SOON = End(1, 0.5)
SERVED = End(-11, 0.5, served=True, in_job=True)
FIRST_JOB = End(-11, 0.5, in_job=True)
EXCUSED = End(-11, 0.5, in_job=True, excused=True)
HEALTHY = End(1, 12.0)
OUTSIDE = End(-9, 5.0)


def judged(*ends, every_s=1.0, policy=POLICY):
    """What comes of these ends, one after the other; None is an operator who starts it."""
    record = CrashRecord()
    verdicts = []
    for number, end in enumerate(ends):
        if end is None:
            record.clear()
        else:
            verdicts.append(record.judge(end, number * every_s, policy, 0.0))
    return verdicts


def waits(*ends, **how):
    return [verdict.wait_s for verdict in judged(*ends, **how)]


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


def test_at_the_limit_within_the_window_it_has_failed():
    assert judged(SOON, SOON, SOON) == [Verdict(1, 0.0), Verdict(2, 0.1), Verdict(3, None)]


def test_crashes_older_than_the_window_no_longer_count_towards_failed():
    assert waits(SOON, SOON, SOON, SOON, every_s=15.0) == [0.0, 0.1, 0.2, 0.4]


def test_lives_that_never_were_ready_count_however_long_each_of_them_took():
    assert waits(AT_START, AT_START, AT_START, every_s=60.0) == [0.0, 0.1, None]


def test_a_life_that_was_ready_breaks_a_row_of_those_that_were_not():
    assert waits(AT_START, AT_START, SOON, AT_START, AT_START, every_s=60.0) == [0.0, 0.1, 0.2, 0.4, 0.8]


def test_a_process_that_was_ready_long_enough_starts_with_a_clean_record():
    assert judged(SOON, SOON, HEALTHY, SOON, SOON) == [
        Verdict(1, 0.0),
        Verdict(2, 0.1),
        Verdict(1, 0.0),
        Verdict(2, 0.1),
        Verdict(3, None),
    ]


def test_an_operator_who_starts_it_again_forgives_its_crashes():
    assert waits(SOON, SOON, None, SOON) == [0.0, 0.1, 0.0]


def test_a_worker_that_had_answered_jobs_backs_off_and_never_fails():
    assert waits(*[SERVED] * 12) == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0, 10.0]


def test_one_that_ends_in_its_first_job_each_time_fails_however_long_that_takes():
    assert waits(FIRST_JOB, FIRST_JOB, FIRST_JOB, every_s=60.0) == [0.0, 0.1, None]


def test_a_request_that_has_ended_a_worker_before_is_blamed_itself():
    assert waits(*[EXCUSED] * 4) == [0.0, 0.1, 0.2, 0.4]


def test_lives_that_a_request_has_ended_neither_count_nor_break_a_row():
    assert waits(FIRST_JOB, EXCUSED, EXCUSED, FIRST_JOB, EXCUSED, EXCUSED, FIRST_JOB, every_s=31.0)[-2:] == [1.6, None]


def test_a_life_that_finished_jobs_breaks_a_row_of_those_that_came_to_nothing():
    assert None not in waits(*[FIRST_JOB, FIRST_JOB, SERVED] * 4, every_s=31.0)


def test_a_request_is_known_as_deadly_from_its_second_victim_on_and_forgotten_in_the_end():
    deadly = DeadlyRequests()
    assert [deadly.has_ended_another(request) for request in (1, 2, 1)] == [False, False, True]
    for request in range(10, 10 + DEADLY_REQUESTS):
        deadly.has_ended_another(request)
    assert not deadly.has_ended_another(1)


def test_one_that_had_answered_jobs_and_then_dies_at_its_start_fails_as_any_other():
    assert waits(SERVED, SERVED, AT_START, AT_START, AT_START)[-1] is None


def test_sigkill_from_outside_is_held_against_nobody():
    assert judged(SOON, SOON, OUTSIDE, OUTSIDE, SOON)[2:] == [Verdict(2, 0.0), Verdict(2, 0.0), Verdict(3, None)]


@pytest.mark.parametrize(
    ("end", "outside"),
    [
        (End(-9, 5.0), True),
        (End(-9, 0.5), True),
        (End(-9, 0.1), False),
        (End(-9, None), False),
        (End(-9, 5.0, oom=True), False),
        (End(-11, 5.0), False),
        (End(1, 5.0), False),
        (End(None, 5.0), False),
    ],
)
def test_only_sigkill_to_a_process_that_has_run_comes_from_outside_unless_memory_was_short(end, outside):
    assert end.is_from_outside is outside


def test_what_is_shown_of_the_record_is_forgotten_as_soon_as_the_process_is_healthy():
    record = CrashRecord()
    record.judge(SOON, 0.0, POLICY, 0.0)
    assert [record.crashes(ready_s, POLICY) for ready_s in (None, 9.0, 10.0)] == [1, 1, 0]


@given(
    st.lists(
        st.tuples(st.sampled_from([AT_START, SOON, SERVED, FIRST_JOB, EXCUSED, HEALTHY, OUTSIDE]), st.floats(0.0, 40.0))
    )
)
def test_a_record_never_holds_more_than_the_limit_against_anybody(history):
    record, now = CrashRecord(), 0.0
    for end, after_s in history:
        now += after_s
        verdict = record.judge(end, now, POLICY, 0.5)
        if verdict.wait_s is None:
            record.clear()
        assert verdict.wait_s is None or 0.0 <= verdict.wait_s <= POLICY.backoff_longest
        assert len(record._times) < POLICY.crash_limit
