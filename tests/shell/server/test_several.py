"""Several server processes on one port: each has its own clients, and answers find the right one."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import zmq

from primectl.config.model import ClusterConfig, Config, PoolConfig, ServerConfig
from primectl.config.topology import loopback, pool_in, pool_out
from primectl.wire import frames
from primectl.wire.job import Answer, Answers, Jobs, WireJob
from primectl.wire.stats import ServerSample
from tests.support.plane import Plane, a_plane, exit_status, wait_for

SERVERS = ("server.1", "server.2")
GET = b"GET /do HTTP/1.1\r\nHost: a\r\n\r\n"


class Pair:
    """Two servers, their pool's proxy, and clients of both."""

    def __init__(self, plane: Plane, stack: ExitStack) -> None:
        self.plane = plane
        self.pool = plane.bind(zmq.ROUTER, pool_in("web"))
        plane.bind(zmq.ROUTER, pool_out("web"))
        self.listeners: dict[str, socket.socket] = {}
        port = 0
        for server in SERVERS:
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
            port = listener.getsockname()[1]
            self.listeners[server] = listener
        self.address = ("127.0.0.1", port)
        self.processes = {server: self.start(server, number) for number, server in enumerate(SERVERS, 1)}
        self.loopbacks = {server: plane.connect(zmq.PUSH, loopback(server)) for server in SERVERS}
        self.stack = stack

    def start(self, server: str, incarnation: int):
        fd = self.listeners[server].fileno()
        return self.plane.start("primectl.server", server, incarnation, extra=("--listen-fd", str(fd)), fds=(fd,))

    def ask(self) -> tuple[socket.socket, WireJob]:
        """A new client with its request, and the job that it became."""
        client = self.stack.enter_context(socket.create_connection(self.address, timeout=20))
        client.sendall(GET)
        assert self.pool.poll(20_000)
        said = frames.to_proxy(self.pool.recv_multipart()[1])
        assert isinstance(said, Jobs)
        (job,) = said.jobs
        return client, job

    def ask_both(self) -> dict[str, list[tuple[socket.socket, WireJob]]]:
        """Clients until both servers have some: the kernel spreads them by chance."""
        asked: dict[str, list[tuple[socket.socket, WireJob]]] = {server: [] for server in SERVERS}
        while not all(asked.values()):
            client, job = self.ask()
            asked[job.origin].append((client, job))
        return asked

    def answer(self, job: WireJob) -> None:
        answer = Answer(job.id, 200, (), b"<%d>" % job.id, "web.1")
        self.loopbacks[job.origin].send(frames.encode(Answers([answer])))


@pytest.fixture
def pair() -> Iterator[Pair]:
    config = Config(
        cluster=ClusterConfig(name="test"),
        server=ServerConfig(processes=2),
        routes={"/do": "web"},
        pools={"web": PoolConfig(handler="tests.support.handlers:echo")},
    )
    with a_plane(config) as plane, ExitStack() as stack:
        yield Pair(plane, stack)


def test_every_answer_finds_the_server_and_the_client_that_it_is_for(pair: Pair):
    asked = pair.ask_both()
    ids = [job.id for server in SERVERS for _, job in asked[server]]
    for server in reversed(SERVERS):
        for client, job in asked[server]:
            pair.answer(job)
            assert client.recv(65536).endswith(b"<%d>" % job.id)
    assert len(ids) == len(set(ids))


def test_the_death_of_one_costs_its_own_clients_alone_and_its_successor_serves_on(pair: Pair):
    """
    1. Both servers have clients that wait; one is killed.
    2. Its clients are cut off, those of the other get their answers.
    3. Its successor has the same socket: new clients of it are served.
    4. An answer for the one that was killed is dropped by its successor, and counted.
    """
    asked = pair.ask_both()
    pair.processes["server.1"].send_signal(signal.SIGKILL)
    assert exit_status(pair.processes["server.1"]) == -signal.SIGKILL
    for client, _ in asked["server.1"]:
        assert client.recv(65536) == b""
    for client, job in asked["server.2"]:
        pair.answer(job)
        assert client.recv(65536).endswith(b"<%d>" % job.id)
    pair.start("server.1", 3)
    for _, job in asked["server.1"]:
        pair.answer(job)
    for clients in pair.ask_both().values():
        for client, job in clients:
            pair.answer(job)
            assert client.recv(65536).endswith(b"<%d>" % job.id)
    stray = len(asked["server.1"])
    wait_for(lambda: stray in _stray_answers(pair.plane), "the stray answers to be counted")


def _stray_answers(plane: Plane) -> list[int]:
    reports = [each.report for each in plane.reports(50) if each.sender == "server.1"]
    return [report.counters["stray_answers"] for report in reports if isinstance(report, ServerSample)]
