"""The rules by which a proxy deals jobs to workers (docs: dispatch)."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from primectl.proxy.dispatch import Dispatch
from primectl.proxy.events import (
    AskWho,
    GiveUp,
    JobsArrived,
    RequestsCancelled,
    SendCancel,
    SendGoodbye,
    SendJobs,
    TurnEnded,
    WorkerLost,
    WorkerSpoke,
)
from primectl.wire.job import Announce, Beat, Done, HandBack, JobId, Leave, WireJob, request_of
from tests.support.jobs import a_job, job_id, lane


def arrive(dispatch: Dispatch, *jobs: WireJob, now: float = 0.0) -> None:
    assert dispatch.handle(JobsArrived(list(jobs)), now) == []


def join(dispatch: Dispatch, *numbers: int, holds: list[JobId] | None = None) -> None:
    for number in numbers:
        message = Announce(f"compute.{number}", number, holds or [])
        assert dispatch.handle(WorkerSpoke(lane(number), message), 0.0) == []


def deal(dispatch: Dispatch, now: float = 0.0) -> list[object]:
    return list(dispatch.handle(TurnEnded(), now))


def done(dispatch: Dispatch, number: int, *serials: int, service_s: float = 0.0, now: float = 0.0) -> list[object]:
    message = Done([job_id(serial) for serial in serials], service_s)
    return list(dispatch.handle(WorkerSpoke(lane(number), message), now))


def lose(dispatch: Dispatch, number: int) -> list[object]:
    return list(dispatch.handle(WorkerLost(f"compute.{number}", number), 0.0))


def test_a_job_waits_until_a_worker_is_there():
    dispatch = Dispatch()
    arrive(dispatch, a_job(1))
    assert deal(dispatch) == []
    join(dispatch, 1)
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(1)])]


def test_jobs_leave_in_the_order_they_came_to_the_worker_that_is_idle_longest():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1, 2)
    arrive(dispatch, a_job(1), a_job(2), a_job(3))
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(1)]), SendJobs(lane(2), [a_job(2)])]
    done(dispatch, 2, 2)
    assert deal(dispatch) == [SendJobs(lane(2), [a_job(3)])]


def test_a_worker_that_holds_a_job_gets_no_other():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    assert deal(dispatch) == []


def test_a_fixed_prefetch_is_the_size_of_a_batch():
    dispatch = Dispatch(prefetch=3)
    join(dispatch, 1)
    arrive(dispatch, *(a_job(serial) for serial in range(1, 6)))
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(1), a_job(2), a_job(3)])]


def test_auto_begins_with_one_job_because_nothing_has_been_measured():
    dispatch = Dispatch()
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(1)])]


@pytest.mark.parametrize(("service_s", "size"), [(0.0001, 10), (0.0004, 2), (0.002, 1), (0.000001, 20)])
def test_auto_sizes_a_batch_to_a_millisecond_of_work_and_no_more_than_is_queued(service_s: float, size: int):
    dispatch = Dispatch()
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    done(dispatch, 1, 1, service_s=service_s)
    arrive(dispatch, *(a_job(serial) for serial in range(2, 22)))
    (action,) = deal(dispatch)
    assert isinstance(action, SendJobs)
    assert len(action.jobs) == size


def test_auto_gives_a_worker_no_more_than_its_fair_share_of_the_queue():
    dispatch = Dispatch()
    join(dispatch, 1, 2, 3)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    done(dispatch, 1, 1, service_s=0.0002)
    arrive(dispatch, *(a_job(serial) for serial in range(2, 9)))
    sizes = [len(action.jobs) for action in deal(dispatch) if isinstance(action, SendJobs)]
    assert sizes == [3, 2, 2]


def test_auto_does_not_wake_a_second_worker_for_less_work_than_that_would_cost():
    dispatch = Dispatch()
    join(dispatch, 1, 2, 3)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    done(dispatch, 1, 1, service_s=0.00001)
    jobs = [a_job(serial) for serial in range(2, 9)]
    arrive(dispatch, *jobs)
    assert deal(dispatch) == [SendJobs(lane(2), jobs)]


def test_one_long_job_among_many_short_ones_does_not_end_batching():
    dispatch = Dispatch()
    join(dispatch, 1)
    for serial in range(1, 50):
        arrive(dispatch, a_job(serial))
        deal(dispatch)
        done(dispatch, 1, serial, service_s=10.0 if serial == 49 else 0.00002)
    arrive(dispatch, *(a_job(serial) for serial in range(50, 60)))
    (action,) = deal(dispatch)
    assert isinstance(action, SendJobs)
    assert len(action.jobs) > 1


def test_a_batch_is_bounded_in_bytes():
    dispatch = Dispatch(prefetch=64)
    join(dispatch, 1)
    big = [a_job(serial, payload=b"x" * (600 << 10)) for serial in range(1, 5)]
    arrive(dispatch, *big)
    assert deal(dispatch) == [SendJobs(lane(1), big[:2])]


def test_jobs_handed_back_go_to_the_front_as_if_they_had_never_been_dealt():
    dispatch = Dispatch(prefetch=3)
    join(dispatch, 1)
    arrive(dispatch, *(a_job(serial) for serial in range(1, 5)))
    deal(dispatch)
    dispatch.handle(WorkerSpoke(lane(1), HandBack([job_id(2), job_id(3)])), 0.0)
    assert deal(dispatch) == []
    join(dispatch, 2)
    assert deal(dispatch) == [SendJobs(lane(2), [a_job(2), a_job(3), a_job(4)])]
    assert dispatch.snapshot().retried == 0


def test_the_jobs_of_a_lost_worker_go_to_the_front_one_attempt_further_and_alone():
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


def test_a_job_that_has_lost_as_many_workers_as_it_may_is_answered_502():
    dispatch = Dispatch(max_attempts=2)
    join(dispatch, 1, 2)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    lose(dispatch, 1)
    deal(dispatch)
    (action,) = lose(dispatch, 2)
    assert isinstance(action, GiveUp)
    assert (action.job, action.status) == (a_job(1, attempt=2), 502)
    assert "2 workers were lost" in action.detail
    assert dispatch.empty


def test_a_job_that_may_run_only_once_is_answered_502_when_its_worker_is_lost():
    dispatch = Dispatch()
    join(dispatch, 1)
    arrive(dispatch, a_job(1, retryable=False))
    deal(dispatch)
    (action,) = lose(dispatch, 1)
    assert isinstance(action, GiveUp)
    assert action.status == 502


def test_a_pool_may_say_that_every_job_runs_again_or_none():
    for retry, retried in ((True, 1), (False, 0)):
        dispatch = Dispatch(retry=retry)
        join(dispatch, 1)
        arrive(dispatch, a_job(1, retryable=not retry))
        deal(dispatch)
        lose(dispatch, 1)
        assert dispatch.snapshot().retried == retried


def test_a_job_that_may_run_only_once_is_dealt_alone():
    dispatch = Dispatch(prefetch=4)
    join(dispatch, 1, 2, 3)
    jobs = [a_job(1), a_job(2, retryable=False), a_job(3)]
    arrive(dispatch, *jobs)
    assert deal(dispatch) == [SendJobs(lane(number), [job]) for number, job in enumerate(jobs, 1)]


def test_a_cancelled_job_that_waits_is_dropped_and_one_that_is_held_is_cancelled_at_its_worker():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2), a_job(3))
    deal(dispatch)
    requests = [request_of(job_id(1)), request_of(job_id(2))]
    assert dispatch.handle(RequestsCancelled(requests), 0.0) == [SendCancel(lane(1), requests[:1])]
    done(dispatch, 1, 1)
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(3)])]
    assert dispatch.snapshot().counters["cancelled"] == 1


def test_a_job_whose_deadline_has_passed_is_not_dealt():
    dispatch = Dispatch()
    join(dispatch, 1)
    arrive(dispatch, a_job(1, deadline=5.0), a_job(2))
    assert deal(dispatch, now=6.0) == [SendJobs(lane(1), [a_job(2)])]
    assert dispatch.snapshot().counters["expired"] == 1


def test_a_leaving_worker_is_said_goodbye_and_gets_nothing_more():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    assert dispatch.handle(WorkerSpoke(lane(1), Leave()), 0.0) == [SendGoodbye(lane(1))]
    done(dispatch, 1, 1)
    assert deal(dispatch) == []


def test_a_stranger_is_asked_who_it_is():
    dispatch = Dispatch()
    assert dispatch.handle(WorkerSpoke(lane(1), Beat("compute.1", 1, 0)), 0.0) == [AskWho(lane(1))]


def test_a_worker_busy_with_jobs_of_an_earlier_run_gets_none_before_it_is_done_with_them():
    dispatch = Dispatch()
    join(dispatch, 1, holds=[job_id(7)])
    arrive(dispatch, a_job(1))
    assert deal(dispatch) == []
    done(dispatch, 1, 7)
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(1)])]


def test_the_loss_of_another_incarnation_means_nothing():
    dispatch = Dispatch()
    join(dispatch, 1)
    dispatch.handle(WorkerLost("compute.1", 99), 0.0)
    arrive(dispatch, a_job(1))
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(1)])]


def test_a_silent_worker_is_named_once_a_period():
    dispatch = Dispatch()
    join(dispatch, 1)
    assert dispatch.silent(before=1.0, now=2.5) == [lane(1)]
    assert dispatch.silent(before=1.2, now=2.7) == []


def test_the_queue_is_full_at_its_bound():
    dispatch = Dispatch(max_queue=2)
    arrive(dispatch, a_job(1))
    assert not dispatch.full
    arrive(dispatch, a_job(2))
    assert dispatch.full


def test_the_snapshot_tells_what_waits_runs_and_has_been_done():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2), now=1.0)
    deal(dispatch, now=1.0)
    snapshot = dispatch.snapshot(now=4.0)
    assert (snapshot.queued, snapshot.in_flight, snapshot.oldest_wait_s, snapshot.arrived) == (1, 1, 3.0, 2)
    (load,) = snapshot.workers
    assert (load.worker, load.holding, load.busy_s) == ("compute.1", 1, 3.0)


class DispatchHistories(RuleBasedStateMachine):
    """Random orders of events: every job that arrived has at most one end, and none is forgotten or dealt twice."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatch = Dispatch(max_attempts=2)
        self.serial = 0
        self.live: set[int] = set()
        self.worker_serial = 0
        self.workers: dict[int, list[WireJob]] = {}
        self.ended: dict[JobId, str] = {}
        self.arrived: dict[JobId, WireJob] = {}
        self.begun_once: set[JobId] = set()
        self.called_off: set[JobId] = set()

    def perform(self, actions: list[object]) -> None:
        for action in actions:
            if isinstance(action, SendJobs):
                number = next(number for number in self.workers if lane(number) == action.address)
                assert self.workers[number] == [], "a worker that holds jobs was dealt more"
                for job in action.jobs:
                    assert job.id not in self.ended
                    holders = [held for jobs in self.workers.values() for held in jobs if held.id == job.id]
                    assert not holders, "a job is with two workers"
                    assert job.retryable or job.id not in self.begun_once, "a job that may run once was dealt again"
                self.workers[number] = list(action.jobs)
            elif isinstance(action, GiveUp):
                self.end(action.job.id, "given up")
                assert not action.job.retryable or action.job.attempt == 2

    def end(self, job: JobId, how: str) -> None:
        assert job not in self.ended, f"{job} ended twice: {self.ended[job]}, {how}"
        self.ended[job] = how

    @rule(count=st.integers(1, 5), retryable=st.booleans())
    def jobs_arrive(self, count: int, retryable: bool) -> None:
        jobs = []
        for _ in range(count):
            self.serial += 1
            jobs.append(a_job(self.serial, retryable=retryable))
        self.arrived.update({job.id: job for job in jobs})
        self.perform(self.dispatch.handle(JobsArrived(jobs), 0.0))

    @rule()
    def a_turn_ends(self) -> None:
        self.perform(self.dispatch.handle(TurnEnded(), 0.0))

    @rule()
    def a_worker_joins(self) -> None:
        self.worker_serial += 1
        self.workers[self.worker_serial] = []
        join(self.dispatch, self.worker_serial)

    @precondition(lambda self: any(self.workers.values()))
    @rule(data=st.data())
    def a_worker_finishes_some(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([number for number, jobs in self.workers.items() if jobs]))
        count = data.draw(st.integers(1, len(self.workers[number])))
        finished, self.workers[number] = self.workers[number][:count], self.workers[number][count:]
        for job in finished:
            self.end(job.id, "done")
        message = Done([job.id for job in finished], 0.00001 * count)
        self.perform(self.dispatch.handle(WorkerSpoke(lane(number), message), 0.0))

    @precondition(lambda self: any(len(jobs) > 1 for jobs in self.workers.values()))
    @rule(data=st.data())
    def a_worker_hands_back(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([number for number, jobs in self.workers.items() if len(jobs) > 1]))
        kept, back = self.workers[number][:1], self.workers[number][1:]
        self.workers[number] = kept
        for job in back:
            if job.id in self.called_off:
                self.end(job.id, "cancelled")
        message = HandBack([job.id for job in back])
        self.perform(self.dispatch.handle(WorkerSpoke(lane(number), message), 0.0))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def a_worker_dies(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.workers)))
        held = self.workers.pop(number)
        self.begun_once.update(job.id for job in held)
        for job in held:
            if job.id in self.called_off:
                self.end(job.id, "cancelled")
        self.perform(self.dispatch.handle(WorkerLost(f"compute.{number}", number), 0.0))

    @precondition(lambda self: set(self.arrived) - set(self.ended))
    @rule(data=st.data())
    def a_client_leaves(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(set(self.arrived) - set(self.ended))))
        held = [held.id for jobs in self.workers.values() for held in jobs]
        self.perform(self.dispatch.handle(RequestsCancelled([request_of(job)]), 0.0))
        if job in held:
            self.called_off.add(job)
        else:
            self.end(job, "cancelled")

    @invariant()
    def every_job_is_somewhere(self) -> None:
        held = {job.id for jobs in self.workers.values() for job in jobs}
        snapshot = self.dispatch.snapshot()
        assert snapshot.in_flight == len(held)
        assert snapshot.queued == len(self.arrived) - len(self.ended) - len(held)

    def teardown(self) -> None:
        """With workers that live, everything ends."""
        self.a_worker_joins()
        for _ in range(len(self.arrived) + len(self.workers) + 1):
            self.a_turn_ends()
            for number in [number for number, jobs in self.workers.items() if jobs]:
                jobs, self.workers[number] = self.workers[number], []
                for job in jobs:
                    self.end(job.id, "done")
                self.dispatch.handle(WorkerSpoke(lane(number), Done([job.id for job in jobs], 0.0)), 0.0)
        assert set(self.ended) == set(self.arrived)
        assert self.dispatch.empty


DispatchHistories.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestDispatchHistories = DispatchHistories.TestCase
