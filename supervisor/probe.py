"""§ Processor time and memory of every process, a few at a time.

All of them at once would be a burst that delays commands; spread over two seconds, 64 workers cost about 0.2 % of a
core (50 µs a process).
"""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import NamedTuple

import psutil

from primectl.clock import Clock
from supervisor.events import Probed

ROUND_S = 2.0
TURNS = 8
"""In how many turns everybody is looked at once."""


class Key(NamedTuple):
    process: str
    incarnation: int


class _Subject:
    """One life of a process."""

    def __init__(self, key: Key, pid: int, now: float) -> None:
        self.key = key
        self._process = psutil.Process(pid)
        self._at = now
        self._cpu_s = self._used()

    def _used(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def look(self, now: float) -> Probed:
        used = self._used()
        elapsed = now - self._at
        percent = 100.0 * (used - self._cpu_s) / elapsed if elapsed > 0 else 0.0
        self._at, self._cpu_s = now, used
        return Probed(*self.key, percent, self._process.memory_info().rss)


class Probe:
    """Everybody that runs, looked at in turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._subjects: deque[_Subject] = deque()
        self._gone: set[Key] = set()

    def add(self, process: str, incarnation: int, pid: int) -> None:
        try:
            self._subjects.append(_Subject(Key(process, incarnation), pid, self._clock.monotonic()))
        except psutil.Error:
            return  # it ended before we looked; its exit is on its way

    def remove(self, process: str, incarnation: int) -> None:
        self._gone.add(Key(process, incarnation))

    def turn(self) -> list[Probed]:
        """Look at the next few; to be called every ROUND_S / TURNS seconds."""
        if self._gone:
            self._subjects = deque(subject for subject in self._subjects if subject.key not in self._gone)
            self._gone.clear()
        found: list[Probed] = []
        for _ in range(ceil(len(self._subjects) / TURNS)):
            subject = self._subjects.popleft()
            try:
                found.append(subject.look(self._clock.monotonic()))
            except psutil.Error:
                continue
            self._subjects.append(subject)
        return found
