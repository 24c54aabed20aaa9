"""How a proxy that took over from another finds out who has what, before it deals."""

from __future__ import annotations

from primectl.control.notes import Begun
from primectl.proxy.dispatch import Dispatch
from primectl.proxy.events import DispatchAction, JobsSentAgain, NotesRead, ReadNotes, RosterTold, SendCancel, SendJobs
from primectl.wire.job import HandBack, WireJob, request_of
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
    notes,
    say,
    tell,
    tick,
)
from tests.support.jobs import a_job, job_id, lane


def roster(*numbers: int) -> RosterTold:
    return RosterTold([(f"compute.{number}", number) for number in numbers])


def again(dispatch: Dispatch, *jobs: WireJob, now: float = 0.0) -> None:
    tell(dispatch, JobsSentAgain(list(jobs)), now)


def once(serial: int) -> WireJob:
    return a_job(serial, retryable=False, deadline=30.0)


def judged(dispatch: Dispatch, found: dict[int, Begun], now: float = 0.0) -> list[DispatchAction]:
    """The notes are asked for, and these are found, by the numbers of their workers."""
    assert deal(dispatch, now) == [ReadNotes()]
    return dispatch.handle(NotesRead({f"compute.{number}": begun for number, begun in found.items()}), now)


def test_nothing_is_dealt_before_every_worker_of_the_roster_has_announced_itself():
    dispatch = Dispatch(prefetch=1)
    tell(dispatch, roster(1, 2))
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    assert deal(dispatch) == []
    join(dispatch, 2)
    assert deal(dispatch) == [SendJobs(lane(1), [a_job(1)])]


def test_a_worker_of_the_roster_that_is_gone_is_not_waited_for():
    dispatch = Dispatch(prefetch=1)
    tell(dispatch, roster(1, 2))
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    lose(dispatch, 2)
    assert dealt(deal(dispatch)) == {lane(1): [1]}


def test_the_next_life_of_a_worker_of_the_roster_tells_that_the_earlier_is_gone():
    dispatch = Dispatch(prefetch=1)
    tell(dispatch, RosterTold([("compute.5", 1)]))
    arrive(dispatch, a_job(1))
    join(dispatch, 5)
    assert dealt(deal(dispatch)) == {lane(5): [1]}


def test_workers_that_have_announced_themselves_before_the_roster_came_are_not_waited_for():
    dispatch = Dispatch()
    join(dispatch, 1)
    tell(dispatch, roster(1))
    arrive(dispatch, a_job(1))
    assert dealt(deal(dispatch)) == {lane(1): [1]}


def test_a_silent_worker_is_waited_for_one_second():
    dispatch = Dispatch(prefetch=1)
    tell(dispatch, roster(1, 2), now=10.0)
    join(dispatch, 1, now=10.0)
    arrive(dispatch, a_job(1), now=10.1)
    assert dispatch.next_deadline() == 11.0
    assert tick(dispatch, 10.9) == []
    assert dealt(tick(dispatch, 11.0)) == {lane(1): [1]}


def test_jobs_sent_again_wait_for_the_roster_too():
    dispatch = Dispatch()
    again(dispatch, a_job(1))
    join(dispatch, 1)
    assert deal(dispatch) == []
    tell(dispatch, roster(1))
    assert dealt(judged(dispatch, {1: notes()})) == {lane(1): [1]}


def test_what_a_worker_holds_is_not_dealt_again():
    dispatch = Dispatch()
    tell(dispatch, roster(1, 2))
    again(dispatch, a_job(1), a_job(2))
    join(dispatch, 1, holds=[job_id(1)])
    join(dispatch, 2)
    assert dealt(judged(dispatch, {})) == {lane(2): [2]}
    done(dispatch, 1, 1)
    done(dispatch, 2, 2)
    assert dispatch.empty


def test_it_does_not_matter_whether_the_worker_or_the_server_speaks_first():
    dispatch = Dispatch()
    tell(dispatch, roster(1))
    join(dispatch, 1, holds=[job_id(1)])
    again(dispatch, a_job(1))
    assert dispatch.snapshot().queued == 0
    assert counted(dispatch, "held_already") == 1


