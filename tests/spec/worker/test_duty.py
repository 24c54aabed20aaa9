"""What a worker holds."""

from __future__ import annotations

from math import inf

from primectl.message import Job
from primectl.wire.job import RequestId, request_of
from primectl.worker.duty import FOREWARNED_S, HAND_BACK_S, KILL_MARGIN_S, URGE_S, Duty, DutySnapshot
from tests.support.jobs import a_job, job_id


def begin(duty: Duty, now: float = 0.0) -> Job:
    wire = duty.next()
    assert wire is not None
    job = Job(wire.id, "", "compute", "compute.1", 1, wire.deadline)
    duty.begin(wire, job, now)
    return job


def test_jobs_run_in_the_order_they_came():
    duty = Duty()
    duty.accept([a_job(1), a_job(2)], 0.0)
    assert [begin(duty).id, begin(duty).id] == [job_id(1), job_id(2)]
    assert duty.next() is None


def test_a_job_is_overdue_when_it_has_kept_the_others_waiting_for_some_milliseconds():
    duty = Duty()
    assert not duty.overdue(now=99.0)
    duty.accept([a_job(1)], 0.0)
    begin(duty, now=1.0)
    assert not duty.overdue(now=1.0 + HAND_BACK_S / 2)
    assert duty.overdue(now=1.0 + HAND_BACK_S * 1.01)


def test_what_is_handed_back_is_everything_not_begun_and_nothing_that_has():
    duty = Duty()
    duty.accept([a_job(1), a_job(2), a_job(3)], 0.0)
    begin(duty)
    assert duty.waiting == [job_id(2), job_id(3)]
    duty.let_go()
    assert duty.waiting == []
    assert duty.holds() == [job_id(1)]


def test_a_cancel_tells_the_running_job_and_lets_go_of_a_waiting_one():
    duty = Duty()
    duty.accept([a_job(1), a_job(2), a_job(3)], 0.0)
    job = begin(duty)
    assert duty.cancel(frozenset([request_of(job_id(1)), request_of(job_id(3))]), 0.0) == [job_id(3)]
    assert job.cancelled
    assert duty.holds() == [job_id(1), job_id(2)]


def test_a_cancel_for_others_changes_nothing():
    duty = Duty()
    duty.accept([a_job(1), a_job(2)], 0.0)
    job = begin(duty)
    assert duty.cancel(frozenset([request_of(job_id(9))]), 0.0) == []
    assert not job.cancelled


def test_the_snapshot_tells_how_long_the_job_has_run():
    duty = Duty()
    assert duty.snapshot(5.0) == DutySnapshot(running=False, waiting=0, job_s=0.0, leaving=False)
    duty.accept([a_job(1), a_job(2)], 0.0)
    begin(duty, now=5.0)
    assert duty.snapshot(7.5) == DutySnapshot(running=True, waiting=1, job_s=2.5, leaving=False)
    duty.end()
    assert not duty.running


def requests(*serials: int) -> frozenset[RequestId]:
    return frozenset(request_of(job_id(serial)) for serial in serials)


def test_a_cancel_that_comes_before_its_job_holds_it_back_for_as_long_as_it_may_be_on_its_way():
    duty = Duty()
    assert duty.cancel(requests(2), 0.0) == []
    assert duty.accept([a_job(1), a_job(2)], FOREWARNED_S / 2) == [job_id(2)]
    assert duty.waiting == [job_id(1)]
    duty.cancel(requests(3), 10.0)
    assert duty.accept([a_job(3)], 10.0 + FOREWARNED_S) == []


def test_a_cancelled_job_is_urged_at_once_and_again_until_it_ends():
    duty = Duty()
    duty.accept([a_job(1)], 0.0)
    begin(duty)
    assert duty.urge(0.5) == 0
    duty.cancel(requests(1), 1.0)
    assert [duty.urge(at) for at in (1.0, 1.01, 1.0 + URGE_S, 1.01 + URGE_S)] == [1, 0, 2, 0]
    duty.cancel(requests(1), 1.5)
    assert duty.urge(1.5) == 3
    duty.end()
    assert duty.urge(9.0) == 0


def test_a_job_that_does_not_end_is_stuck_somewhat_later_than_its_proxy_thinks_so():
    duty = Duty(kill_after_s=2.0)
    duty.accept([a_job(1)], 0.0)
    begin(duty)
    assert not duty.stuck(99.0)
    duty.cancel(requests(1), 100.0)
    assert not duty.stuck(100.0 + 2.0 + KILL_MARGIN_S * 0.99)
    assert duty.stuck(100.0 + 2.0 + KILL_MARGIN_S)


def test_a_running_job_expires_at_its_deadline_unless_that_was_put_off():
    duty = Duty()
    duty.accept([a_job(1, deadline=10.0)], 0.0)
    job = begin(duty)
    assert not duty.expire(9.9)
    duty.prolong(20.0)
    assert job.deadline == 20.0
    assert not duty.expire(10.0)
    assert duty.expire(20.0)
    assert job.cancelled
    assert not duty.expire(21.0), "it is told once"


def test_the_next_job_is_not_touched_by_what_befell_the_last():
    duty = Duty()
    duty.accept([a_job(1), a_job(2)], 0.0)
    begin(duty)
    duty.cancel(requests(1), 1.0)
    duty.end()
    job = begin(duty, now=50.0)
    assert (job.cancelled, duty.urge(50.0), duty.stuck(50.0), duty.relieved) == (False, 0, False, False)


def test_the_watchdog_looks_when_something_falls_due():
    duty = Duty(kill_after_s=2.0)
    assert duty.look_at() == inf
    duty.accept([a_job(1, deadline=30.0), a_job(2)], 0.0)
    begin(duty, now=1.0)
    assert duty.look_at() == 1.0 + HAND_BACK_S
    duty.relieve()
    assert duty.relieved
    assert not duty.overdue(20.0)
    assert duty.look_at() == 30.0
    duty.cancel(requests(1), 5.0)
    assert duty.look_at() == 5.0
    duty.urge(5.0)
    assert duty.look_at() == 5.0 + URGE_S
