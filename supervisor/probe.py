"""§ Processor time, memory, and whether it is stopped, of every process, a few at a time.

All of them at once would be a burst that delays commands; spread over a second, 64 workers cost about 0.1 % of a core.
"""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import NamedTuple

from primectl.clock import Clock
from supervisor import kernel
from supervisor.events import Probed

SHORTEST_S = 0.1
TURNS = 4
"""In how many turns everybody is looked at once."""


class Key(NamedTuple):
    process: str
    incarnation: int


class _Subject:
    """One life of a process, from its first look on."""

    def __init__(self, key: Key, pid: int, first: kernel.Standing, now: float) -> None:
        self.key = key
        self.stopped = first.stopped
        self._pid = pid
        self._start_ticks = first.start_ticks
        self._at = now
        self._cpu_s = first.cpu_s

    def look(self, now: float) -> Probed | None:
        """None when it has ended; whoever has its number by then is not it."""
        standing = kernel.look(self._pid)
        if standing is None or standing.start_ticks != self._start_ticks:
            return None
        elapsed = now - self._at
        # The first look follows its baseline at once: too short a time to tell anything of the processor.
        percent = 100.0 * (standing.cpu_s - self._cpu_s) / elapsed if elapsed > SHORTEST_S else 0.0
        self._at, self._cpu_s = now, standing.cpu_s
        self.stopped = standing.stopped
        return Probed(*self.key, percent, standing.rss_bytes, standing.stopped)


class Probe:
    """Everybody that runs, looked at in turn; who is stopped, in every turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._new: list[tuple[Key, int]] = []
        self._subjects: deque[_Subject] = deque()
        self._stopped: list[_Subject] = []
        self._gone: set[Key] = set()

    def add(self, process: str, incarnation: int, pid: int) -> None:
        """Looked at in the next turn, so that it is not shown without figures for long."""
        self._new.append((Key(process, incarnation), pid))

    def remove(self, process: str, incarnation: int) -> None:
        self._gone.add(Key(process, incarnation))

    def turn(self) -> list[Probed]:
        """Look at the next few; to be called four times a second."""
        if self._gone:
            self._new = [(key, pid) for key, pid in self._new if key not in self._gone]
            self._subjects = deque(subject for subject in self._subjects if subject.key not in self._gone)
            self._stopped = [subject for subject in self._stopped if subject.key not in self._gone]
            self._gone.clear()
        due = [*self._stopped, *(self._subjects.popleft() for _ in range(ceil(len(self._subjects) / TURNS)))]
        for key, pid in self._new:
            # One that has ended meanwhile is left out: its exit is on its way.
            if (first := kernel.look(pid)) is not None:
                due.append(_Subject(key, pid, first, self._clock.monotonic()))
        self._new.clear()
        self._stopped.clear()
        found: list[Probed] = []
        for subject in due:
            if (probed := subject.look(self._clock.monotonic())) is not None:
                found.append(probed)
                (self._stopped if subject.stopped else self._subjects).append(subject)
        return found
