"""Workers that are lost to a real proxy, and jobs that they do not let go of."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from msgspec import structs

from primectl.wire import frames
from primectl.wire.control import ProcessGone, pool_topic
from primectl.wire.job import Allow, Beat, Cancel, Done, Streaming, WhoIsThere, WireJob, request_name, request_of
from primectl.wire.stats import WorkerStuck
from tests.shell.proxy.bench import Bench, FakeWorker, a_bench
from tests.support.jobs import a_job, job_id, lane

COMPUTE = pool_topic("compute")


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(**getattr(request, "param", {})) as bench:
        yield bench


def a_process_that_notes(bench: Bench, worker: str, *serials: int) -> subprocess.Popen[bytes]:
    """It has begun these jobs, which may run only once, and lives."""
    source = f"""
import signal
from primectl.control.begun import BegunLog
log = BegunLog({bench.plane.place.begun_file(worker)!r})
for job in {[job_id(serial) for serial in serials]}:
    log.begin(job, True, 1.0)
print(flush=True)
signal.pause()
"""
    process = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    bench.plane.processes.append(process)
    assert process.stdout is not None
    with process.stdout as told:
        told.readline()
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.mark.parametrize("bench", [{"handler": "tests.support.handlers:sleep"}], indirect=True)
def test_the_end_of_a_connection_is_enough_to_look_for_who_is_gone(bench: Bench):
    """1. A real worker runs a job. 2. It is killed, and no supervisor tells. 3. The other worker beats without a pause,
    so nobody wonders at its silence: that it is asked who it is can only come from the end of the connection."""
    victim = bench.plane.start("primectl.worker", "compute.1", 7)
    kind, payload = frames.encode_payload(60.0)
    job = structs.replace(a_job(1, payload=payload), kind=kind)
    bench.offer(job)
    bench.wait_for_sample(in_flight=1)
    other = FakeWorker(bench.plane, 2)
    bench.wait_for_report(lambda report: len(getattr(report, "workers", ())) == 2, "both workers")
    end(victim)
    while not other.urgent.poll(20):
        other.say(Beat("compute.2", 2, 0))
    assert other.is_told() == WhoIsThere()
    assert other.jobs() == [structs.replace(job, attempt=2)]


@pytest.mark.parametrize("bench", [{"prefetch": 3}], indirect=True)
@pytest.mark.parametrize("told", ["by the supervisor", "by nobody"])
def test_what_a_lost_worker_had_not_begun_goes_to_another_whatever_its_method(bench: Bench, told: str):
    noting = a_process_that_notes(bench, "compute.1", 1)
    victim = FakeWorker(bench.plane, 1)
    jobs = [a_job(serial, retryable=False) for serial in (1, 2, 3)]
    bench.offer(*jobs)
    assert victim.jobs() == jobs
    other = FakeWorker(bench.plane, 2)
    end(noting)
    if told == "by the supervisor":
        bench.plane.tell(COMPUTE, ProcessGone("compute.1", 1))
    else:
        victim.vanish()
    answer = bench.wait_for_answer()
    assert (answer.job, answer.status, answer.worker) == (job_id(1), 502, "proxy.compute")
    assert other.jobs() == jobs[1:2]  # it keeps no notes, so it gets them one by one
    other.say(Done([job_id(2)], 0.0))
    assert other.jobs() == jobs[2:]


@pytest.mark.parametrize("bench", [{"prefetch": 2}], indirect=True)
def test_a_worker_that_is_cut_off_but_lives_may_still_begin_what_may_run_only_once(bench: Bench):
    a_process_that_notes(bench, "compute.1")
    victim = FakeWorker(bench.plane, 1)
    jobs = [a_job(1, retryable=False), a_job(2)]
    bench.offer(*jobs)
    assert victim.jobs() == jobs
    victim.vanish()
    answer = bench.wait_for_answer()
    assert (answer.job, answer.status) == (job_id(1), 502)
    assert FakeWorker(bench.plane, 2).jobs() == [a_job(2, attempt=2)]


def test_a_job_whose_answer_is_half_out_is_answered_502_and_leave_to_go_on_reaches_its_worker(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    worker.jobs()
    worker.say(Streaming(job_id(1)))
    allow = Allow(lane(1), job_id(1), 1 << 20)
    bench.overtaking.send(frames.encode(allow))
    assert worker.is_told() == allow
    bench.plane.tell(COMPUTE, ProcessGone("compute.1", 1))
    answer = bench.wait_for_answer()
    assert (answer.job, answer.status) == (job_id(1), 502)
    assert b"in the middle of its answer" in answer.body


@pytest.mark.parametrize("bench", [{"kill_after": 0.2}], indirect=True)
def test_a_worker_that_does_not_let_go_of_a_cancelled_job_is_told_to_the_supervisor(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    worker.jobs()
    request = request_of(job_id(1))
    bench.overtaking.send(frames.encode(Cancel([request])))
    assert worker.is_told() == Cancel([request])
    stuck = bench.wait_for_report(lambda report: isinstance(report, WorkerStuck), "word of the stuck worker")
    assert stuck == WorkerStuck("compute.1", 1, request_name(request))


def test_a_held_job_is_cancelled_when_its_deadline_is_over(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    job: WireJob = a_job(1, deadline=time.monotonic() + 0.5)
    bench.offer(job)
    assert worker.jobs() == [job]
    assert worker.is_told() == Cancel([request_of(job.id)])
    assert time.monotonic() >= job.deadline


def test_a_worker_that_is_silent_and_gone_is_found_by_asking_it(bench: Bench):
    """Its connection ended while the proxy was stopped: what it missed it finds out for itself."""
    victim = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    victim.jobs()
    bench.process.send_signal(signal.SIGSTOP)
    victim.vanish()
    bench.process.send_signal(signal.SIGCONT)
    assert FakeWorker(bench.plane, 2).jobs() == [a_job(1, attempt=2)]
