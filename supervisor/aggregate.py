"""Samples to what operators see: totals that survive restarts, rates, percentiles.

A sample holds totals since its process began. Two samples of one life give a rate; when a life ends, its last totals
are carried, so that "done" never steps back because a proxy was restarted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Generic, NamedTuple, TypeVar

from msgspec import structs

from primectl.wire import histogram
from primectl.wire.stats import (
    FrontSnapshot,
    JournalSnapshot,
    PoolSnapshot,
    ProxySample,
    RecorderSample,
    Report,
    ServerSample,
    WorkerLoad,
    WorkerSample,
)

WINDOW_S = 10.0
"""Percentiles and means look back so far."""
RATE_S = 2.0
"""Rates look back so far: short enough to see a change at once, long enough for a steady figure at four samples a
second."""
STALE_S = 2.0
"""Without a newer sample for so long, rates are 0 and a sample no longer says who is busy."""
CARRIED = ("dead_letters", "journal_dropped", "journal_left_out")
"""Counters of servers that count on over their lives."""


def is_sound(report: Report) -> bool:
    """Whether the figures of a report can be reckoned with; the wire's types alone let nonsense through."""
    if isinstance(report, ProxySample | ServerSample):
        if len(report.latency) > histogram.BUCKETS or min(report.latency, default=0) < 0:
            return False
        if isinstance(report, ServerSample):
            return min(report.classes, default=0) >= 0
        return isfinite(report.service_s) and isfinite(report.oldest_wait_s)
    if isinstance(report, RecorderSample):
        return isfinite(report.oldest)
    return not isinstance(report, WorkerSample) or isfinite(report.job_s)


SampleT = TypeVar("SampleT", ProxySample, ServerSample, RecorderSample)


class Window(Generic[SampleT]):
    """The samples of one life of one process over the last WINDOW_S, and the incarnation they belong to."""

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self._samples: deque[tuple[float, SampleT]] = deque()

    def add(self, sample: SampleT, now: float) -> None:
        self._samples.append((now, sample))
        while len(self._samples) > 2 and now - self._samples[1][0] >= WINDOW_S:
            self._samples.popleft()

    @property
    def last(self) -> SampleT:
        return self._samples[-1][1]

    @property
    def at(self) -> float:
        """When that was heard."""
        return self._samples[-1][0]

    @property
    def span_s(self) -> float:
        return self._samples[-1][0] - self._samples[0][0]

    def is_stale(self, now: float) -> bool:
        return now - self._samples[-1][0] > STALE_S

    def rate(self, total: Callable[[SampleT], int], now: float) -> float:
        """How fast a total has grown lately, per second; 0 when nothing has been heard for a while."""
        end, newest = self._samples[-1]
        begin, oldest = self._samples[0]
        for time, sample in reversed(self._samples):
            begin, oldest = time, sample
            if end - time >= RATE_S:
                break
        if end <= begin or self.is_stale(now):
            return 0.0
        return max(0.0, (total(newest) - total(oldest)) / (end - begin))

    def growth(self, total: Callable[[SampleT], float]) -> float:
        """By how much a total has grown over the window."""
        return max(0.0, total(self.last) - total(self._samples[0][1]))

    def added(self, histogram_of: Callable[[SampleT], list[int]], now: float) -> list[int]:
        """What the window added to a histogram."""
        if now - self._samples[-1][0] > WINDOW_S:
            return []
        return histogram.difference(histogram_of(self.last), histogram_of(self._samples[0][1]))


