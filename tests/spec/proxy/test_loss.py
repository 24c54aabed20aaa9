"""What becomes of the jobs of a lost worker."""

from __future__ import annotations

import pytest

from primectl.proxy.dispatch import Dispatch
from primectl.proxy.events import GiveUp, PassAllow, SendJobs, WorkerLost, WorkerSpoke
from primectl.proxy.loss import SPARED_LIMIT
from primectl.wire.job import Allow, Streaming, server_lane
from tests.spec.proxy.driving import (
    arrive,
    counted,
    deal,
    dealt,
    done,
    given_up,
    join,
    keyed,
    lose,
    notes,
    say,
    tell,
)
from tests.support.jobs import a_job, job_id, lane


def holding(*retryable: bool, max_attempts: int = 3, retry: bool | None = None) -> Dispatch:
    """Worker 1 has a batch of jobs, 1, 2 …"""
    dispatch = Dispatch(prefetch=10, max_attempts=max_attempts, retry=retry)
    join(dispatch, 1)
    arrive(dispatch, *(a_job(serial, retryable=again) for serial, again in enumerate(retryable, 1)))
    assert dealt(deal(dispatch)) == {lane(1): list(range(1, len(retryable) + 1))}
    return dispatch


def test_without_notes_the_jobs_of_a_lost_worker_go_to_the_front_one_attempt_further_and_alone():
    dispatch = Dispatch(prefetch=2)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2), a_job(3))
    deal(dispatch)
    assert lose(dispatch, 1) == []
    join(dispatch, 2, 3, 4)
    assert deal(dispatch) == [
        SendJobs(lane(2), [a_job(1, attempt=2)]),
        SendJobs(lane(3), [a_job(2, attempt=2)]),
        SendJobs(lane(4), [a_job(3)]),
    ]
    assert dispatch.snapshot().retried == 2


def test_what_a_lost_worker_had_not_begun_goes_to_others_as_if_it_had_never_been_dealt():
    dispatch = holding(True, False, True, False)
    assert lose(dispatch, 1, notes(current=1)) == []
    join(dispatch, 2, 3)
    assert deal(dispatch) == [
        SendJobs(lane(2), [a_job(1, attempt=2)]),
        SendJobs(lane(3), [a_job(2, retryable=False), a_job(3), a_job(4, retryable=False)]),
    ]
    assert (dispatch.snapshot().retried, counted(dispatch, "spared")) == (1, 3)


def test_jobs_that_could_not_even_be_sent_lose_no_attempt_however_many_workers_are_gone():
    dispatch = Dispatch()
    join(dispatch, *range(1, 101), notes=False)
    job = a_job(1, retryable=False)
    arrive(dispatch, job)
    for _ in range(100):
        (sent,) = deal(dispatch)
        assert isinstance(sent, SendJobs)
        assert sent.jobs == [job]
        number = int(sent.address.rpartition(b"#")[2])
        tell(dispatch, WorkerLost(f"compute.{number}", number, unsent=True))
    assert (dispatch.snapshot().queued, dispatch.snapshot().retried) == (1, 0)


def test_a_job_that_may_run_only_once_and_was_begun_is_answered_502():
    dispatch = holding(True, False, False)
    (action,) = lose(dispatch, 1, notes(2, current=2))
    assert isinstance(action, GiveUp)
    assert (action.job.id, action.status) == (job_id(2), 502)
    assert action.detail == "its worker compute.1 was lost and may have begun it, and it may not be run twice"


def test_a_job_that_may_run_only_once_was_begun_even_if_another_was_begun_since():
    dispatch = holding(False, True)
    assert given_up(lose(dispatch, 1, notes(1, current=2)), 502) == [job_id(1)]


def test_what_the_workers_last_life_ended_in_counts_as_begun_when_the_next_has_written_since():
    dispatch = holding(True, True)
    assert lose(dispatch, 1, notes(current=77, broken=(1,))) == []
    join(dispatch, 2, 3)
    assert deal(dispatch) == [SendJobs(lane(2), [a_job(1, attempt=2)]), SendJobs(lane(3), [a_job(2)])]


def test_notes_that_do_not_reach_back_to_when_a_job_was_dealt_prove_nothing():
    for since, expected in ((4.9, []), (5.1, [job_id(1)])):
        dispatch = Dispatch()
        join(dispatch, 1)
        arrive(dispatch, a_job(1, retryable=False))
        deal(dispatch, now=5.0)
        assert given_up(lose(dispatch, 1, notes(complete_since=since)), 502) == expected


def test_a_job_whose_workers_end_again_and_again_before_they_note_it_counts_as_begun():
    dispatch = Dispatch(max_attempts=2)
    arrive(dispatch, a_job(1))
    numbers = iter(range(1, 1000))
    for _ in range(SPARED_LIMIT):
        number = next(numbers)
        join(dispatch, number)
        assert deal(dispatch) == [SendJobs(lane(number), [a_job(1)])]
        assert lose(dispatch, number, notes()) == []
    last = next(numbers)
    join(dispatch, last)
    deal(dispatch)
    assert lose(dispatch, last, notes()) == []
    assert dispatch.snapshot().retried == 1


