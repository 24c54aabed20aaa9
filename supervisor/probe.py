"""§ Processor time and memory of every process, a few at a time.

All of them at once would be a burst that delays commands; spread over two seconds, 64 workers cost about 0.2 % of a
core (50 µs a process).
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from math import ceil
from typing import NamedTuple

import psutil

from primectl.clock import Clock
from supervisor.events import Probed

ROUND_S = 2.0
SHORTEST_S = 0.1
TURNS = 8
"""In how many turns everybody is looked at once."""


class Key(NamedTuple):
    process: str
    incarnation: int


class _Subject:
    """One life of a process."""

    def __init__(self, key: Key, pid: int, now: float) -> None:
        """Raises psutil.NoSuchProcess."""
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
        # The first look follows its baseline at once: too short a time to tell anything of the processor.
        percent = 100.0 * (used - self._cpu_s) / elapsed if elapsed > SHORTEST_S else 0.0
        self._at, self._cpu_s = now, used
        return Probed(*self.key, percent, self._process.memory_info().rss)


class Probe:
    """Everybody that runs, looked at in turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._new: list[tuple[Key, int]] = []
        self._subjects: deque[_Subject] = deque()
        self._gone: set[Key] = set()

    def add(self, process: str, incarnation: int, pid: int) -> None:
        """Looked at in the next turn, so that it is not shown without figures for long."""
        self._new.append((Key(process, incarnation), pid))

    def remove(self, process: str, incarnation: int) -> None:
        self._gone.add(Key(process, incarnation))

    def turn(self) -> list[Probed]:
        """Look at the next few; to be called every ROUND_S / TURNS seconds."""
        if self._gone:
            self._new = [(key, pid) for key, pid in self._new if key not in self._gone]
            self._subjects = deque(subject for subject in self._subjects if subject.key not in self._gone)
            self._gone.clear()
        due = [self._subjects.popleft() for _ in range(ceil(len(self._subjects) / TURNS))]
        now = self._clock.monotonic()
        for key, pid in self._new:
            # One that has ended meanwhile is left out: its exit is on its way.
            with suppress(psutil.Error):
                due.append(_Subject(key, pid, now))
        self._new.clear()
        found: list[Probed] = []
        for subject in due:
            with suppress(psutil.Error):
                found.append(subject.look(self._clock.monotonic()))
                self._subjects.append(subject)
        return found