class PoolFigures:
    """A pool as its proxies' samples tell it."""

    def __init__(self) -> None:
        self._window: Window[ProxySample] | None = None
        self._carried = (0, 0, 0)
        self._loads: dict[str, WorkerLoad] = {}

    def add(self, incarnation: int, sample: ProxySample, now: float) -> None:
        if self._window is None or self._window.incarnation != incarnation:
            self.proxy_gone()
            self._window = Window(incarnation)
        self._window.add(sample, now)
        self._loads = {load.worker: load for load in sample.workers}

    def proxy_gone(self) -> None:
        """The proxy's life is over: keep its totals, forget what it held."""
        if self._window is not None:
            self._carried = self._totals()
        self._window = None
        self._loads = {}

    def load(self, worker: str, incarnation: int, now: float) -> WorkerLoad | None:
        """What the proxy says of this life of a worker, None when it has not said anything lately."""
        load = self._loads.get(worker)
        if load is None or load.incarnation != incarnation or self._window is None or self._window.is_stale(now):
            return None
        return load

    def held_after(self, moment: float) -> int | None:
        """Jobs that the pool has, by the last word of its proxy; None if that is from `moment` or before."""
        if self._window is None or self._window.at <= moment:
            return None
        return self._window.last.queued + self._window.last.in_flight

    def _totals(self) -> tuple[int, int, int]:
        done, failed, retried = self._carried
        if self._window is None:
            return done, failed, retried
        last = self._window.last
        return done + last.done, failed + last.failed, retried + last.retried

    def snapshot(self, base: PoolSnapshot, now: float) -> PoolSnapshot:
        """`base` has the pool's name, limits and its workers by state; the figures are filled in."""
        done, failed, retried = self._totals()
        window = self._window
        known = structs.replace(base, done=done, failed=failed, retried=retried)
        if window is None:
            return known
        last = window.last
        latency = window.added(lambda sample: sample.latency, now)
        served = window.growth(lambda sample: sample.done)
        service_s = window.growth(lambda sample: sample.service_s)
        capacity_s = window.span_s * base.workers
        return structs.replace(
            known,
            queued=last.queued,
            in_flight=last.in_flight,
            rate=window.rate(lambda sample: sample.done, now),
            arrival_rate=window.rate(lambda sample: sample.arrived, now),
            p50_ms=1000 * histogram.percentile_s(latency, 0.5),
            p99_ms=1000 * histogram.percentile_s(latency, 0.99),
            oldest_wait_ms=1000 * last.oldest_wait_s,
            service_ms=1000 * service_s / served if served else 0.0,
            utilisation=min(1.0, service_s / capacity_s) if capacity_s > 0 else 0.0,
        )


class FrontFigures:
    """All servers together, as their samples tell it."""

    def __init__(self) -> None:
        self._windows: dict[str, Window[ServerSample]] = {}
        self._carried_requests = 0
        self._carried_classes = [0] * 6
        self._carried: dict[str, int] = {}

    def add(self, server: str, incarnation: int, sample: ServerSample, now: float) -> None:
        window = self._windows.get(server)
        if window is None or window.incarnation != incarnation:
            self.server_gone(server)
            window = self._windows[server] = Window(incarnation)
        window.add(sample, now)

    def knows(self, server: str) -> bool:
        """Whether this server has been heard in this life of it."""
        return server in self._windows

    def server_gone(self, server: str) -> None:
        """A server's life is over: keep its totals, forget what it held."""
        window = self._windows.pop(server, None)
        if window is not None:
            self._carried_requests += window.last.requests
            self._carried_classes = _add_classes(self._carried_classes, window.last.classes)
            for name in CARRIED:
                self._carried[name] = self._carried.get(name, 0) + window.last.counters.get(name, 0)

    @property
    def dead_letters(self) -> int:
        """Requests that could not be answered, since the cluster's start."""
        return self.counted("dead_letters")

    def counted(self, name: str) -> int:
        """What the servers have counted under one of the names of CARRIED, since the cluster's start."""
        now = sum(window.last.counters.get(name, 0) for window in self._windows.values())
        return self._carried.get(name, 0) + now

    def in_flight(self, server: str) -> int:
        """Requests that this server had open when it was last heard."""
        window = self._windows.get(server)
        return window.last.in_flight if window else 0

    def snapshot(self, listen: str, now: float) -> FrontSnapshot:
        windows = list(self._windows.values())
        latency: list[int] = []
        classes = self._carried_classes
        for window in windows:
            latency = histogram.add(latency, window.added(lambda sample: sample.latency, now))
            classes = _add_classes(classes, window.last.classes)
        return FrontSnapshot(
            listen=listen,
            connections=sum(window.last.connections for window in windows),
            in_flight=sum(window.last.in_flight for window in windows),
            requests=self._carried_requests + sum(window.last.requests for window in windows),
            rate=sum(window.rate(lambda sample: sample.requests, now) for window in windows),
            error_rate=sum(window.rate(_server_errors, now) for window in windows),
            classes=tuple(classes),
            p50_ms=1000 * histogram.percentile_s(latency, 0.5),
            p99_ms=1000 * histogram.percentile_s(latency, 0.99),
            dead_letters=self.dead_letters,
        )


