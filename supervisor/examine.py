"""§ A closer look at a process that is silent: do its threads work, does it run a job?"""

from __future__ import annotations

from typing import NamedTuple

from primectl.clock import Clock
from primectl.config.topology import Place
from primectl.control.begun import running
from primectl.wire.job import request_name, request_of
from supervisor import kernel
from supervisor.events import Look, Looked
from supervisor.vitals import Thread, works

FORGET_S = 5.0
"""Silence is looked at once a second: whoever was not, was heard again."""


class _Threads(NamedTuple):
    at: float
    threads: dict[int, Thread]


class Examiner:
    """Remembers what the threads of a silent process had done when it was last looked at."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._seen: dict[Look, _Threads] = {}

    def look(self, order: Look, pid: int, *, is_worker: bool) -> Looked:
        now = self._clock.monotonic()
        self._seen = {known: seen for known, seen in self._seen.items() if now - seen.at < FORGET_S}
        before, after = self._seen.get(order), _Threads(now, kernel.threads(pid))
        self._seen[order] = after
        working = None
        if before is not None and now > before.at:
            working = works(before.threads, after.threads, now - before.at)
        return Looked(order.process, order.incarnation, working, self._request(order.process) if is_worker else None)

    def _request(self, worker: str) -> str | None:
        job = running(self._place.begun_file(worker))
        if job is None:
            return None
        return request_name(request_of(job)) if job else ""
