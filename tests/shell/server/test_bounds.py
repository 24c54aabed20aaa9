"""What a server holds stays bounded, whatever clients do, and returns when they leave."""

from __future__ import annotations

import os
import resource
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq

from primectl.config.topology import pool_in, pool_out
from primectl.wire import frames
from primectl.wire.job import Answer, Answers, Cancel, Jobs, JobsAgain, WireJob, request_of
from tests.shell.server.bench import Bench, a_bench
from tests.support.plane import wait_for

GET = b"GET /do HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 1 << 20


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(**getattr(request, "param", {})) as bench:
        yield bench


def unread_client(bench: Bench, raw: bytes = GET) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    client.settimeout(20)
    client.connect(("127.0.0.1", bench.port))
    bench.clients.append(client)
    client.sendall(raw)
    return client


def read_body(client: socket.socket, size: int) -> bytes:
    """The body of an answer whose head is still to come."""
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0 or len(received) < end + 4 + size:
        chunk = client.recv(MIB)
        assert chunk, f"cut after {len(received)} bytes"
        received += chunk
    return bytes(received[end + 4 :])


def post(size: int) -> bytes:
    return b"POST /do HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size


def rest_of(client: socket.socket) -> bytes:
    """Until the connection ends, however it does."""
    received = bytearray()
    try:
        while chunk := client.recv(MIB):
            received += chunk
    except ConnectionError:
        pass
    return bytes(received)


