"""The rules by which a proxy deals jobs to workers (docs: dispatch)."""

from __future__ import annotations

import pytest

from primectl.proxy.dispatch import QUEUE_BYTES, Dispatch
from primectl.proxy.events import AskWho, SendGoodbye, SendJobs
from primectl.proxy.seats import ROTATION
from primectl.wire.job import Announce, Beat, HandBack, Leave
from tests.spec.proxy.driving import arrive, cancel, deal, dealt, done, join, say
from tests.support.jobs import a_job, job_id, lane


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


def test_in_a_large_pool_few_take_turns_while_few_are_needed_and_all_work_when_all_are():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, *range(1, ROTATION + 5))
    turns = []
    for serial in range(1, 3 * ROTATION + 1):
        arrive(dispatch, a_job(serial))
        (sent,) = deal(dispatch)
        assert isinstance(sent, SendJobs)
        worker = next(number for number in range(1, ROTATION + 5) if lane(number) == sent.address)
        turns.append(worker)
        done(dispatch, worker, serial)
    assert turns == 3 * list(range(5, ROTATION + 5))
    arrive(dispatch, *(a_job(serial) for serial in range(100, 100 + ROTATION + 4)))
    assert len(deal(dispatch)) == ROTATION + 4


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
    say(dispatch, 1, HandBack([job_id(2), job_id(3)]))
    assert deal(dispatch) == []
    join(dispatch, 2)
    assert deal(dispatch) == [SendJobs(lane(2), [a_job(2), a_job(3), a_job(4)])]
    assert dispatch.snapshot().retried == 0


def test_a_leaving_worker_is_said_goodbye_and_gets_nothing_more():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    assert say(dispatch, 1, Leave()) == [SendGoodbye(lane(1))]
    done(dispatch, 1, 1)
    assert deal(dispatch) == []


def test_a_stranger_is_asked_who_it_is():
    dispatch = Dispatch()
    assert say(dispatch, 1, Beat("compute.1", 1, 0)) == [AskWho(lane(1))]


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


def test_the_queue_is_full_when_its_payloads_are_and_has_room_as_soon_as_they_are_not():
    dispatch = Dispatch()
    large = b"x" * (QUEUE_BYTES // 4)
    arrive(dispatch, *(a_job(serial, payload=large) for serial in range(1, 5)))
    assert dispatch.full
    cancel(dispatch, 3)
    assert not dispatch.full


def test_jobs_that_a_worker_has_been_dealt_do_not_fill_the_queue():
    dispatch = Dispatch(max_queue=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    assert not dispatch.full


def test_a_worker_that_announces_itself_again_keeps_what_is_booked_on_it():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    assert say(dispatch, 1, Announce("compute.1", 1)) == []
    assert deal(dispatch) == []
    done(dispatch, 1, 1)
    assert dealt(deal(dispatch)) == {lane(1): [2]}


def test_a_dispatcher_that_waits_for_nothing_asks_for_no_time():
    assert Dispatch().next_deadline() is None


def test_workers_are_named_and_those_that_hold_jobs():
    dispatch = Dispatch()
    join(dispatch, 1, 2, holds=[])
    join(dispatch, 3, holds=[job_id(9)])
    assert dispatch.holders() == [lane(3)]
    assert set(dispatch.addresses()) == {lane(1), lane(2), lane(3)}
    assert dispatch.worker_at(lane(3)) == ("compute.3", 3)
    assert dispatch.worker_at(lane(4)) is None
    assert (dispatch.holds("compute.3", 3), dispatch.holds("compute.1", 1), dispatch.holds("compute.4", 4)) == (
        True,
        False,
        False,
    )


def test_jobs_that_came_in_one_turn_and_ended_in_one_are_counted_each():
    dispatch = Dispatch(prefetch=10)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2), now=1.0)
    arrive(dispatch, a_job(3), now=1.5)
    deal(dispatch, now=2.0)
    done(dispatch, 1, 1, 2, 3, now=2.0)
    assert sorted(count for count in dispatch.snapshot().latency if count) == [1, 2]
