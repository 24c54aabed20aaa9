"""What a proxy does with requests that nobody waits for any more, and with jobs that come twice or too late."""

from __future__ import annotations

from primectl.proxy.dispatch import Dispatch
from primectl.proxy.events import AskWho, RequestsCancelled, SendCancel, SendJobs, TellStuck, WorkerSpoke
from primectl.wire.job import Beat, Cancel, HandBack, request_of, server_lane
from tests.spec.proxy.driving import (
    arrive,
    cancel,
    counted,
    deal,
    dealt,
    done,
    further,
    join,
    lose,
    say,
    tick,
)
from tests.support.jobs import a_job, job_id, lane

MANY = 5000


def test_a_cancelled_job_that_waits_is_dropped_and_one_that_is_held_is_cancelled_at_its_worker():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2), a_job(3))
    deal(dispatch)
    assert cancel(dispatch, 1, 2) == [SendCancel(lane(1), [request_of(job_id(1))])]
    done(dispatch, 1, 1)
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(3)])]
    assert counted(dispatch, "cancelled") == 1


def test_a_held_job_is_cancelled_once_however_often_that_is_said():
    dispatch = Dispatch()
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    assert len(cancel(dispatch, 1)) == 1
    assert cancel(dispatch, 1) == []


def test_the_payload_of_a_cancelled_job_is_freed_at_once_while_others_wait_around_it():
    dispatch = Dispatch()
    arrive(dispatch, *(a_job(serial, payload=b"x" * 1000) for serial in range(1, 4)))
    cancel(dispatch, 2)
    assert dispatch._book.waiting_bytes == 2000
    assert [len(ticket.job.payload) for ticket in dispatch._book._line] == [1000, 0, 1000]


def test_what_is_left_of_cancelled_jobs_does_not_pile_up_in_the_line():
    dispatch = Dispatch()
    arrive(dispatch, a_job(MANY + 1))
    for serial in range(1, MANY + 1):
        arrive(dispatch, a_job(serial))
        cancel(dispatch, serial)
    assert len(dispatch._book._line) < 100
    assert len(dispatch._book.by_request) == 1


def test_the_jobs_around_thousands_of_cancelled_ones_keep_their_order():
    dispatch = Dispatch(prefetch=MANY)
    arrive(dispatch, *(a_job(serial) for serial in range(1, MANY + 1)))
    kept = [serial for serial in range(1, MANY + 1) if serial % 7 == 0]
    cancel(dispatch, *(serial for serial in range(1, MANY + 1) if serial % 7))
    join(dispatch, 1)
    assert dealt(deal(dispatch)) == {lane(1): kept}


def test_a_job_that_comes_after_its_cancel_is_dropped():
    dispatch = Dispatch()
    join(dispatch, 1)
    cancel(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(2)])]
    assert counted(dispatch, "cancelled") == 1


def test_a_request_that_was_cancelled_while_it_ran_does_not_come_back_as_a_forward():
    dispatch = Dispatch()
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    cancel(dispatch, 1)
    arrive(dispatch, further(a_job(1)))
    done(dispatch, 1, 1)
    assert deal(dispatch) == []
    assert dispatch.empty


def test_the_cancels_that_are_remembered_are_bounded():
    dispatch = Dispatch()
    for serial in range(1, 30_001):
        cancel(dispatch, serial)
    assert len(dispatch._book._cancelled) == 20_000
    arrive(dispatch, a_job(30_000))
    assert dispatch.snapshot().queued == 0


def test_a_server_cancels_on_a_lane_of_its_own_and_is_not_taken_for_a_worker():
    dispatch = Dispatch()
    server = server_lane("server.1", 7)
    arrive(dispatch, a_job(1))
    assert dispatch.handle(WorkerSpoke(server, Cancel([request_of(job_id(1))])), 0.0) == []
    assert dispatch.empty
    assert dispatch.handle(WorkerSpoke(server, Beat("server.1", 7, 0)), 0.0) == []
    assert say(dispatch, 9, Beat("compute.9", 9, 0)) == [AskWho(lane(9))]


def test_a_cancelled_job_that_is_handed_back_or_whose_worker_is_lost_is_over():
    dispatch = Dispatch(prefetch=2)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    cancel(dispatch, 1, 2)
    assert say(dispatch, 1, HandBack([job_id(2)])) == []
    assert lose(dispatch, 1) == []
    assert dispatch.empty


def test_a_job_that_is_queued_or_held_is_not_queued_a_second_time():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    arrive(dispatch, a_job(1), a_job(2))
    assert dispatch.snapshot().queued == 1
    assert counted(dispatch, "duplicates") == 2


def test_a_lower_hop_of_a_request_than_the_one_that_is_known_is_dropped():
    dispatch = Dispatch()
    second = further(a_job(1))
    arrive(dispatch, second, a_job(1))
    join(dispatch, 1)
    assert deal(dispatch) == [SendJobs(lane(1), [second])]
    assert counted(dispatch, "superseded") == 1


