"""What a proxy that took over does with the jobs that servers send once more.

Its predecessor knew who had what; now the workers say what they hold and the servers what they wait for. Nothing is
dealt before every worker of the roster has announced itself, is known to be gone, or `REUNION_S` has passed. Then each
job that was sent once more and is held by nobody is judged by the notes of what workers have begun:

- lost with its worker: one attempt further, or 502 when it may run only once;
- begun by one that came to its end with it: what came of it is on its way, and it is dropped;
- not begun: as if it had never been dealt;
- uncertain for now, since a worker lives that has not said what it holds (it is stopped, or deep in C): what may run
  twice is dealt, what may run only once waits until that worker has spoken or is gone;
- uncertain for good, since somebody keeps no notes or has noted too much since: what may run only once is not run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from math import inf

from primectl.control.notes import Begun
from primectl.wire.job import JobId, WireJob

REUNION_S = 1.0
"""The longest that nothing is dealt. A worker whose interpreter runs announces itself within milliseconds."""


class Fate(Enum):
    """What has become of a job that was sent once more."""

    FRESH = "not begun"
    LOST = "begun by a worker that is gone"
    RAN = "begun, and its worker went on"
    UNKNOWN = "begun or not, nobody can tell"
    UNCERTAIN = "perhaps held by a worker that has not spoken"


class Reunion:
    """Whether dealing has to wait for workers, and for how long."""

    __slots__ = ("_absent", "_began", "until")

    def __init__(self) -> None:
        self._began = False
        self.until = -inf
        """Nothing is dealt before this."""
        self._absent: set[tuple[str, int]] = set()

    def await_workers(self, workers: Iterable[tuple[str, int]], now: float) -> None:
        """The roster: those of an earlier run's workers that have not spoken to this one."""
        self._began = True
        self._absent = set(workers)
        self.until = now + REUNION_S if self._absent else -inf

    def await_roster(self, now: float) -> None:
        """Jobs were sent once more, so there has been an earlier run: who its workers are will be told."""
        if not self._began:
            self._began = True
            self.until = now + REUNION_S

    def absent(self) -> frozenset[str]:
        """The workers of the roster that have not spoken."""
        return frozenset(worker for worker, _ in self._absent)

    def met(self, worker: str, incarnation: int) -> None:
        """A worker has announced itself or is gone; so are its earlier incarnations."""
        if not self._absent:
            return
        self._absent = {(name, number) for name, number in self._absent if name != worker or number > incarnation}
        if not self._absent:
            self.until = -inf


class Witnesses:
    """The notes of all workers that a pool had, taken together."""

    def __init__(self, notes: Mapping[str, Begun], seated: Collection[str], absent: Collection[str]) -> None:
        """`seated`: the workers that have said what they hold; `absent`: those of whom that is expected."""
        self._lost: set[JobId] = set()
        self._ran: set[JobId] = set()
        self._complete_since = 0.0
        self._mute = any(worker not in notes for worker in absent)
        self._noteless = any(worker not in notes for worker in seated)
        for worker, begun in notes.items():
            self._lost |= begun.broken
            self._ran |= begun.ids
            self._complete_since = max(self._complete_since, begun.complete_since)
            (self._ran if worker in seated or begun.alive else self._lost).add(begun.current)
            self._mute |= begun.alive and worker not in seated

    def fate(self, job: WireJob, *, once: bool, noted: bool, sent: float) -> Fate:
        """`once`: it may run only once; `noted`: workers note it for good; `sent`: it was not sent before this."""
        if job.id in self._lost:
            return Fate.LOST
        if not once:
            return Fate.FRESH
        if job.id in self._ran:
            return Fate.RAN
        if self._mute:
            return Fate.UNCERTAIN
        return Fate.UNKNOWN if not noted or self._noteless or self._complete_since > sent else Fate.FRESH
