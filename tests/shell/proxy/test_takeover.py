"""A real proxy that takes over from one that was killed; the test plays workers, servers and supervisor."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from primectl.control.begun import BegunLog
from primectl.wire import frames
from primectl.wire.control import ProcessGone, Retire, Roster, pool_topic, process_topic
from primectl.wire.job import Done, Jobs, JobsAgain, WireJob
from tests.shell.proxy.bench import Bench, FakeWorker, a_bench
from tests.support.jobs import a_job, job_id
from tests.support.plane import exit_status

ME = process_topic("proxy.compute")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with a_bench(prefetch=1) as bench:
        yield bench


def replace(bench: Bench, *roster: FakeWorker) -> subprocess.Popen[bytes]:
    """The proxy is killed once it knows its workers, and the next one told whom it served."""
    bench.wait_for_report(lambda report: len(getattr(report, "workers", ())) == len(roster), "the workers")
    bench.process.kill()
    bench.process.wait()
    again = bench.plane.start("primectl.proxy", "proxy.compute", 2)
    bench.plane.tell(ME, Roster([(worker.name, worker.incarnation) for worker in roster]))
    return again


def send_again(bench: Bench, *jobs: WireJob) -> None:
    bench.upstream.send(frames.encode(JobsAgain(list(jobs))))


def test_nothing_is_dealt_before_the_workers_have_said_what_they_hold(bench: Bench):
    busy = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    assert busy.jobs() == [a_job(1)]
    idle = FakeWorker(bench.plane, 2)
    replace(bench, busy, idle)
    send_again(bench, a_job(1), a_job(2))
    idle.announce([])
    assert idle.hears_nothing()
    busy.announce([job_id(1)])
    assert idle.jobs() == [a_job(2)]
    busy.say(Done([job_id(1)], 0.0))
    idle.say(Done([job_id(2)], 0.0))
    bench.wait_for_sample(queued=0, in_flight=0, done=2)
    assert busy.hears_nothing(1)


def test_a_worker_that_is_gone_or_silent_holds_up_nobody_for_long(bench: Bench):
    lost, mute, idle = (FakeWorker(bench.plane, number) for number in (1, 2, 3))
    replace(bench, lost, mute, idle)
    send_again(bench, a_job(1))
    idle.announce([])
    bench.plane.tell(pool_topic("compute"), ProcessGone("compute.1", 1))
    assert idle.jobs() == [a_job(1)]


def test_a_job_that_may_run_only_once_is_run_again_only_if_no_worker_has_begun_it(bench: Bench):
    notes = {name: BegunLog(bench.plane.place.begun_file(name)) for name in ("compute.1", "compute.2")}
    worker, lost = FakeWorker(bench.plane, 1), FakeWorker(bench.plane, 2)
    notes["compute.2"].begin(job_id(1), True, 1.0)
    notes["compute.2"].close()
    replace(bench, worker, lost)
    bench.plane.tell(pool_topic("compute"), ProcessGone("compute.2", 2))
    send_again(bench, a_job(1, retryable=False), a_job(2, retryable=False))
    worker.announce([])
    answer = bench.wait_for_answer()
    assert (answer.job, answer.status) == (job_id(1), 502)
    assert worker.jobs() == [a_job(2, retryable=False)]


def test_jobs_that_a_server_sends_twice_are_run_once(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    replace(bench, worker)
    bench.upstream.send(frames.encode(Jobs([a_job(1), a_job(2)])))
    send_again(bench, a_job(1), a_job(2))
    worker.announce([])
    for serial in (1, 2):
        assert worker.jobs() == [a_job(serial)]
        worker.say(Done([job_id(serial)], 0.0))
    sample = bench.wait_for_sample(queued=0, in_flight=0)
    assert sample.counters["duplicates"] == 2
    assert worker.hears_nothing(1)


def test_a_retired_proxy_leaves_work_without_an_end_to_its_successor(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    once = a_job(2, retryable=False)
    bench.offer(a_job(1), once)
    assert worker.jobs() == [a_job(1)]
    bench.plane.tell(ME, Retire(1))
    assert exit_status(bench.process) == 0
    bench.plane.start("primectl.proxy", "proxy.compute", 2)
    bench.plane.tell(ME, Roster([(worker.name, worker.incarnation)]))
    BegunLog(bench.plane.place.begun_file(worker.name)).begin(job_id(1), once=False, now=0.0)
    send_again(bench, a_job(1), once)
    worker.announce([job_id(1)])
    worker.say(Done([job_id(1)], 0.0))
    assert worker.jobs() == [once]