def test_a_job_of_the_earlier_run_goes_to_another_when_its_worker_is_lost_after_all():
    for order in ("worker first", "server first"):
        dispatch = Dispatch()
        tell(dispatch, roster(1))
        if order == "server first":
            again(dispatch, a_job(1))
        join(dispatch, 1, holds=[job_id(1)])
        if order == "worker first":
            again(dispatch, a_job(1))
        assert lose(dispatch, 1, notes(current=1)) == []
        join(dispatch, 2)
        actions = deal(dispatch) if order == "worker first" else judged(dispatch, {})
        assert actions == [SendJobs(lane(2), [a_job(1, attempt=2)])]


def test_a_job_of_the_earlier_run_that_no_server_has_sent_again_ends_with_its_worker():
    dispatch = Dispatch()
    join(dispatch, 1, holds=[job_id(1), job_id(2)])
    say(dispatch, 1, HandBack([job_id(2)]))
    assert lose(dispatch, 1) == []
    assert dispatch.empty
    assert counted(dispatch, "hollow_lost") == 2


def test_a_job_of_the_earlier_run_can_be_cancelled():
    dispatch = Dispatch()
    join(dispatch, 1, holds=[job_id(1)])
    assert cancel(dispatch, 1) == [SendCancel(lane(1), [request_of(job_id(1))])]


def test_a_worker_busy_with_jobs_of_an_earlier_run_gets_none_before_it_is_done_with_them():
    dispatch = Dispatch()
    join(dispatch, 1, holds=[job_id(7)])
    arrive(dispatch, a_job(1))
    assert deal(dispatch) == []
    assert dispatch.snapshot().in_flight == 1
    done(dispatch, 1, 7)
    assert dealt(deal(dispatch)) == {lane(1): [1]}


def test_what_was_sent_again_goes_before_what_came_meanwhile():
    dispatch = Dispatch(prefetch=10)
    tell(dispatch, roster(1))
    arrive(dispatch, a_job(3))
    again(dispatch, a_job(1), a_job(2))
    join(dispatch, 1)
    assert dealt(judged(dispatch, {})) == {lane(1): [1, 2, 3]}


def test_a_job_that_may_run_only_once_is_dealt_when_nobody_has_begun_it():
    dispatch = Dispatch()
    tell(dispatch, roster(1))
    again(dispatch, once(1))
    join(dispatch, 1)
    assert judged(dispatch, {1: notes(7, current=7, alive=True)}) == [SendJobs(lane(1), [once(1)])]


def test_a_job_that_may_run_only_once_and_was_begun_by_a_worker_that_lives_is_left_to_it():
    dispatch = Dispatch()
    tell(dispatch, roster(1))
    again(dispatch, once(1))
    join(dispatch, 1)
    assert judged(dispatch, {1: notes(1, current=2, alive=True)}) == []
    assert dispatch.empty
    assert counted(dispatch, "ran_before") == 1


def test_a_job_that_may_run_only_once_and_was_lost_with_its_worker_is_answered_502():
    for found in (notes(1, current=1), notes(1, current=9, broken=(1,), alive=True)):
        dispatch = Dispatch()
        tell(dispatch, roster(1))
        again(dispatch, once(1))
        join(dispatch, 1)
        assert given_up(judged(dispatch, {1: notes(), 2: found}), 502) == [job_id(1)]
        assert dispatch.empty


def test_a_job_that_was_lost_with_its_worker_and_may_run_again_does_so_one_attempt_further():
    dispatch = Dispatch()
    tell(dispatch, roster(1))
    again(dispatch, a_job(1))
    join(dispatch, 1)
    assert judged(dispatch, {2: notes(current=1)}) == [SendJobs(lane(1), [a_job(1, attempt=2)])]


def test_a_job_that_may_run_only_once_waits_while_a_worker_lives_that_has_not_spoken():
    dispatch = Dispatch(prefetch=1)
    tell(dispatch, roster(1, 2))
    again(dispatch, once(1), a_job(2))
    join(dispatch, 1)
    found = {"compute.1": notes(alive=True), "compute.2": notes(current=7, alive=True)}
    assert tick(dispatch, 0.9) == []
    assert tick(dispatch, 1.0) == [ReadNotes()]
    assert dealt(dispatch.handle(NotesRead(found), 1.0)) == {lane(1): [2]}
    done(dispatch, 1, 2)
    assert dispatch.snapshot().queued == 1
    assert tick(dispatch, 1.9) == []
    assert tick(dispatch, 2.0) == [ReadNotes()]
    assert dispatch.handle(NotesRead(found), 2.0) == []
    join(dispatch, 2)
    assert dealt(judged(dispatch, {1: notes(), 2: notes(alive=True)}, now=2.1)) == {lane(1): [1]}


