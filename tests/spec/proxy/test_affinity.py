"""A job goes to an idle worker that served its key last, where there is one."""

from __future__ import annotations

from primectl.proxy.dispatch import Dispatch
from primectl.proxy.events import DrainAsked, SendJobs
from primectl.wire.job import Leave
from tests.spec.proxy.driving import arrive, deal, dealt, done, join, keyed, lose, say, tell
from tests.support.jobs import a_job, job_id, lane


def test_a_job_goes_to_the_idle_worker_that_had_its_key_last_else_to_the_longest_idle():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1, 2, 3)
    arrive(dispatch, keyed(1, "london"), keyed(2, "paris"))
    assert dealt(deal(dispatch)) == {lane(1): [1], lane(2): [2]}
    done(dispatch, 1, 1)
    done(dispatch, 2, 2)
    arrive(dispatch, keyed(3, "paris"), keyed(4, "rome"), keyed(5, "london"))
    assert dealt(deal(dispatch)) == {lane(2): [3], lane(3): [4], lane(1): [5]}


def test_order_of_arrival_comes_before_keys():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1, key="london")
    arrive(dispatch, keyed(1, "paris"), keyed(2, "london"))
    assert dealt(deal(dispatch)) == {lane(1): [1]}


def test_of_two_that_had_the_key_the_longer_idle_is_taken():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1, 2, 3, key="london")
    arrive(dispatch, keyed(1, "london"))
    assert dealt(deal(dispatch)) == {lane(1): [1]}
    done(dispatch, 1, 1)
    arrive(dispatch, keyed(2, "london"))
    assert dealt(deal(dispatch)) == {lane(2): [2]}


def test_a_batch_has_one_key():
    dispatch = Dispatch(prefetch=10)
    join(dispatch, 1, 2, 3)
    arrive(dispatch, keyed(1, "london"), keyed(2, "london"), a_job(3), keyed(4, "paris"))
    assert dealt(deal(dispatch)) == {lane(1): [1, 2], lane(2): [3], lane(3): [4]}


def test_a_worker_says_itself_which_key_it_has_at_hand():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    join(dispatch, 2, key="london")
    arrive(dispatch, keyed(1, "london"))
    assert dealt(deal(dispatch)) == {lane(2): [1]}
    done(dispatch, 2, 1, key="paris")
    arrive(dispatch, keyed(2, "paris"))
    assert dealt(deal(dispatch)) == {lane(2): [2]}


def test_a_worker_that_speaks_of_another_key_while_it_is_idle_is_found_by_that():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1)
    join(dispatch, 2, key="london")
    done(dispatch, 2, 99, key="paris")
    arrive(dispatch, keyed(1, "paris"))
    assert dealt(deal(dispatch)) == {lane(2): [1]}
    assert dispatch._seats.keyed == {}


def test_a_job_without_a_key_takes_the_longest_idle_and_leaves_it_its_key():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1, 2, key="london")
    arrive(dispatch, a_job(1))
    assert dealt(deal(dispatch)) == {lane(1): [1]}
    done(dispatch, 1, 1)
    tell(dispatch, DrainAsked(["compute.2"]))
    join(dispatch, 3)
    arrive(dispatch, keyed(2, "london"))
    assert dealt(deal(dispatch)) == {lane(1): [2]}


def test_workers_that_are_gone_leaving_or_drained_are_not_found_by_their_keys():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1, 2, 3, key="london")
    join(dispatch, 4)
    lose(dispatch, 1)
    say(dispatch, 2, Leave())
    tell(dispatch, DrainAsked(["compute.3"]))
    arrive(dispatch, keyed(1, "london"))
    assert deal(dispatch) == [SendJobs(lane(4), [keyed(1, "london")])]
    assert dispatch._seats.keyed == {}


def test_a_lost_job_keeps_its_place_and_its_key():
    dispatch = Dispatch(prefetch=1)
    join(dispatch, 1, key="london")
    arrive(dispatch, keyed(1, "london"))
    deal(dispatch)
    join(dispatch, 2)
    join(dispatch, 3, key="london")
    lose(dispatch, 1)
    (action,) = deal(dispatch)
    assert isinstance(action, SendJobs)
    assert (action.address, action.jobs[0].id) == (lane(3), job_id(1))