def leave(client: socket.socket) -> None:
    """At once, as a client that is killed."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


# --- what clients do not read -----------------------------------------------------------------------------------------


def test_20_clients_that_do_not_read_20_mb_each_cost_a_bounded_memory_and_get_it_all_in_the_end(bench: Bench):
    before = bench.rss()
    size = 20 * MIB
    clients = [unread_client(bench) for _ in range(20)]
    jobs = bench.jobs(20)
    most = 0
    for number, job in enumerate(jobs):
        bench.answer(job, bytes([97 + number]) * size)
        most = max(most, bench.rss())
    bench.counter("stored_answers")
    other = bench.ask("GET", "/do")
    (another,) = bench.jobs()
    bench.answer(another)
    assert other.getresponse().read() == b"fine"
    assert max(most, bench.rss()) - before < 200 * MIB, "20 answers of 20 MB each would be 400"
    assert bench.rss() - before < 64 * MIB
    for client in clients[:5]:
        number = clients.index(client)
        assert read_body(client, size) == bytes([97 + number]) * size
    for client in clients[5:]:
        leave(client)
    wait_for(
        lambda: bench.samples()[-1:] and bench.samples()[-1:] is not None and bench.rss() - before < 64 * MIB,
        "memory to return",
    )


def test_without_room_on_disk_those_who_read_least_lately_are_cut_off_and_the_rest_is_served(bench: Bench):
    resource.prlimit(bench.process.pid, resource.RLIMIT_FSIZE, (256 << 10, 256 << 10))
    before = bench.rss()
    size = 20 * MIB
    clients = [unread_client(bench) for _ in range(15)]
    for job in bench.jobs(15):
        bench.answer(job, b"x" * size)
    bench.counter("slow_clients_cut", 7)
    bench.counter("store_failed")
    assert bench.rss() - before < 200 * MIB
    assert read_body(clients[-1], size) == b"x" * size
    assert len(rest_of(clients[0])) < size
    wait_for(lambda: "does not read, and memory is short" in bench.plane.log("server.1"), "the line in the log")


@pytest.mark.parametrize("bench", [{"write_timeout": 0.5}], indirect=True)
def test_a_client_that_reads_nothing_is_cut_off_and_one_that_reads_slowly_is_not(bench: Bench):
    silent, slow = unread_client(bench), unread_client(bench)
    jobs = bench.jobs(2)
    for job in jobs:
        bench.answer(job, b"x" * 8 * MIB)
    got = 0
    while not any(sample.counters["write_timeouts"] for sample in bench.samples()):
        got += len(slow.recv(32 << 10))
    assert len(rest_of(silent)) < 8 * MIB
    while got < 8 * MIB:
        chunk = slow.recv(MIB)
        assert chunk, "the slow one was cut off"
        got += len(chunk)


def test_many_small_answers_that_nobody_reads_are_bounded_too(bench: Bench):
    """A client pipelines and does not read: it is not read from any more, and costs about a megabyte."""
    before = bench.rss()
    client = unread_client(bench, b"")
    client.setblocking(False)
    asked = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
    sent = 0

    def is_held_back() -> bool:
        nonlocal sent
        for _ in range(100):
            try:
                sent += client.send(asked)
            except BlockingIOError:
                return True
        return False

    wait_for(is_held_back, "the client to be held back")
    assert sent > 100_000
    assert bench.ask("GET", "/health").getresponse().status == 200
    assert bench.rss() - before < 16 * MIB


# --- what is open -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bench", [{"max_inflight_size": MIB}], indirect=True)
def test_more_bytes_than_max_inflight_size_are_503_until_there_is_room_again(bench: Bench):
    first = bench.ask("POST", "/do", b"x" * 700_000)
    (job,) = bench.jobs()
    refused = bench.ask("POST", "/do", b"x" * 400_000).getresponse()
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    bench.ask("POST", "/do", b"x" * 100_000)
    bench.jobs()
    bench.answer(job)
    assert first.getresponse().status == 200
    bench.ask("POST", "/do", b"x" * 400_000)
    bench.jobs()


@pytest.mark.parametrize("bench", [{"max_inflight_size": MIB}], indirect=True)
def test_bodies_on_their_way_in_count_too(bench: Bench):
    """Two that are half there fill the place; whoever is third is refused before it is whole."""
    clients = [bench.raw(post(900_000)[:500_000]) for _ in range(3)]
    (refused,), _, _ = select.select(clients, [], [], 20)
    assert refused.recv(MIB).startswith(b"HTTP/1.1 503 ")


def test_50_jobs_of_2_mb_return_their_memory_when_their_clients_leave(bench: Bench):
    before = bench.rss()
    clients = [bench.raw(post(2 * MIB)) for _ in range(50)]
    jobs: list[WireJob] = bench.jobs(50)
    requests = {request_of(job.id) for job in jobs}
    del jobs
    held = bench.rss() - before
    assert held > 80 * MIB
    assert held < 260 * MIB, "one copy of a body is kept, and sockets hold some"
    for client in clients:
        leave(client)
    cancelled: set[int] = set()
    while cancelled != requests:
        said = bench.hear_urgent()
        assert isinstance(said, Cancel)
        cancelled.update(said.requests)
    wait_for(lambda: bench.rss() - before < 32 * MIB, "memory to return")


def test_100_000_requests_on_one_connection_leave_nothing_behind(bench: Bench):
    """Its memory does not grow; when the client leaves, nothing is cancelled."""
    client = bench.raw(b"")
    burst, rounds = 50, 2000

    def round_trip() -> None:
        client.sendall(GET * burst)
        missing = burst
        while missing:
            said = bench.hear()
            assert isinstance(said, Jobs)
            missing -= len(said.jobs)
            bench.loopback.send(frames.encode(Answers([Answer(job.id, 200, (), b"!", "web.1") for job in said.jobs])))
        answers = b""
        while answers.count(b"\r\n\r\n!") < burst:
            answers += client.recv(MIB)

    for _ in range(rounds // 10):
        round_trip()
    before = bench.rss()
    for _ in range(rounds - rounds // 10):
        round_trip()
    assert bench.rss() - before < 2 * MIB
    client.close()
    bench.ask("GET", "/health").getresponse().read()
    wait_for(lambda: any(sample.connections == 1 for sample in bench.samples()), "the client's leaving to be seen")
    assert not bench.lane.poll(200)


# --- proxies that are not there ---------------------------------------------------------------------------------------


@contextmanager
def without_proxy(bench: Bench) -> Iterator[None]:
    """From when the server knows that it is gone until its successor is there."""
    names = (pool_in("web"), pool_out("web"))
    paths = [Path(bench.plane.place.endpoint(name).removeprefix("ipc://")) for name in names]
    bench.pool.close(linger=0)
    bench.lane.close(linger=0)
    with ExitStack() as placeholders:
        for path in paths:
            path.unlink()
            placeholder = placeholders.enter_context(socket.socket(socket.AF_UNIX))
            placeholder.bind(str(path))
            placeholder.listen()
            placeholder.settimeout(20)
            placeholder.accept()[0].close()  # whoever connects again has seen that nobody is there
        yield
    for path in paths:
        path.unlink()
    bench.pool, bench.lane = (bench.plane.bind(zmq.ROUTER, name) for name in names)


def test_jobs_wait_for_a_proxy_that_is_down_and_those_whose_clients_left_meanwhile_are_not_sent(bench: Bench):
    with without_proxy(bench):
        bench.ask("GET", "/do?stays")
        leaving = bench.ask("GET", "/do?leaves")
        wait_for(lambda: any(sample.in_flight == 2 for sample in bench.samples()), "both to be taken")
        leave(leaving.sock)
        wait_for(lambda: any(sample.in_flight == 1 for sample in bench.samples()), "one to have left")
    (job,) = bench.jobs()
    assert frames.decode_payload(job.kind, job.payload).target == "/do?stays"
    bench.replace_proxy(2)
    assert bench.hear() == JobsAgain([job])


def test_a_cancel_for_a_proxy_that_is_down_is_kept_for_its_successor(bench: Bench):
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    with without_proxy(bench):
        leave(client.sock)
        wait_for(lambda: any(sample.in_flight == 0 for sample in bench.samples()), "the client to have left")
    assert bench.hear_urgent() == Cancel([request_of(job.id)])


def test_no_descriptor_is_left_open_by_answers_that_were_stored(bench: Bench):
    held: list[int] = []
    for _ in range(3):
        clients = [unread_client(bench) for _ in range(6)]
        for job in bench.jobs(6):
            bench.answer(job, b"x" * 16 * MIB)
        wait_for(lambda: any(sample.in_flight == 0 for sample in bench.samples()), "all to be answered")
        for client in clients:
            leave(client)
        wait_for(lambda: any(sample.connections == 0 for sample in bench.samples()), "all to have left")
        held.append(len(os.listdir(f"/proc/{bench.process.pid}/fd")))
    assert held[0] == held[1] == held[2]
