"""A real HTTP server process; the test plays clients, a pool's proxy and its workers, and the supervisor."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import zmq

from primectl.config.model import ClusterConfig, Config, JournalConfig, PoolConfig, ServerConfig
from primectl.config.topology import loopback, pool_in, pool_out
from primectl.message import Headers
from primectl.wire import frames
from primectl.wire.control import ProcessReady
from primectl.wire.job import (
    STREAM_COMPLETE,
    STREAM_GOES_ON,
    Answer,
    Answers,
    Jobs,
    StreamBegun,
    StreamPart,
    WireJob,
    server_lane,
    work_lane,
)
from primectl.wire.stats import ServerSample
from tests.support.plane import Plane, a_plane, wait_for

LANE = work_lane("web.1", 7)


class Bench:
    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.pool = plane.bind(zmq.ROUTER, pool_in("web"))
        self.lane = plane.bind(zmq.ROUTER, pool_out("web"))
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = listener.getsockname()[1]
        fd = listener.fileno()
        self.process = plane.start("primectl.server", "server.1", extra=("--listen-fd", str(fd)), fds=(fd,))
        listener.close()
        self.loopback = plane.connect(zmq.PUSH, loopback("server.1"))
        self.clients: list[http.client.HTTPConnection | socket.socket] = []

    def client(self) -> http.client.HTTPConnection:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.clients.append(client)
        return client

    def ask(self, method: str, target: str, body: bytes | None = None) -> http.client.HTTPConnection:
        client = self.client()
        client.request(method, target, body)
        return client

    def raw(self, data: bytes) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.clients.append(client)
        client.sendall(data)
        return client

    def hear(self) -> object:
        assert self.pool.poll(20_000), "the pool heard nothing"
        return frames.to_proxy(self.pool.recv_multipart()[1])

    def hear_urgent(self) -> object:
        assert self.lane.poll(20_000), "the lane heard nothing"
        sender, frame = self.lane.recv_multipart()
        assert sender == server_lane("server.1", 1)
        return frames.from_worker(frame)

    def jobs(self, count: int = 1) -> list[WireJob]:
        jobs: list[WireJob] = []
        while len(jobs) < count:
            said = self.hear()
            assert isinstance(said, Jobs)
            jobs += said.jobs
        return jobs

    def answer(self, job: WireJob, body: bytes = b"fine", fields: tuple[tuple[str, str], ...] = ()) -> None:
        self.loopback.send(frames.encode(Answers([Answer(job.id, 200, fields, body, "web.1")])))

    def fail(self, job: WireJob, status: int = 502, attempt: int = 3, detail: str = "its workers were lost") -> None:
        """What a proxy says of a job that it gives up."""
        problem = b'{"detail": "%b"}' % detail.encode()
        fields = (("content-type", "application/problem+json"),)
        answer = Answer(job.id, status, fields, problem, "proxy.web", attempt)
        self.loopback.send(frames.encode(Answers([answer])))

    def begin(
        self,
        job: WireJob,
        body: bytes = b"",
        fields: Headers = (),
        status: int = 200,
        attempt: int = 1,
        trail: bytes = b"",
    ) -> None:
        """The first part of an answer that comes bit by bit."""
        answer = Answer(job.id, status, fields, body, "web.1", attempt, trail)
        self.loopback.send(frames.encode(StreamBegun(answer, LANE)))

    def part(self, job: WireJob, data: bytes, end: int = STREAM_GOES_ON, attempt: int = 1) -> None:
        self.loopback.send(frames.encode(StreamPart(job.id, attempt, data, end)))

    def end(self, job: WireJob) -> None:
        self.part(job, b"", STREAM_COMPLETE)

    def counter(self, name: str, at_least: int = 1) -> None:
        """Wait for a counter to reach a value."""
        wait_for(lambda: any(sample.counters[name] >= at_least for sample in self.samples()), f"{name} >= {at_least}")

    def replace_proxy(self, incarnation: int) -> None:
        self.plane.tell("all", ProcessReady("proxy.web", incarnation))

    def rss(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    def samples(self) -> list[ServerSample]:
        return [each.report for each in self.plane.reports(50) if isinstance(each.report, ServerSample)]

    def close(self) -> None:
        for client in self.clients:
            client.close()


@contextmanager
def a_bench(**server: object) -> Iterator[Bench]:
    """With these settings of `[server]`."""
    config = Config(
        cluster=ClusterConfig(name="test"),
        server=ServerConfig(**server),  # type: ignore[arg-type]
        routes={"GET,POST /do": "web", "/users/{id}": "web"},
        pools={"web": PoolConfig(handler="tests.support.handlers:echo")},
        journal=JournalConfig(enabled=False),  # there is no recorder here
    )
    with a_plane(config) as plane:
        bench = Bench(plane)
        yield bench
        bench.close()
