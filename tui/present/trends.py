"""A history of ClusterSnapshots as points to draw, one a second, and how fast each queue grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from primectl.wire.stats import ClusterSnapshot
from tui.present.units import SPARK

KEPT_S = 300
GROWTH_S = 5.0
"""Seconds over which growth is measured: long enough to be calm, short enough to show a change within a breath."""


class Point(Struct, frozen=True):
    """What is remembered of a pool, or of the servers, for one second."""

    queued: int = 0
    busy: int = 0
    utilisation: float = 0.0
    arrival_rate: float = 0.0
    rate: float = 0.0
    p99_ms: float = 0.0


class Trends:
    """The last `KEPT_S` seconds of every pool that the newest snapshot has, and of the servers together."""

    def __init__(self) -> None:
        self._pools: dict[str, deque[Point]] = {}
        self._queues: dict[str, deque[tuple[float, int]]] = {}
        self._front: deque[Point] = deque(maxlen=KEPT_S)
        self._second = -1

    def fold(self, snapshot: ClusterSnapshot) -> None:
        """Take in the next snapshot. Within one second the newest wins; a clock that steps back begins a new second."""
        same = int(snapshot.time) == self._second
        self._second = int(snapshot.time)
        names = {pool.name for pool in snapshot.pools}
        for gone in self._pools.keys() - names:
            del self._pools[gone], self._queues[gone]
        for pool in snapshot.pools:
            point = Point(pool.queued, pool.busy, pool.utilisation, pool.arrival_rate, pool.rate, pool.p99_ms)
            _put(self._pools.setdefault(pool.name, deque(maxlen=KEPT_S)), point, same)
            queue = self._queues.setdefault(pool.name, deque())
            if queue and snapshot.time <= queue[-1][0]:
                queue.clear()
            queue.append((snapshot.time, pool.queued))
            while len(queue) > 2 and queue[1][0] <= snapshot.time - GROWTH_S:
                queue.popleft()
        front = snapshot.front
        _put(self._front, Point(front.in_flight, 0, 0.0, front.rate, front.rate, front.p99_ms), same)

    def pool(self, name: str) -> Sequence[Point]:
        """Oldest first; empty for a pool that was never seen."""
        return self._pools.get(name, ())

    def front(self) -> Sequence[Point]:
        """The servers together: `queued` is what is in flight, `rate` the answers."""
        return self._front

    def growth(self, pool: str) -> float:
        """Jobs a second by which the pool's queue grew over the last few seconds; 0 before two are known."""
        queue = self._queues.get(pool)
        if not queue or len(queue) < 2:
            return 0.0
        (first_time, first), (last_time, last) = queue[0], queue[-1]
        return (last - first) / max(last_time - first_time, 1.0)

    def all_growth(self) -> dict[str, float]:
        """`growth` of every pool."""
        return {name: self.growth(name) for name in self._queues}


def levels(values: Iterable[float], width: int, *, floor: float = 0.0, steps: int = 8) -> list[int]:
    """The last `width` values as levels 0 to `steps`, scaled to the largest of them but at least to `floor`.

    0 is nothing at all; whatever is above nothing shows as 1. Missing history is -1, on the left.
    """
    recent = list(values)[-width:] if width > 0 else []
    top = max((*recent, floor), default=0.0)
    drawn = [0 if value <= 0 or top <= 0 else max(1, round(value / top * steps)) for value in recent]
    return [-1] * (width - len(drawn)) + drawn


def spark(values: Iterable[float], width: int, *, floor: float = 0.0) -> str:
    """One line of bars, newest on the right; nothing at all is the lowest bar, missing history is blank."""
    return "".join(" " if level < 0 else SPARK[max(level - 1, 0)] for level in levels(values, width, floor=floor))


def _put(ring: deque[Point], point: Point, same_second: bool) -> None:
    if same_second and ring:
        ring[-1] = point
    else:
        ring.append(point)
