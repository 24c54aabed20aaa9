"""A real proxy process between sockets that the test holds: those of servers, workers and supervisor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq

from primectl.config.model import ClusterConfig, Config, PoolConfig
from primectl.config.topology import loopback, pool_in, pool_out
from primectl.wire import frames
from primectl.wire.job import URGENT, Announce, Answer, JobId, Jobs, WhoIsThere, WireJob, server_lane, work_lane
from primectl.wire.stats import ProxySample, Report
from tests.support.plane import Plane, a_plane, wait_for


class FakeWorker:
    """Both lanes of a worker, driven by hand."""

    def __init__(self, plane: Plane, number: int, *, holds: list[JobId] | None = None, speaks: bool = True) -> None:
        self.name = f"compute.{number}"
        self.incarnation = number
        lane = work_lane(self.name, number)
        self.work = plane.connect(zmq.DEALER, pool_out("compute"), lane)
        self.urgent = plane.connect(zmq.DEALER, pool_out("compute"), URGENT + lane)
        if speaks:
            self.announce(holds or [])

    def announce(self, holds: list[JobId]) -> None:
        self.say(Announce(self.name, self.incarnation, holds))

    def say(self, message: object) -> None:
        self.work.send(frames.encode(message))

    def hear(self, timeout_ms: int = 20_000) -> object:
        """What comes by the work lane; the question who it is only tries the lane there, as workers know."""
        while True:
            assert self.work.poll(timeout_ms), f"{self.name} heard nothing"
            said = frames.to_worker(self.work.recv())
            if said != WhoIsThere():
                return said

    def jobs(self) -> list[WireJob]:
        said = self.hear()
        assert isinstance(said, Jobs), said
        return said.jobs

    def is_told(self, timeout_ms: int = 20_000) -> object:
        """What comes by the urgent lane."""
        assert self.urgent.poll(timeout_ms), f"{self.name} was told nothing"
        return frames.to_worker(self.urgent.recv())

    def hears_nothing(self, wait_ms: int = 100) -> bool:
        return not self.work.poll(wait_ms)

    def vanish(self) -> None:
        self.work.close()
        self.urgent.close()


class Bench:
    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.process = plane.start("primectl.proxy", "proxy.compute")
        self.upstream = plane.connect(zmq.DEALER, pool_in("compute"))
        self.overtaking = plane.connect(zmq.DEALER, pool_out("compute"), server_lane("server.1", 1))
        self.answers = plane.bind(zmq.PULL, loopback("server.1"))

    def offer(self, *jobs: WireJob) -> None:
        self.upstream.send(frames.encode(Jobs(list(jobs))))

    def wait_for_answer(self) -> Answer:
        assert self.answers.poll(20_000), "no answer came"
        (answer,) = frames.to_server(self.answers.recv()).answers
        return answer

    def wait_for_report(self, matches: Callable[[Report], object], what: str) -> Report:
        found: list[Report] = []

        def seen() -> bool:
            found.extend(each.report for each in self.plane.reports(50) if matches(each.report))
            return bool(found)

        wait_for(seen, what)
        return found[-1]

    def wait_for_sample(self, *counters: str, **figures: int) -> ProxySample:
        """One with these figures, and in which these counters are not zero."""

        def fits(report: Report) -> bool:
            return (
                isinstance(report, ProxySample)
                and all(getattr(report, name) == value for name, value in figures.items())
                and all(report.counters.get(name) for name in counters)
            )

        found = self.wait_for_report(fits, f"a sample with {counters} {figures}")
        assert isinstance(found, ProxySample)
        return found


@contextmanager
def a_bench(**pool: object) -> Iterator[Bench]:
    settings = PoolConfig(**{"handler": "tests.support.handlers:echo", **pool})  # type: ignore[arg-type]
    with a_plane(Config(cluster=ClusterConfig(name="test"), pools={"compute": settings})) as plane:
        yield Bench(plane)