def test_what_may_run_only_once_is_dealt_alone_to_a_worker_that_keeps_no_notes():
    dispatch = Dispatch(prefetch=4)
    join(dispatch, 1, 2, 3, notes=False)
    jobs = [a_job(1), a_job(2, retryable=False), a_job(3)]
    arrive(dispatch, *jobs)
    assert deal(dispatch) == [SendJobs(lane(number), [job]) for number, job in enumerate(jobs, 1)]


def test_what_may_run_only_once_shares_a_batch_where_workers_keep_notes():
    dispatch = Dispatch(prefetch=4)
    join(dispatch, 1)
    jobs = [a_job(1), a_job(2, retryable=False), a_job(3)]
    arrive(dispatch, *jobs)
    assert deal(dispatch) == [SendJobs(lane(1), jobs)]


def test_a_job_that_has_lost_as_many_workers_as_it_may_is_answered_502():
    dispatch = Dispatch(max_attempts=2)
    join(dispatch, 1, 2)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    lose(dispatch, 1, notes(current=1))
    deal(dispatch)
    (action,) = lose(dispatch, 2, notes(current=1))
    assert isinstance(action, GiveUp)
    assert (action.job, action.status) == (a_job(1, attempt=2), 502)
    assert action.lost is not None
    assert (action.lost.worker, action.lost.attempt, action.lost.failed) == ("compute.2", 2, True)
    assert action.detail == (
        "2 workers were lost while they ran it, the last was its worker compute.2; it is not tried again"
    )
    assert dispatch.empty
    assert counted(dispatch, "lost") == 1


def test_a_job_may_be_spared_without_losing_an_attempt():
    dispatch = holding(True, True, max_attempts=1)
    assert given_up(lose(dispatch, 1, notes(current=1)), 502) == [job_id(1)]
    join(dispatch, 2)
    assert deal(dispatch) == [SendJobs(lane(2), [a_job(2)])]


@pytest.mark.parametrize(("retry", "retryable", "retried"), [(True, False, 1), (False, True, 0), (None, True, 1)])
def test_a_pool_may_say_that_every_job_runs_again_or_none(retry: bool | None, retryable: bool, retried: int):
    dispatch = holding(retryable, retry=retry)
    actions = lose(dispatch, 1, notes(current=1))
    assert dispatch.snapshot().retried == retried
    assert len(given_up(actions, 502)) == 1 - retried


def test_where_nothing_runs_twice_every_job_is_dealt_alone_since_notes_tell_only_of_some():
    dispatch = Dispatch(prefetch=4, retry=False)
    join(dispatch, 1, 2)
    arrive(dispatch, a_job(1), a_job(2))
    assert dealt(deal(dispatch)) == {lane(1): [1], lane(2): [2]}
    assert given_up(lose(dispatch, 1, notes(current=0)), 502) == [job_id(1)]


def test_a_job_whose_answer_is_half_out_is_not_run_again():
    dispatch = holding(True, True)
    assert say(dispatch, 1, Streaming(job_id(1))) == []
    (action,) = lose(dispatch, 1, notes(current=1))
    assert isinstance(action, GiveUp)
    assert (action.job.id, action.status) == (job_id(1), 502)
    assert action.detail == "its worker compute.1 was lost in the middle of its answer"


def test_that_an_answer_is_half_out_counts_whatever_the_notes_say():
    dispatch = holding(True)
    say(dispatch, 1, Streaming(job_id(1)))
    assert given_up(lose(dispatch, 1, notes()), 502) == [job_id(1)]


def test_leave_to_send_more_of_a_streamed_answer_goes_to_its_worker():
    dispatch = holding(True)
    allow = Allow(lane(1), job_id(1), 1 << 20)
    server = server_lane("server.1", 1)
    assert dispatch.handle(WorkerSpoke(server, allow), 0.0) == [PassAllow(lane(1), allow)]
    assert dispatch.handle(WorkerSpoke(server, Allow(lane(9), job_id(1), 1)), 0.0) == []
    assert counted(dispatch, "allows_dropped") == 1


def test_the_next_attempt_keeps_everything_else_of_a_job():
    dispatch = Dispatch()
    join(dispatch, 1, 2)
    arrive(dispatch, keyed(1, "london"))
    deal(dispatch)
    lose(dispatch, 1)
    (action,) = deal(dispatch)
    assert isinstance(action, SendJobs)
    (job,) = action.jobs
    assert (job.key, job.attempt, job.payload) == ("london", 2, a_job(1).payload)


def test_the_loss_of_another_incarnation_means_nothing():
    dispatch = holding(True)
    tell(dispatch, WorkerLost("compute.1", 99))
    assert dispatch.snapshot().in_flight == 1
    done(dispatch, 1, 1)
    assert dispatch.empty
