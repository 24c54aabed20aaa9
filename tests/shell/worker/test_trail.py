"""What a worker adds to the trail of a request, whatever becomes of its job."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from msgspec import structs

from primectl.wire import frames
from primectl.wire.job import StreamBegun, request_of
from primectl.wire.journal import Hop, add_hop, hops_of
from tests.support.worker_bench import Bench, a_bench, job

BEFORE = Hop("parse.1", 1.0, 2.0)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(getattr(request, "param", "echo")) as bench:
        yield bench


def test_an_answer_tells_where_the_request_was_and_when_this_worker_ran_it_and_which_attempt_that_was(bench: Bench):
    began = time.monotonic()
    bench.send(structs.replace(job(1, "hello"), attempt=2, trail=add_hop(b"", BEFORE)))
    before, here = hops_of(bench.wait_for_answer().trail)
    assert before == BEFORE
    assert (here.worker, here.attempt, here.failed) == ("compute.1", 2, False)
    assert began <= here.begun <= here.ended <= time.monotonic()


@pytest.mark.parametrize("bench", ["onward"], indirect=True)
def test_a_forwarded_request_takes_its_trail_along_and_a_failed_forward_is_a_failed_hop(bench: Bench):
    bench.send(job(1, {"to": "other", "wait": 0.01}))
    assert bench.next_pool.poll(20_000)
    (forwarded,) = frames.to_proxy(bench.next_pool.recv_multipart()[1]).jobs
    (hop,) = hops_of(forwarded.trail)
    assert (hop.worker, hop.attempt, hop.failed) == ("compute.1", 1, False)
    assert hop.ended - hop.begun >= 0.01
    bench.send(job(2, {"to": "nowhere"}))
    assert [hop.failed for hop in hops_of(bench.wait_for_answer().trail)] == [True]


@pytest.mark.parametrize("bench", ["noisy"], indirect=True)
def test_a_handler_that_raised_is_a_failed_hop(bench: Bench):
    bench.send(job(1, "news"))
    assert [(hop.worker, hop.failed) for hop in hops_of(bench.wait_for_answer().trail)] == [("compute.1", True)]


@pytest.mark.parametrize("bench", ["cancelled_in"], indirect=True)
def test_a_worker_that_lets_go_of_a_job_whose_time_is_over_says_that_it_was_here(bench: Bench):
    late = structs.replace(job(1, "sleep", deadline=time.monotonic() + 0.1), trail=add_hop(b"", BEFORE))
    bench.send(late)
    bench.wait_for_done(1)
    assert bench.nothing_for_the_server()
    before, here = hops_of(bench.places[request_of(late.id)])
    assert before == BEFORE
    assert (here.worker, here.failed) == ("compute.1", True)
    assert here.ended >= late.deadline


def test_a_job_whose_time_is_over_before_it_begins_has_waited_for_a_worker_all_the_time(bench: Bench):
    late = structs.replace(job(1, "late", deadline=time.monotonic() - 0.001), trail=add_hop(b"", BEFORE))
    bench.send(late)
    bench.wait_for_done(1)
    assert bench.nothing_for_the_server()
    before, here = hops_of(bench.places[request_of(late.id)])
    assert before == BEFORE
    assert (here.worker, here.begun, here.failed) == ("compute", here.ended, True)


@pytest.mark.parametrize("bench", ["stream"], indirect=True)
def test_a_streamed_answer_has_its_trail_in_its_head(bench: Bench):
    bench.send(structs.replace(job(1, ["one"]), trail=add_hop(b"", BEFORE)))
    begun = bench.wait_for_message()
    assert isinstance(begun, StreamBegun)
    before, here = hops_of(begun.answer.trail)
    assert before == BEFORE
    assert (here.worker, here.begun <= here.ended) == ("compute.1", True)
