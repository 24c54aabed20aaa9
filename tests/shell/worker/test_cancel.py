"""Nobody waits for a job any more: it ends, wherever its handler is, and its worker goes on."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator

import pytest

from primectl.wire import frames
from primectl.wire.job import URGENT, Announce, Done, HandBack, WhoIsThere, first_job
from primectl.worker.duty import KILL_MARGIN_S
from tests.support.handlers import PLACES
from tests.support.plane import exit_status, wait_for
from tests.support.worker_bench import LANE, Bench, a_bench, job


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(request.param) as bench:
        yield bench


def wait_for_word(bench: Bench, word: str) -> None:
    wait_for(lambda: word in bench.plane.log("compute.1"), f"{word!r} in the log")


@pytest.mark.parametrize("bench", ["cancelled_in"], indirect=True)
def test_a_cancelled_handler_gets_job_cancelled_raised_wherever_it_is(bench: Bench):
    for serial, where in enumerate(PLACES, 1):
        bench.send(job(serial, where))
        wait_for_word(bench, f"begun {where}")
        bench.cancel(serial)
        bench.wait_for_done(serial)
        assert f"cancelled in {where}" in bench.plane.log("compute.1")
    assert bench.nothing_for_the_server(), "a cancelled job has been answered"
    assert bench.process.poll() is None


@pytest.mark.parametrize("bench", ["cancelled_in"], indirect=True)
def test_a_job_whose_deadline_passes_while_it_runs_is_ended_without_a_word_from_anyone(bench: Bench):
    bench.send(job(1, "sleep", deadline=time.monotonic() + 0.2))
    bench.wait_for_done(1)
    assert "cancelled in sleep" in bench.plane.log("compute.1")
    assert bench.nothing_for_the_server()


@pytest.mark.parametrize("bench", ["echo"], indirect=True)
def test_a_job_whose_deadline_has_passed_is_not_begun(bench: Bench):
    bench.send(job(1, "late", deadline=time.monotonic() - 0.001), job(2, "in time"))
    bench.wait_for_done(1, 2)
    assert bench.wait_for_answer().body == b"in time"
    assert bench.nothing_for_the_server()
    wait_for(lambda: any(sample.counters["expired"] == 1 for sample in bench.samples()), "the count")


@pytest.mark.parametrize("bench", ["forgiving"], indirect=True)
def test_a_handler_may_catch_its_cancellation_and_return_and_nobody_is_sent_what_it_returns(bench: Bench):
    bench.send(job(1, 60.0))
    wait_for_word(bench, "begun")
    bench.cancel(1)
    bench.wait_for_done(1)
    assert "taken for a hint" in bench.plane.log("compute.1")
    assert bench.nothing_for_the_server()
    bench.send(job(2, 0.0))
    assert bench.wait_for_answer().body == b"done"


@pytest.mark.parametrize("bench", ["echo"], indirect=True)
def test_a_cancel_that_comes_before_its_job_is_remembered(bench: Bench):
    bench.cancel(2)
    bench.out.send_multipart([URGENT + LANE, frames.encode(WhoIsThere())])  # read behind the cancel
    bench.wait_to_hear(Announce)
    bench.send(job(1, "wanted"), job(2, "cancelled"))
    bench.wait_for_done(1, 2)
    assert bench.wait_for_answer().body == b"wanted"
    assert bench.nothing_for_the_server()


@pytest.mark.parametrize("bench", ["await_"], indirect=True)
def test_of_an_async_handler_the_task_is_cancelled(bench: Bench):
    bench.send(job(1, 60.0))
    wait_for_word(bench, "begun")
    bench.cancel(1)
    bench.wait_for_done(1)
    assert "the task is cancelled" in bench.plane.log("compute.1")
    bench.send(job(2, 0.0))
    assert bench.wait_for_answer().body == b"awaited"


@pytest.mark.parametrize("bench", ["async_loop"], indirect=True)
def test_an_async_handler_that_never_awaits_is_ended_too(bench: Bench):
    for serial in (1, 2):
        bench.send(job(serial, 60.0))
        wait_for(lambda serial=serial: bench.plane.log("compute.1").count("begun") == serial, "the handler")
        bench.cancel(serial)
        bench.wait_for_done(serial)
    assert bench.nothing_for_the_server()


def test_a_handler_that_does_not_let_go_costs_its_worker():
    with a_bench("deaf", kill_after=0.4) as bench:
        bench.send(job(1, 60.0))
        wait_for_word(bench, "begun")
        bench.cancel(1)
        assert exit_status(bench.process) == -signal.SIGKILL
        log = bench.plane.log("compute.1")
        assert log.count("ignored JobCancelled") >= (0.4 + KILL_MARGIN_S) / 0.1 / 2, "it was asked again and again"
        assert "does not let go" in log


@pytest.mark.parametrize("bench", ["spin"], indirect=True)
def test_a_thousand_cancels_at_random_hit_their_own_jobs_and_lose_none(bench: Bench):
    """Short jobs in batches, each second one cancelled at some moment: before, while or after it runs."""
    chance = random.Random(3)
    wanted: set[int] = set()
    answered: set[int] = set()
    for base in range(1, 2001, 20):
        serials = range(base, base + 20)
        cancelled = set(chance.sample(serials, 10))
        wanted |= set(serials) - cancelled
        bench.send(*(job(serial, chance.choice([0.0, 0.0002, 0.001])) for serial in serials))
        for serial in sorted(cancelled):
            bench.cancel(serial)
            time.sleep(chance.random() * 0.0006)  # the race itself; nothing is expected of its outcome
        finish(bench, set(serials))
        while not bench.nothing_for_the_server():
            answered.update(answer.job for answer in bench.wait_for_message().answers)
    missing = {first_job(1, serial) for serial in wanted} - answered
    while missing:  # by another socket than the last Done
        missing -= {answer.job for answer in bench.wait_for_message().answers}
    assert bench.process.poll() is None
    assert "ERROR" not in bench.plane.log("compute.1")


def finish(bench: Bench, serials: set[int]) -> None:
    """Every job ends exactly once; what is handed back is dealt again, as a proxy does."""
    ids = {first_job(1, serial): serial for serial in serials}
    while ids:
        said = bench.wait_to_hear((Done, HandBack))
        if isinstance(said, HandBack):
            bench.send(*(job(ids[each], 0.0) for each in said.jobs))
        else:
            assert isinstance(said, Done)
            for each in said.jobs:
                ids.pop(each)