class Missing(NamedTuple):
    """Rows that the journal lacks: `dropped` by servers, `lost` on the way, `refused` by the recorder."""

    dropped: int = 0
    lost: int = 0
    refused: int = 0

    def plus(self, other: Missing) -> Missing:
        return Missing(self.dropped + other.dropped, self.lost + other.lost, self.refused + other.refused)

    def since(self, before: Missing) -> int:
        """How many have come to be missing."""
        return max(0, sum(self) - sum(before))


def missing_by(sample: RecorderSample | ServerSample) -> Missing:
    """What one life of a process says is missing."""
    if isinstance(sample, ServerSample):
        return Missing(sample.counters.get("journal_dropped", 0))
    return Missing(0, sample.lost, sample.refused)


def set_aside_by(sample: RecorderSample) -> int:
    return sample.counters.get("set_aside", 0)


class JournalFigures:
    """The journal as the recorder's samples tell it."""

    def __init__(self) -> None:
        self._window: Window[RecorderSample] | None = None
        self._last = RecorderSample(0, 0)
        self._carried = Missing()
        self._carried_left_out = 0
        self._carried_set_aside = 0

    @property
    def sample(self) -> RecorderSample | None:
        """The last word of the recorder that runs, None before its first."""
        return None if self._window is None else self._window.last

    def add(self, incarnation: int, sample: RecorderSample, now: float) -> None:
        if self._window is None or self._window.incarnation != incarnation:
            self.recorder_gone()
            self._window = Window(incarnation)
        self._window.add(sample, now)
        self._last = sample

    def recorder_gone(self) -> None:
        """The recorder's life is over: keep its totals."""
        if self._window is not None:
            self._carried = self._carried.plus(missing_by(self._window.last))
            self._carried_left_out += self._window.last.left_out
            self._carried_set_aside += set_aside_by(self._window.last)
        self._window = None

    @property
    def set_aside(self) -> int:
        """Damaged journals in whose place a new one was begun, since the cluster's start."""
        return self._carried_set_aside + (0 if self.sample is None else set_aside_by(self.sample))

    def missing(self, front: FrontFigures) -> Missing:
        """Since the cluster's start."""
        now = Missing() if self.sample is None else missing_by(self.sample)
        return self._carried.plus(now).plus(Missing(front.counted("journal_dropped")))

    def snapshot(self, base: JournalSnapshot, front: FrontFigures, now: float) -> JournalSnapshot:
        """`base` has the state; the figures are filled in."""
        window, last = self._window, self._last
        left_out = self._carried_left_out + (0 if window is None else window.last.left_out)
        return structs.replace(
            base,
            rows=last.kept,
            rate=0.0 if window is None else window.rate(lambda sample: sample.rows, now),
            size=last.size,
            oldest=last.oldest,
            dropped=self.missing(front).since(Missing()),
            left_out=front.counted("journal_left_out") + left_out,
        )


def _server_errors(sample: ServerSample) -> int:
    return sample.classes[5] if len(sample.classes) > 5 else 0


def _add_classes(one: Iterable[int], other: Iterable[int]) -> list[int]:
    """Both counts together; always six, whatever a peer has sent."""
    total = [0] * 6
    for counts in (one, other):
        for index, count in zip(range(6), counts, strict=False):
            total[index] += count
    return total
