"""Step 5: what a worker holds. One job runs, others wait behind it, requests are cancelled, the worker may be leaving.

Two threads share it, the one that runs jobs and the watchdog; the shell holds its lock around every call. Times are
monotonic seconds.

A job that nobody waits for any more, because its request was cancelled or its deadline has passed, is *urged* to end at
once, and again each `URGE_S`, until it does. One that has not ended `kill_after` and `KILL_MARGIN_S` later is stuck.
"""

from __future__ import annotations

from collections import deque
from math import inf

from msgspec import Struct

from primectl.message import Job
from primectl.wire.job import JobId, RequestId, WireJob, request_of

HAND_BACK_S = 0.003
"""When the running job has taken this long, those behind it go back to the proxy."""
URGE_S = 0.1
"""A signal may come just before the handler blocks, and be lost on it; and a handler may swallow what was raised."""
KILL_MARGIN_S = 0.5
"""By so much later than its proxy and the supervisor a worker ends itself: they know more, but they may be gone."""
FOREWARNED_S = 10.0
"""A cancel travels by another lane than jobs and may come before them. This much later it cannot any more."""


class DutySnapshot(Struct, frozen=True):
    """A worker at one moment."""

    running: bool
    waiting: int
    job_s: float
    leaving: bool


class Duty:
    """The jobs that a worker holds. `job` is the running one as its handler sees it, None when none runs."""

    __slots__ = (
        "_began",
        "_deadline",
        "_forewarned",
        "_kill_at",
        "_kill_s",
        "_relieved",
        "_running",
        "_urge_at",
        "_urged",
        "_waiting",
        "job",
        "leaving",
    )

    def __init__(self, kill_after_s: float = 2.0) -> None:
        self._kill_s = kill_after_s + KILL_MARGIN_S
        self._waiting: deque[WireJob] = deque()
        self._forewarned: dict[RequestId, float] = {}
        self._running: WireJob | None = None
        self.job: Job | None = None
        self._began = 0.0
        self._deadline = 0.0
        self._relieved: WireJob | None = None
        self._kill_at = 0.0
        self._urge_at = 0.0
        self._urged = 0
        self.leaving = False

    def configure(self, kill_after_s: float) -> None:
        """Another time to let go, for jobs that are urged from now on."""
        self._kill_s = kill_after_s + KILL_MARGIN_S

    @property
    def running(self) -> bool:
        return self._running is not None

    @property
    def holding(self) -> int:
        return len(self._waiting) + (self._running is not None)

    # --- the thread that runs jobs ------------------------------------------------------------------------------------

    def accept(self, jobs: list[WireJob], now: float) -> list[JobId]:
        """Jobs from the proxy, to run in this order. Those whose cancel came before them are let go and returned."""
        if not self._forewarned:
            self._waiting.extend(jobs)
            return []
        self._forewarned = {request: at for request, at in self._forewarned.items() if now - at < FOREWARNED_S}
        self._waiting.extend(wire for wire in jobs if request_of(wire.id) not in self._forewarned)
        return [wire.id for wire in jobs if request_of(wire.id) in self._forewarned]

    def next(self) -> WireJob | None:
        """The job to run now, None when there is none."""
        return self._waiting.popleft() if self._waiting else None

    def begin(self, wire: WireJob, job: Job, now: float) -> None:
        """`job` is what the handler sees of `wire`."""
        self._running = wire
        self.job = job
        self._began = now
        self._deadline = wire.deadline

    def prolong(self, deadline: float) -> None:
        """The running job has shown its client a part of its answer: it has until `deadline` for the next."""
        self._deadline = deadline
        if self.job is not None:
            self.job.deadline = deadline

    def end(self) -> None:
        self._running = self.job = None

    # --- the watchdog -------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> list[JobId]:
        """What has not begun."""
        return [wire.id for wire in self._waiting]

    def let_go(self) -> None:
        """The proxy has been given back what has not begun."""
        self._waiting.clear()

    def overdue(self, now: float) -> bool:
        """Whether the running job keeps the others waiting too long, and has not been `relieved` of them."""
        return self._running is not None and self._running is not self._relieved and now - self._began >= HAND_BACK_S

    def relieve(self) -> None:
        """Nothing is left that waits for the running job, and nothing comes behind it while it runs."""
        self._relieved = self._running

    @property
    def relieved(self) -> bool:
        return self._running is not None and self._running is self._relieved

    def cancel(self, requests: frozenset[RequestId], now: float) -> list[JobId]:
        """Nobody waits for these: a running one is told so; those not begun are let go and returned."""
        missing = set(requests)
        if self._running is not None and (running := request_of(self._running.id)) in requests:
            missing.discard(running)
            self._tell(now)
        dropped = [wire.id for wire in self._waiting if request_of(wire.id) in requests]
        if dropped:
            self._waiting = deque(wire for wire in self._waiting if request_of(wire.id) not in requests)
            missing.difference_update(map(request_of, dropped))
        for request in missing:
            self._forewarned[request] = now
        return dropped

    def expire(self, now: float) -> bool:
        """Tell the running job when its time is over; whether that is now."""
        if self.job is None or self.job.cancelled or now < self._deadline:
            return False
        self._tell(now)
        return True

    def _tell(self, now: float) -> None:
        if self.job is not None and not self.job.cancelled:
            self.job.cancelled = True
            self._kill_at = now + self._kill_s
            self._urge_at = now
            self._urged = 0

    def urge(self, now: float) -> int:
        """How often the running job has been urged to end, when that is to be done (once more) now; else 0."""
        if self.job is None or not self.job.cancelled or now < self._urge_at:
            return 0
        self._urge_at = now + URGE_S
        self._urged += 1
        return self._urged

    def stuck(self, now: float) -> bool:
        """Whether the running job does not let go although nobody has waited for it for too long."""
        return self.job is not None and self.job.cancelled and now >= self._kill_at

    def look_at(self) -> float:
        """When the watchdog has to look at the running job again."""
        if self.job is None:
            return inf
        due = min(self._urge_at, self._kill_at) if self.job.cancelled else self._deadline
        return due if self._running is self._relieved else min(due, self._began + HAND_BACK_S)

    # --- both ---------------------------------------------------------------------------------------------------------

    def holds(self) -> list[JobId]:
        """Everything held, the running one first."""
        running = [self._running.id] if self._running else []
        return running + [wire.id for wire in self._waiting]

    def snapshot(self, now: float) -> DutySnapshot:
        running = self._running is not None
        return DutySnapshot(running, len(self._waiting), now - self._began if running else 0.0, self.leaving)