def test_a_job_that_may_run_only_once_is_dealt_when_the_worker_that_has_not_spoken_has_died():
    dispatch = Dispatch()
    tell(dispatch, roster(1, 2))
    again(dispatch, once(1))
    join(dispatch, 1)
    assert tick(dispatch, 1.0) == [ReadNotes()]
    assert dispatch.handle(NotesRead({"compute.1": notes(), "compute.2": notes(alive=True)}), 1.0) == []
    lose(dispatch, 2, now=1.5)
    assert dealt(judged(dispatch, {1: notes(), 2: notes()}, now=1.5)) == {lane(1): [1]}


def test_a_roster_that_comes_late_counts_as_well():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    arrive(dispatch, a_job(1), a_job(2))
    assert dealt(deal(dispatch)) == {lane(1): [1]}
    tell(dispatch, roster(1, 2))
    join(dispatch, 3)
    assert deal(dispatch) == []
    join(dispatch, 2)
    assert dealt(deal(dispatch)) == {lane(3): [2]}


def test_what_was_noted_too_long_ago_to_tell_is_not_run():
    dispatch = Dispatch(request_timeout=30.0)
    tell(dispatch, roster(1))
    again(dispatch, a_job(1, retryable=False, deadline=100.0), a_job(2, retryable=False, deadline=200.0), a_job(3))
    join(dispatch, 1)
    actions = judged(dispatch, {1: notes(complete_since=80.0, alive=True)})
    assert given_up(actions[:1], 502) == [job_id(1)]
    assert dealt(actions[1:]) == {lane(1): [2]}


def test_where_a_worker_keeps_no_notes_what_may_run_only_once_is_not_run_again():
    dispatch = Dispatch()
    tell(dispatch, roster(1))
    again(dispatch, once(1), a_job(2))
    join(dispatch, 1, notes=False)
    actions = judged(dispatch, {})
    assert given_up(actions[:1], 502) == [job_id(1)]
    assert dealt(actions[1:]) == {lane(1): [2]}


def test_a_job_sent_again_that_is_queued_already_or_was_cancelled_is_not_queued_again():
    dispatch = Dispatch()
    tell(dispatch, roster(1))
    arrive(dispatch, a_job(1))
    cancel(dispatch, 2)
    again(dispatch, a_job(1), a_job(2))
    assert dispatch.snapshot().queued == 1


def test_a_job_sent_again_is_history_when_its_request_has_come_back_with_a_higher_hop():
    dispatch = Dispatch()
    tell(dispatch, roster(1))
    join(dispatch, 1, holds=[further(a_job(1)).id])
    again(dispatch, a_job(1))
    assert dispatch.snapshot().queued == 0
    assert counted(dispatch, "superseded") == 1


def test_a_job_sent_again_can_be_cancelled_while_its_fate_is_open():
    dispatch = Dispatch()
    tell(dispatch, roster(1))
    again(dispatch, a_job(1), a_job(2))
    assert cancel(dispatch, 1) == []
    join(dispatch, 1)
    assert dealt(judged(dispatch, {})) == {lane(1): [2]}


def test_an_earlier_life_that_speaks_late_does_not_stand_for_the_present_one():
    dispatch = Dispatch()
    tell(dispatch, RosterTold([("compute.1", 9)]))
    join(dispatch, 1)
    arrive(dispatch, a_job(1))
    assert deal(dispatch) == []


def test_a_worker_that_has_not_spoken_and_keeps_no_notes_may_hold_what_may_run_only_once():
    dispatch = Dispatch()
    tell(dispatch, roster(1, 2))
    again(dispatch, once(1))
    join(dispatch, 1)
    assert tick(dispatch, 1.0) == [ReadNotes()]
    assert dispatch.handle(NotesRead({"compute.1": notes()}), 1.0) == []
    join(dispatch, 2, holds=[job_id(1)], notes=False)
    assert (dispatch.snapshot().queued, dispatch.snapshot().in_flight) == (0, 1)


def test_where_nothing_runs_twice_what_workers_do_not_note_is_not_run_again():
    dispatch = Dispatch(retry=False)
    tell(dispatch, roster(1))
    again(dispatch, a_job(1), once(2))
    join(dispatch, 1)
    actions = judged(dispatch, {1: notes()})
    assert given_up(actions[:1], 502) == [job_id(1)]
    assert dealt(actions[1:]) == {lane(1): [2]}
