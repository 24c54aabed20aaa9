"""A real worker process on a bench: the test plays proxy, server and supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from primectl.config.model import ClusterConfig, Config, PoolConfig, ServerConfig
from primectl.config.topology import loopback, pool_in, pool_out
from primectl.wire import frames
from primectl.wire.control import ProcessReady
from primectl.wire.job import (
    URGENT,
    Allow,
    Announce,
    Answer,
    Answers,
    Beat,
    Cancel,
    Done,
    HandBack,
    JobId,
    Jobs,
    RequestId,
    StreamBegun,
    Streaming,
    StreamPart,
    Whereabouts,
    WireJob,
    first_job,
    request_of,
    work_lane,
)
from primectl.wire.stats import WorkerSample
from tests.support.plane import Plane, a_plane, wait_for

LANE = work_lane("compute.1", 1)
PATIENCE_MS = 20_000


class Bench:
    """A worker of the pool `compute` with what it talks to."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.out = plane.bind(zmq.ROUTER, pool_out("compute"))
        self.answers = plane.bind(zmq.PULL, loopback("server.1"))
        self.next_pool = plane.bind(zmq.ROUTER, pool_in("other"))
        self.own_pool = plane.bind(zmq.ROUTER, pool_in("compute"))
        self.process = plane.start("primectl.worker", "compute.1")
        self.said: list[tuple[bytes, object]] = []
        self.places: dict[RequestId, bytes] = {}
        self._arrived: list[Answers | StreamBegun | StreamPart] = []
        assert self.wait_to_hear(Announce) == Announce("compute.1", 1, [])

    # --- to the worker

    def send(self, *jobs: WireJob) -> None:
        self.out.send_multipart([LANE, frames.encode(Jobs(list(jobs)))])

    def cancel(self, *serials: int) -> None:
        requests = [request_of(first_job(1, serial)) for serial in serials]
        self.out.send_multipart([URGENT + LANE, frames.encode(Cancel(requests))])

    def allow(self, serial: int, limit: int) -> None:
        self.out.send_multipart([URGENT + LANE, frames.encode(Allow(LANE, first_job(1, serial), limit))])

    def announce_to_a_new_proxy(self) -> None:
        """As the supervisor has it done."""
        self.plane.tell("all", ProcessReady("proxy.compute", 2))

    # --- from the worker

    def wait_to_hear(self, kind: type | tuple[type, ...], *, passing: tuple[type, ...] = ()) -> object:
        """The next thing of this kind that the worker says on either lane; beats, and `passing`, are passed over."""
        while self.out.poll(PATIENCE_MS):
            lane, frame = self.out.recv_multipart()
            said = frames.from_worker(frame)
            self.said.append((lane, said))
            if isinstance(said, kind):
                return said
            assert isinstance(said, (Beat, HandBack, Announce, Streaming, *passing)), said
        raise AssertionError(f"the worker did not say {kind}")

    def wait_for_done(self, *serials: int) -> None:
        """Until these jobs are off the books, whether they ran or not, in whatever batches."""
        self.wait_until_done({first_job(1, serial) for serial in serials})

    def wait_until_done(self, missing: set[JobId]) -> None:
        while missing:
            said = self.wait_to_hear(Done)
            assert isinstance(said, Done)
            assert missing.issuperset(said.jobs), said
            missing.difference_update(said.jobs)

    def wait_for_message(self) -> Answers | StreamBegun | StreamPart:
        """The next thing that the server is sent for its clients."""
        assert not self.nothing_for_the_server(PATIENCE_MS), "nothing came to the server"
        return self._arrived.pop()

    def wait_for_answer(self) -> Answer:
        message = self.wait_for_message()
        assert isinstance(message, Answers), message
        (answer,) = message.answers
        return answer

    def nothing_for_the_server(self, wait_ms: int = 0) -> bool:
        """Where cancelled requests were is for no client: it is put aside, in `places`."""
        while not self._arrived and self.answers.poll(wait_ms):
            message = frames.to_server(self.answers.recv())
            if isinstance(message, Whereabouts):
                self.places.update(message.places)
            else:
                self._arrived.append(message)
        return not self._arrived

    def samples(self) -> list[WorkerSample]:
        return [each.report for each in self.plane.reports(50) if isinstance(each.report, WorkerSample)]

    def wait_until_busy(self) -> None:
        wait_for(lambda: any(sample.busy for sample in self.samples()), "a busy worker")


@contextmanager
def a_bench(
    handler: str, *, kill_after: float = 2.0, affinity: str = "", server: ServerConfig | None = None
) -> Iterator[Bench]:
    """`handler` is a name in `tests.support.handlers`, `affinity` one for jobs of the pool `other`."""
    module = "tests.support.handlers"
    config = Config(
        cluster=ClusterConfig(name="test", max_hops=5),
        server=server or ServerConfig(),
        pools={
            "compute": PoolConfig(handler=f"{module}:{handler}", kill_after=kill_after),
            "other": PoolConfig(handler=f"{module}:echo", affinity=f"{module}:{affinity}" if affinity else ""),
        },
    )
    with a_plane(config) as plane:
        yield Bench(plane)


def job(serial: int, value: object, hop: int = 0, *, deadline: float = 1e12, retryable: bool = True) -> WireJob:
    kind, payload = frames.encode_payload(value)
    return WireJob(JobId(first_job(1, serial) + hop), "server.1", deadline, kind, retryable, payload)