def test_a_higher_hop_takes_the_place_of_a_lower_one_that_still_waits():
    dispatch = Dispatch()
    second = further(a_job(1))
    arrive(dispatch, a_job(1), second)
    join(dispatch, 1)
    assert deal(dispatch) == [SendJobs(lane(1), [second])]


def test_a_hop_whose_successor_has_come_is_not_run_again_when_its_worker_is_lost():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    second = further(a_job(1))
    arrive(dispatch, second)
    assert lose(dispatch, 1) == []
    join(dispatch, 2)
    assert deal(dispatch) == [SendJobs(lane(2), [second])]
    assert dispatch.snapshot().retried == 0


def test_a_request_may_come_back_to_its_pool_before_its_worker_says_that_it_is_done():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    second = further(a_job(1))
    arrive(dispatch, second)
    done(dispatch, 1, 1)
    assert deal(dispatch) == [SendJobs(lane(1), [second])]
    assert dispatch.handle(RequestsCancelled([request_of(second.id)]), 0.0) == [
        SendCancel(lane(1), [request_of(second.id)])
    ]


def test_a_held_job_is_cancelled_when_its_deadline_is_over():
    dispatch = Dispatch(prefetch=2)
    join(dispatch, 1)
    arrive(dispatch, a_job(1, deadline=5.0), a_job(2, deadline=9.0))
    deal(dispatch)
    assert dispatch.next_deadline() == 5.0
    assert tick(dispatch, 4.9) == []
    assert tick(dispatch, 5.0) == [SendCancel(lane(1), [request_of(job_id(1))])]
    assert dispatch.next_deadline() == 7.0
    done(dispatch, 1, 1)
    assert tick(dispatch, 9.0) == [SendCancel(lane(1), [request_of(job_id(2))])]


def test_a_worker_that_does_not_let_go_of_a_cancelled_job_is_told_of_once():
    dispatch = Dispatch(kill_after=2.0)
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    cancel(dispatch, 1, now=3.0)
    assert tick(dispatch, 4.9) == []
    assert tick(dispatch, 5.0) == [TellStuck("compute.1", 1, request_of(job_id(1)))]
    assert tick(dispatch, 100.0) == []


def test_a_worker_that_lets_go_in_time_is_not_stuck():
    dispatch = Dispatch(kill_after=2.0)
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    deal(dispatch)
    cancel(dispatch, 1)
    done(dispatch, 1, 1, now=1.9)
    assert tick(dispatch, 5.0) == []
    assert dispatch.next_deadline() is None or dispatch.next_deadline() == 1e9


def test_a_worker_is_not_stuck_in_a_cancelled_job_that_waits_there_behind_one_that_is_still_wanted():
    dispatch = Dispatch(prefetch=2, kill_after=2.0)
    join(dispatch, 1)
    arrive(dispatch, a_job(1, deadline=20.0), a_job(2))
    deal(dispatch)
    cancel(dispatch, 2)
    assert tick(dispatch, 10.0) == []
    assert tick(dispatch, 20.0) == [SendCancel(lane(1), [request_of(job_id(1))])]
    assert tick(dispatch, 22.0) == [TellStuck("compute.1", 1, request_of(job_id(1)))]


def test_the_jobs_behind_one_that_its_worker_was_killed_for_go_to_others():
    dispatch = Dispatch(prefetch=2)
    join(dispatch, 1, 2)
    arrive(dispatch, a_job(1), a_job(2))
    deal(dispatch)
    cancel(dispatch, 1)
    assert lose(dispatch, 1) == []
    assert dealt(deal(dispatch)) == {lane(2): [2]}


def test_a_job_whose_deadline_has_passed_is_not_dealt():
    dispatch = Dispatch()
    join(dispatch, 1)
    arrive(dispatch, a_job(1, deadline=5.0), a_job(2))
    assert deal(dispatch, now=6.0) == [SendJobs(lane(1), [a_job(2)])]
    assert counted(dispatch, "expired") == 1


def test_jobs_that_are_all_over_leave_their_worker_idle():
    dispatch = Dispatch()
    join(dispatch, 1)
    arrive(dispatch, a_job(1, deadline=5.0))
    assert deal(dispatch, now=6.0) == []
    arrive(dispatch, a_job(2), now=6.0)
    assert deal(dispatch, now=6.0) == [SendJobs(lane(1), [a_job(2)])]


def test_done_for_a_job_that_is_unknown_means_nothing():
    dispatch = Dispatch()
    join(dispatch, 1)
    done(dispatch, 1, 99)
    arrive(dispatch, a_job(1))
    assert dealt(deal(dispatch)) == {lane(1): [1]}
