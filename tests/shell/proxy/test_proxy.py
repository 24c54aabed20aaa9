"""A real proxy process; the test plays servers, workers and supervisor."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import zmq

from primectl.config.topology import pool_out
from primectl.wire import frames
from primectl.wire.control import KillNow, ProcessGone, Retire, pool_topic
from primectl.wire.job import (
    URGENT,
    Beat,
    Cancel,
    Done,
    Goodbye,
    Leave,
    WhoIsThere,
    request_of,
    work_lane,
)
from primectl.wire.journal import hops_of
from primectl.wire.stats import Acknowledged
from tests.shell.proxy.bench import Bench, FakeWorker, a_bench
from tests.support.jobs import a_job, job_id
from tests.support.plane import exit_status, random_frames, wait_for


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(**getattr(request, "param", {})) as bench:
        yield bench


def test_a_job_reaches_an_idle_worker_and_its_completion_frees_it(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    for serial in (1, 2):
        bench.offer(a_job(serial))
        assert worker.jobs() == [a_job(serial)]
        worker.say(Done([job_id(serial)], 0.001))
    sample = bench.wait_for_sample(done=2)
    assert (sample.queued, sample.in_flight, sample.arrived) == (0, 0, 2)
    assert sum(sample.latency) == 2


def test_the_jobs_of_a_worker_whose_death_is_told_go_to_another(bench: Bench):
    first = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    first.jobs()
    second = FakeWorker(bench.plane, 2)
    bench.plane.tell(pool_topic("compute"), ProcessGone("compute.1", 1))
    assert second.jobs() == [a_job(1, attempt=2)]


def test_the_jobs_of_a_worker_that_is_cut_off_go_to_another_without_any_word_from_the_supervisor(bench: Bench):
    first = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    first.jobs()
    second = FakeWorker(bench.plane, 2)
    first.vanish()
    assert second.jobs() == [a_job(1, attempt=2)]


def test_a_job_is_never_sent_to_a_worker_that_died_idle(bench: Bench):
    gone = FakeWorker(bench.plane, 1)
    wait_for(lambda: bench.wait_for_sample().workers, "the worker's announcement")
    gone.vanish()
    bench.offer(a_job(1))
    worker = FakeWorker(bench.plane, 2)
    (job,) = worker.jobs()
    assert job.id == job_id(1)


def test_a_job_that_may_not_run_twice_is_answered_502_when_its_worker_is_lost(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1, retryable=False))
    worker.jobs()
    bench.plane.tell(pool_topic("compute"), ProcessGone("compute.1", 1))
    answer = bench.wait_for_answer()
    assert (answer.job, answer.status, answer.worker) == (job_id(1), 502, "proxy.compute")
    (hop,) = hops_of(answer.trail)
    assert (hop.worker, hop.begun < hop.ended, hop.failed) == ("compute.1", True, True)


@pytest.mark.parametrize("bench", [{"max_attempts": 2}], indirect=True)
def test_a_job_that_kills_its_workers_is_given_up_and_the_pool_serves_on(bench: Bench):
    bench.offer(a_job(1))
    for number in (1, 2):
        assert FakeWorker(bench.plane, number).jobs() == [a_job(1, attempt=number)]
        bench.plane.tell(pool_topic("compute"), ProcessGone(f"compute.{number}", number))
    assert bench.wait_for_answer().status == 502
    bench.offer(a_job(2))
    assert FakeWorker(bench.plane, 3).jobs() == [a_job(2)]


def test_a_cancel_drops_what_waits_and_reaches_the_worker_of_what_runs(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1), a_job(2))
    worker.jobs()
    bench.upstream.send(frames.encode(Cancel([request_of(job_id(1)), request_of(job_id(2))])))
    assert worker.urgent.poll(20_000)
    assert frames.to_worker(worker.urgent.recv()) == Cancel([request_of(job_id(1))])
    worker.say(Done([job_id(1)], 0.0))
    assert worker.hears_nothing()
    bench.wait_for_sample(queued=0, in_flight=0)


def test_a_leaving_worker_hears_goodbye_behind_its_last_job(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    worker.jobs()
    worker.say(Leave())
    assert worker.hear() == Goodbye()
    worker.say(Done([job_id(1)], 0.0))
    bench.offer(a_job(2))
    assert worker.hears_nothing()


def test_a_worker_unknown_to_a_new_proxy_is_asked_who_it_is(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    bench.wait_for_sample()
    stranger = bench.plane.connect(zmq.DEALER, pool_out("compute"), URGENT + work_lane("compute.9", 9))
    stranger.send(frames.encode(Beat("compute.9", 9, 0)))
    assert stranger.poll(20_000)
    assert frames.to_worker(stranger.recv()) == WhoIsThere()
    assert worker.hears_nothing(1)


@pytest.mark.parametrize("bench", [{"max_queue": 10}], indirect=True)
def test_a_full_queue_stops_reading_and_goes_on_when_there_is_room(bench: Bench):
    for serial in range(1, 401):
        bench.offer(a_job(serial))
    sample = bench.wait_for_sample()
    assert sample.queued < 400, "the queue took more than its bound and one turn"
    worker = FakeWorker(bench.plane, 1)
    done = 0
    while done < 400:
        jobs = worker.jobs()
        assert [job.id for job in jobs] == [job_id(done + n) for n in range(1, len(jobs) + 1)]
        done += len(jobs)
        worker.say(Done([job.id for job in jobs], 0.0))


def test_garbage_on_both_sockets_is_counted_and_survived(bench: Bench):
    vandal = bench.plane.connect(zmq.DEALER, pool_out("compute"), b"vandal")
    for message in random_frames(100):
        vandal.send_multipart(message)
        bench.upstream.send_multipart(message)
    worker = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    assert worker.jobs() == [a_job(1)]
    wait_for(lambda: bench.wait_for_sample().counters["malformed"] >= 200, "the count of malformed frames")


def test_a_retiring_proxy_works_off_what_nobody_would_send_again_and_leaves(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    forwarded = a_job(2, retryable=False, hop=1)
    bench.offer(a_job(1), forwarded)
    assert worker.jobs() == [a_job(1)]
    bench.plane.tell(pool_topic("compute"), Retire(1))
    bench.wait_for_report(lambda report: report == Acknowledged(1), "the acknowledgement")
    worker.say(Done([job_id(1)], 0.0))
    assert worker.jobs() == [forwarded]
    worker.say(Done([forwarded.id], 0.0))
    assert exit_status(bench.process) == 0


def test_sigterm_retires_and_kill_ends_at_once(bench: Bench):
    bench.process.send_signal(signal.SIGTERM)
    assert exit_status(bench.process) == 0
    again = bench.plane.start("primectl.proxy", "proxy.compute", 2)
    bench.offer(a_job(1))
    bench.wait_for_sample(queued=1)
    bench.plane.tell("all", KillNow(1))
    assert exit_status(again) == 0
