"""What a worker holds."""

from __future__ import annotations

from primectl.message import Job
from primectl.wire.job import request_of
from primectl.worker.duty import HAND_BACK_S, Duty, DutySnapshot
from tests.support.jobs import a_job, job_id


def begin(duty: Duty, now: float = 0.0) -> Job:
    wire = duty.next()
    assert wire is not None
    job = Job(wire.id, "", "compute", "compute.1", 1, 1e9)
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
