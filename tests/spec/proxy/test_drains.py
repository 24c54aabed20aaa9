"""Workers and pools that are drained, and pools without any worker."""

from __future__ import annotations

from primectl.proxy.dispatch import Dispatch
from primectl.proxy.events import DrainAsked, GiveUp, JobsArrived, JobsSentAgain, ResumeAsked, RosterTold, WorkerSpoke
from primectl.wire.job import Announce, HandBack, Leave, work_lane
from tests.spec.proxy.driving import (
    arrive,
    cancel,
    counted,
    deal,
    dealt,
    done,
    further,
    given_up,
    join,
    lose,
    say,
    tell,
    tick,
)
from tests.support.jobs import a_job, job_id, lane


def draining(dispatch: Dispatch) -> dict[str, bool]:
    return {load.worker: load.draining for load in dispatch.snapshot().workers}


def test_a_drained_worker_finishes_what_it_has_and_gets_nothing_more_until_it_is_resumed():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    tell(dispatch, DrainAsked(["compute.1"]))
    assert draining(dispatch) == {"compute.1": True}
    done(dispatch, 1, 1)
    assert deal(dispatch) == []
    tell(dispatch, ResumeAsked(["compute.1"]))
    assert draining(dispatch) == {"compute.1": False}
    assert dealt(deal(dispatch)) == {lane(1): [2]}


def test_an_idle_worker_that_is_drained_is_passed_over():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1, 2)
    tell(dispatch, DrainAsked(["compute.1"]))
    arrive(dispatch, a_job(1), a_job(2))
    assert dealt(deal(dispatch)) == {lane(2): [1]}


def test_a_drain_outlives_the_process_and_meets_one_that_comes_later():
    dispatch = Dispatch()
    join(dispatch, 1)
    tell(dispatch, DrainAsked(["compute.1"]))
    lose(dispatch, 1)
    address = work_lane("compute.1", 2)
    tell(dispatch, WorkerSpoke(address, Announce("compute.1", 2)))
    arrive(dispatch, a_job(1))
    assert deal(dispatch) == []
    tell(dispatch, ResumeAsked(["compute.1"]))
    assert dealt(deal(dispatch)) == {address: [1]}


def test_to_drain_or_resume_twice_is_the_same_as_once():
    dispatch = Dispatch()
    join(dispatch, 1)
    for order in (DrainAsked, DrainAsked, ResumeAsked, ResumeAsked):
        tell(dispatch, order(["compute.1"]))
    arrive(dispatch, a_job(1))
    assert dealt(deal(dispatch)) == {lane(1): [1]}


def test_a_leaving_worker_that_is_drained_and_resumed_still_leaves():
    dispatch = Dispatch()
    join(dispatch, 1)
    say(dispatch, 1, Leave())
    tell(dispatch, DrainAsked(["compute.1"]))
    tell(dispatch, ResumeAsked(["compute.1"]))
    arrive(dispatch, a_job(1))
    assert deal(dispatch) == []


def test_a_draining_pool_finishes_what_is_queued_and_answers_503_to_what_comes():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    tell(dispatch, DrainAsked([]))
    assert dispatch.snapshot().draining
    assert dispatch.handle(JobsArrived([a_job(3)]), 0.0) == [GiveUp(a_job(3), 503, "the pool is draining")]
    done(dispatch, 1, 1)
    assert dealt(deal(dispatch)) == {lane(1): [2]}
    tell(dispatch, ResumeAsked([]))
    assert not dispatch.snapshot().draining
    arrive(dispatch, a_job(4))


def test_a_draining_pool_finishes_requests_that_come_back_to_it_and_what_is_sent_again():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    tell(dispatch, DrainAsked([]))
    arrive(dispatch, further(a_job(1)), a_job(1))
    tell(dispatch, JobsSentAgain([a_job(2)]))
    assert dispatch.snapshot().queued == 2


def test_a_job_in_a_pool_without_a_worker_is_answered_503_when_it_has_waited_long_enough():
    dispatch = Dispatch(worker_timeout=10.0)
    arrive(dispatch, a_job(1, deadline=100.0), now=5.0)
    assert dispatch.next_deadline() == 15.0
    assert tick(dispatch, 14.9) == []
    assert given_up(tick(dispatch, 15.0), 503) == [job_id(1)]
    assert (dispatch.empty, counted(dispatch, "unserved")) == (True, 1)


def test_it_is_answered_before_its_deadline_in_any_case():
    dispatch = Dispatch(worker_timeout=10.0)
    arrive(dispatch, a_job(1, deadline=3.0))
    assert given_up(tick(dispatch, 2.8), 503) == [job_id(1)]


def test_each_job_waits_for_as_long_as_the_first():
    dispatch = Dispatch(worker_timeout=10.0)
    for second in range(4):
        arrive(dispatch, a_job(second + 1, deadline=100.0), now=float(second))
    for second in range(4):
        assert given_up(tick(dispatch, 10.0 + second), 503) == [job_id(second + 1)]
    assert dispatch.next_deadline() is None


def test_a_worker_that_comes_in_time_does_the_job_and_none_that_was_abandoned():
    dispatch = Dispatch(worker_timeout=10.0, prefetch=1)
    arrive(dispatch, a_job(1), a_job(2))
    cancel(dispatch, 1)
    join(dispatch, 1, now=9.0)
    assert tick(dispatch, 20.0) == []
    assert dealt(deal(dispatch, now=20.0)) == {lane(1): [2]}


def test_a_job_that_waited_long_for_a_busy_worker_waits_as_long_for_the_next():
    dispatch = Dispatch(worker_timeout=10.0, prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    lose(dispatch, 1, now=60.0)
    assert tick(dispatch, 69.9) == []
    assert given_up(tick(dispatch, 70.0), 503) == [job_id(1), job_id(2)]


def test_workers_that_are_drained_or_leaving_are_no_workers():
    for number in (1, 2):
        dispatch = Dispatch(worker_timeout=10.0)
        join(dispatch, number)
        tell(dispatch, DrainAsked(["compute.1"]))
        say(dispatch, 2, Leave())
        arrive(dispatch, a_job(1))
        assert given_up(tick(dispatch, 10.0), 503) == [job_id(1)]


def test_what_the_last_worker_hands_back_when_it_leaves_does_not_wait_for_ever():
    dispatch = Dispatch(worker_timeout=10.0, prefetch=2)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    say(dispatch, 1, Leave(), now=1.0)
    tick(dispatch, 5.0)
    say(dispatch, 1, HandBack([job_id(2)]), now=6.0)
    assert given_up(tick(dispatch, 11.0), 503) == [job_id(2)]


def test_while_the_workers_of_an_earlier_run_are_waited_for_nothing_is_given_up():
    dispatch = Dispatch(worker_timeout=10.0)
    tell(dispatch, RosterTold([("compute.1", 1)]), now=50.0)
    tell(dispatch, JobsSentAgain([a_job(1, deadline=50.5)]), now=50.0)
    assert tick(dispatch, 50.4) == []


def test_thousands_of_jobs_that_nobody_can_run_do_not_cost_a_look_at_all_of_them_each():
    dispatch = Dispatch(worker_timeout=10.0)
    for serial in range(1, 1001):
        arrive(dispatch, a_job(serial, deadline=100.0), now=serial / 1000)
    looks = 0
    now = 10.0
    while (deadline := dispatch.next_deadline()) is not None:
        now = max(now, deadline)
        tick(dispatch, now)
        looks += 1
    assert dispatch.empty
    assert looks < 50
