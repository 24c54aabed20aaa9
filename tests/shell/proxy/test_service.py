"""What a real proxy does for operators, and when it cannot serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from primectl.message import HeaderMap
from primectl.wire import frames
from primectl.wire.control import Drain, Resume, process_topic
from primectl.wire.job import Cancel, Done, Whereabouts, request_of
from primectl.wire.journal import Hop, add_hop, hops_of
from primectl.wire.stats import Acknowledged
from tests.shell.proxy.bench import Bench, FakeWorker, a_bench
from tests.support.jobs import a_job, job_id
from tests.support.plane import wait_for

ME = process_topic("proxy.compute")
MIB = 1 << 20


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(**getattr(request, "param", {})) as bench:
        yield bench


def order(bench: Bench, command: Drain | Resume) -> None:
    bench.plane.tell(ME, command)
    bench.wait_for_report(lambda report: report == Acknowledged(command.command), f"word that {command} is heard")


def rss_bytes(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10


def test_a_drained_worker_gets_nothing_until_it_is_resumed(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    bench.wait_for_report(lambda report: getattr(report, "workers", None), "the worker")
    order(bench, Drain(1, ["compute.1"]))
    bench.offer(a_job(1))
    sample = bench.wait_for_sample(queued=1)
    assert [load.draining for load in sample.workers] == [True]
    assert worker.hears_nothing(1)
    order(bench, Resume(2, ["compute.1"]))
    assert worker.jobs() == [a_job(1)]


def test_a_drained_pool_answers_503_and_says_when_to_try_again(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    worker.jobs()
    order(bench, Drain(1))
    bench.wait_for_sample(draining=True, in_flight=1)
    bench.offer(a_job(2))
    answer = bench.wait_for_answer()
    assert (answer.job, answer.status, answer.worker) == (job_id(2), 503, "proxy.compute")
    assert HeaderMap(answer.fields)["retry-after"] == "1"
    assert b"pool compute: the pool is draining" in answer.body
    order(bench, Resume(2))
    worker.say(Done([job_id(1)], 0.0))
    bench.offer(a_job(3))
    assert worker.jobs() == [a_job(3)]


@pytest.mark.parametrize("bench", [{"worker_timeout": 0.3}], indirect=True)
def test_a_job_in_a_pool_without_a_worker_is_answered_503(bench: Bench):
    bench.offer(a_job(1))
    answer = bench.wait_for_answer()
    assert (answer.job, answer.status) == (job_id(1), 503)
    assert HeaderMap(answer.fields)["retry-after"] == "1"
    (hop,) = hops_of(answer.trail)
    assert (hop.worker, hop.begun, hop.failed) == ("compute", hop.ended, True)
    bench.wait_for_sample("unserved", queued=0)
    wait_for(lambda: "1 request answered 503: the pool has no worker" in bench.plane.log("proxy.compute"), "a note")


@pytest.mark.parametrize("bench", [{"max_queue": 10}], indirect=True)
def test_a_cancel_reaches_a_full_proxy_which_reads_on(bench: Bench):
    """More comes than the proxy, the sockets and the buffers between take: only a lane that overtakes gets through."""
    payload = b"x" * MIB
    count = 400
    for serial in range(1, count + 1):
        bench.offer(a_job(serial, payload=payload))
    bench.wait_for_report(lambda report: getattr(report, "queued", 0) >= 10, "a full queue")
    bench.overtaking.send(frames.encode(Cancel([request_of(job_id(serial)) for serial in range(1, count + 1)])))
    bench.wait_for_report(
        lambda report: getattr(report, "counters", {}).get("cancelled") == count, "the end of all that was cancelled"
    )
    bench.wait_for_sample(queued=0)


def test_the_memory_of_large_jobs_returns_when_their_clients_leave():
    with a_bench() as bench:
        before = rss_bytes(bench.process.pid)
        for serial in range(1, 51):
            bench.offer(a_job(serial, payload=b"x" * 2 * MIB))
        bench.wait_for_sample(queued=50)
        assert rss_bytes(bench.process.pid) > before + 90 * MIB
        bench.overtaking.send(frames.encode(Cancel([request_of(job_id(serial)) for serial in range(1, 51)])))
        bench.wait_for_sample(queued=0)
        wait_for(lambda: rss_bytes(bench.process.pid) < before + 10 * MIB, "the memory of 50 jobs of 2 MiB")


@pytest.mark.parametrize("lane", ["the urgent one", "that of jobs"])
def test_a_server_that_calls_requests_off_is_told_where_they_were(bench: Bench, lane: str):
    worker = FakeWorker(bench.plane, 1)
    before = Hop("parse.1", 1.0, 2.0)
    held, waiting = (structs.replace(a_job(serial), trail=add_hop(b"", before)) for serial in (1, 2))
    bench.offer(held)
    assert worker.jobs() == [held]
    bench.offer(waiting)
    bench.wait_for_sample(queued=1, in_flight=1)
    requests = [request_of(job_id(serial)) for serial in (1, 2, 3)]
    (bench.overtaking if lane == "the urgent one" else bench.upstream).send(frames.encode(Cancel(requests)))
    assert bench.answers.poll(20_000), "nothing came to the server"
    told = frames.to_server(bench.answers.recv())
    assert isinstance(told, Whereabouts)
    places = {request: hops_of(trail) for request, trail in told.places}
    assert list(places) == requests[:2]
    assert [hops[0] for hops in places.values()] == [before, before]
    assert [(hops[1].worker, hops[1].failed) for hops in places.values()] == [("compute.1", True), ("compute", True)]


def test_a_request_that_waits_until_its_time_is_over_is_told_to_its_server(bench: Bench):
    worker = FakeWorker(bench.plane, 1)
    bench.offer(a_job(1))
    worker.jobs()
    bench.offer(a_job(2, deadline=1.0))
    bench.wait_for_sample(queued=1)
    worker.say(Done([job_id(1)], 0.0))
    assert bench.answers.poll(20_000), "nothing came to the server"
    told = frames.to_server(bench.answers.recv())
    assert isinstance(told, Whereabouts)
    ((request, trail),) = told.places
    assert request == request_of(job_id(2))
    assert [(hop.worker, hop.begun == hop.ended, hop.failed) for hop in hops_of(trail)] == [("compute", True, True)]
