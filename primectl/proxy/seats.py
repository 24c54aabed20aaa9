"""The workers of one pool as its proxy knows them, and the line in which the idle ones wait."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from itertools import islice

from primectl.proxy.ticket import Address, Ticket
from primectl.wire.job import JobId
from primectl.wire.stats import WorkerLoad

ROTATION = 8
"""Of more idle workers than this, those that were busy last take turns and the others rest: whoever wakes seldom wakes
to cold caches. A small job cost two thirds more when 64 workers took turns than with one."""


class Seat:
    """One worker. `held` keeps the order in which jobs were dealt, which is that of running."""

    __slots__ = ("address", "asked", "busy_since", "dealt", "drained", "heard", "held", "incarnation", "key", "leaving",
                 "notes", "worker")  # fmt: skip

    def __init__(self, address: Address, worker: str, incarnation: int, now: float) -> None:
        self.address = address
        self.worker = worker
        self.incarnation = incarnation
        self.held: dict[JobId, Ticket] = {}
        self.key = ""
        """Of what it ran last, or runs."""
        self.notes = False
        """It notes what it begins, so that its loss costs no job that it had not begun."""
        self.dealt = 0.0
        """When it got what it holds, 0.0 when an earlier run of the proxy dealt that."""
        self.busy_since = now
        self.heard = now
        self.asked = now
        self.leaving = False
        self.drained = False

    def load(self, now: float) -> WorkerLoad:
        busy_s = max(0.0, now - self.busy_since) if self.held else 0.0
        return WorkerLoad(self.worker, self.incarnation, len(self.held), busy_s, self.leaving or self.drained)


class Seats:
    """All workers, by address."""

    __slots__ = ("_drained", "all", "idle", "keyed", "takers")

    def __init__(self) -> None:
        self.all: dict[Address, Seat] = {}
        self.idle: OrderedDict[Address, Seat] = OrderedDict()
        self.takers = 0
        """Workers that may be given jobs, now or when they have finished what they hold."""
        self.keyed: dict[str, OrderedDict[Address, Seat]] = {}
        """The idle ones by their keys."""
        self._drained: set[str] = set()
        """Ids of workers, there or not: a drain outlives the process."""

    def find(self, worker: str, incarnation: int) -> Seat | None:
        for seat in self.all.values():
            if seat.worker == worker and seat.incarnation == incarnation:
                return seat
        return None

    def sit(self, seat: Seat) -> None:
        """A worker has come. It is idle only with its first `credit`."""
        self.all[seat.address] = seat
        seat.drained = seat.worker in self._drained
        self.takers += not seat.drained

    def remove(self, seat: Seat) -> None:
        """A worker is gone."""
        self._rise(seat)
        del self.all[seat.address]
        self.takers -= not (seat.leaving or seat.drained)

    def leave(self, seat: Seat) -> None:
        """It takes no more jobs and will be gone when it has finished."""
        self._rise(seat)
        self.takers -= not (seat.leaving or seat.drained)
        seat.leaving = True

    def credit(self, seat: Seat) -> None:
        """One with nothing to do joins the end of the line."""
        if seat.held or seat.leaving or seat.drained:
            return
        self.idle[seat.address] = seat
        if seat.key:
            self.keyed.setdefault(seat.key, OrderedDict())[seat.address] = seat

    def take(self) -> Seat:
        """The one that has stood in line the longest, of the `ROTATION` that joined it last."""
        idle = self.idle
        if len(idle) <= ROTATION:
            return idle.popitem(last=False)[1]
        seat = next(islice(reversed(idle.values()), ROTATION - 1, None))
        del idle[seat.address]
        return seat

    def take_for(self, key: str) -> Seat:
        """The one that has stood in line the longest of those that had this key last, else as `take`."""
        line = self.keyed.get(key)
        if line is None:
            seat = self.take()
            if seat.key:
                self._forget_key(seat)
        else:
            seat = next(iter(line.values()))
            self._rise(seat)
        return seat

    def has_run(self, seat: Seat, key: str) -> None:
        """It says itself what it ran last."""
        if key != seat.key:
            if seat.address in self.idle and seat.key:
                self._forget_key(seat)
            seat.key = key
            if seat.address in self.idle:
                self.keyed.setdefault(key, OrderedDict())[seat.address] = seat

    def drain(self, workers: Iterable[str]) -> None:
        """Deal no more to these, whenever they come."""
        self._drained.update(workers)
        for seat in self._of(workers):
            if not seat.drained:
                self._rise(seat)
                self.takers -= not seat.leaving
                seat.drained = True

    def resume(self, workers: Collection[str]) -> None:
        """The end of a drain."""
        self._drained.difference_update(workers)
        for seat in self._of(workers):
            if seat.drained:
                seat.drained = False
                self.takers += not seat.leaving
                self.credit(seat)

    def _of(self, workers: Iterable[str]) -> list[Seat]:
        named = frozenset(workers)
        return [seat for seat in self.all.values() if seat.worker in named]

    def _rise(self, seat: Seat) -> None:
        """Out of the line, where it stands in it."""
        if self.idle.pop(seat.address, None) is not None and seat.key:
            self._forget_key(seat)

    def _forget_key(self, seat: Seat) -> None:
        line = self.keyed[seat.key]
        del line[seat.address]
        if not line:
            del self.keyed[seat.key]
