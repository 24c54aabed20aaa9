"""Step 5: what a worker holds. One job runs, others wait behind it, requests are cancelled, the worker may be leaving.

Two threads share it, the one that runs jobs and the watchdog; the shell holds its lock around every call. Times are
monotonic seconds.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from primectl.message import Job
from primectl.wire.job import JobId, RequestId, WireJob, request_of

HAND_BACK_S = 0.003
"""When the running job has taken this long, those behind it go back to the proxy."""


class DutySnapshot(Struct, frozen=True):
    """A worker at one moment."""

    running: bool
    waiting: int
    job_s: float
    leaving: bool


class Duty:
    """The jobs that a worker holds."""

    __slots__ = ("_began", "_job", "_running", "_waiting", "leaving")

    def __init__(self) -> None:
        self._waiting: deque[WireJob] = deque()
        self._running: WireJob | None = None
        self._job: Job | None = None
        self._began = 0.0
        self.leaving = False

    @property
    def running(self) -> bool:
        return self._running is not None

    def accept(self, jobs: list[WireJob]) -> None:
        """Jobs from the proxy, to run in this order."""
        self._waiting.extend(jobs)

    def next(self) -> WireJob | None:
        """The job to run now, None when there is none."""
        return self._waiting.popleft() if self._waiting else None

    def begin(self, wire: WireJob, job: Job, now: float) -> None:
        """`job` is what the handler sees of `wire`."""
        self._running = wire
        self._job = job
        self._began = now

    def end(self) -> None:
        self._running = self._job = None

    def hand_back(self) -> list[JobId]:
        """Let go of everything not begun."""
        jobs = [wire.id for wire in self._waiting]
        self._waiting.clear()
        return jobs

    def overdue(self, now: float) -> bool:
        """Whether the running job keeps the others waiting too long."""
        return self._running is not None and now - self._began >= HAND_BACK_S

    def cancel(self, requests: frozenset[RequestId]) -> list[JobId]:
        """Nobody waits for these: a running one is told so; those not begun are let go and returned."""
        if self._running is not None and self._job is not None and request_of(self._running.id) in requests:
            self._job.cancelled = True
        dropped = [wire.id for wire in self._waiting if request_of(wire.id) in requests]
        if dropped:
            self._waiting = deque(wire for wire in self._waiting if request_of(wire.id) not in requests)
        return dropped

    def holds(self) -> list[JobId]:
        """Everything held, the running one first."""
        running = [self._running.id] if self._running else []
        return running + [wire.id for wire in self._waiting]

    def snapshot(self, now: float) -> DutySnapshot:
        running = self._running is not None
        return DutySnapshot(running, len(self._waiting), now - self._began if running else 0.0, self.leaving)
