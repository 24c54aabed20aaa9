"""The orders that have been taken: which are under way, which wait their turn, and who waits for each.

Every order has a number. Most begin at once and run side by side; those that roll through a pool (`occupies`) do so one
after the other in each pool, whoever gave them, so that a restart and a reload do not take each other's workers away.
A pool that is free is never kept waiting by another one. What is asked twice is done once, and both are told:

    the size that a pool is scaled to already         joins
    another size                                      overtakes: the older is told which one took its place
    a rolling order like one that still waits         joins that one
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple

from msgspec import structs

from primectl.wire.control import Progress, Refusal, ResumeOrder, Stop, Stopped
from primectl.wire.stats import OperationSnapshot
from supervisor.causes import in_words
from supervisor.events import Action, Answer, Asked, Asker, Order, Tell
from supervisor.operations import Operation, Result, Scaling, Turn

WAITERS_AT_ONCE = 256
"""Orders under way and in line, and further consoles that wait for one of them."""


class Waiter(NamedTuple):
    """A console that waits for an answer, at most until then."""

    asker: Asker
    until: float


class Entry:
    """An order that was taken. `behind` is what it waits for, None once it is under way."""

    __slots__ = ("asked", "behind", "number", "operation", "since", "told", "waiters")

    def __init__(self, number: int, asked: Asked, operation: Operation, now: float) -> None:
        self.number = number
        self.asked = asked
        self.operation = operation
        """Of one in line: as it would be if it began now; another is made when it does."""
        self.since = now
        self.behind: str | None = None
        self.told: Progress | None = None
        self.waiters: list[Waiter] = []

    @property
    def name(self) -> str:
        """`12 scale compute -> 64`"""
        wish = f" -> {self.operation.wish}" if self.operation.wish else ""
        return f"{self.number} {self.operation.kind} {self.operation.target}{wish}"

    def is_like(self, asked: Asked) -> bool:
        """Whether the same is asked, if perhaps for another time."""
        return _timeless(self.asked.order) == _timeless(asked.order)

    def order(self, now: float) -> Order:
        """What was asked, with the time that is left."""
        order = self.asked.order
        until = max((waiter.until for waiter in self.waiters), default=inf)
        if until == inf:
            return order
        return structs.replace(order, timeout_s=max(0.0, until - now))

    def snapshot(self, now: float) -> OperationSnapshot:
        told = self.told or Progress("")
        return OperationSnapshot(
            number=self.number,
            kind=self.operation.kind,
            target=self.operation.target,
            operator=self.asked.operator,
            text=told.text,
            done=told.done,
            total=told.total,
            since_s=now - self.since,
            state="running" if self.behind is None else "queued",
            wish=self.operation.wish,
        )


class Desk:
    """Takes orders in and tells their askers; it moves nothing. Its answers are actions for the one who asks it."""

    def __init__(self, first: int) -> None:
        """`first` is the number of the first order."""
        self._next = first
        self.entries: list[Entry] = []
        """By number."""

    @property
    def under_way(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.behind is None]

    @property
    def operations(self) -> list[Operation]:
        """Those under way."""
        return [entry.operation for entry in self.under_way]

    def entry_of(self, operation: Operation) -> Entry:
        return next(entry for entry in self.entries if entry.operation is operation)

    @property
    def is_full(self) -> bool:
        return sum(max(1, len(entry.waiters)) for entry in self.entries) >= WAITERS_AT_ONCE

    def snapshot(self, now: float) -> list[OperationSnapshot]:
        return [entry.snapshot(now) for entry in self.entries]

    # --- an order comes -----------------------------------------------------------------------------------------------

    def join(self, asked: Asked, operation: Operation, now: float) -> list[Action] | None:
        """Have this asker wait for what is asked already; None when nothing like it is."""
        entry = next((entry for entry in self.entries if _is_same(entry, asked, operation)), None)
        if entry is None:
            return None
        self.wait(entry, asked, now)
        if isinstance(entry.operation, Scaling):
            entry.operation.wait_until(max((waiter.until for waiter in entry.waiters), default=0.0))
        text = f"{operation.kind} {operation.target} is asked once more: the same as {entry.name}"
        actions: list[Action] = [_tell("joined", entry, text, asked.operator)]
        if asked.asker is not None and entry.told is not None:
            actions.append(Answer(asked.asker, 102, entry.told))
        return actions

    def take(self, asked: Asked, operation: Operation, now: float) -> tuple[Entry, list[Action]]:
        """A number for an order; whether it is under way at once, `behind` says. What it overtakes, ends."""
        entry = Entry(self._next, asked, operation, now)
        self._next += 1
        actions = [
            action
            for older in list(self.entries)
            if _overtakes(operation, older)
            for action in self.finish(older, _overtaken(older.operation, entry))
        ]
        self.entries.append(entry)
        self.wait(entry, asked, now)
        entry.behind = self._behind(entry)
        if entry.behind is not None:
            text = f"{operation.kind} {operation.target} waits: {entry.behind}"
            actions += [_tell("queued", entry, text, asked.operator), *self._say(entry, Progress(entry.behind))]
        return entry, actions

    def wait(self, entry: Entry, asked: Asked, now: float) -> None:
        """Have whoever asked be told how it ends."""
        if asked.asker is not None:
            entry.waiters.append(Waiter(asked.asker, now + _patience_s(asked.order)))

    def begin(self, entry: Entry, operation: Operation) -> None:
        """The turn of one in line has come."""
        entry.operation = operation
        entry.behind = None

    # --- it goes on ---------------------------------------------------------------------------------------------------

    def in_line(self) -> Iterator[Entry]:
        """Those whose pools are free now, one after the other: each may take pools from the next."""
        for entry in list(self.entries):
            if entry.behind is not None and entry in self.entries and self._behind(entry) is None:
                yield entry

    def look_at_line(self) -> list[Action]:
        """Tell those who wait if it is for somebody else now."""
        actions: list[Action] = []
        for entry in self.entries:
            behind = None if entry.behind is None else self._behind(entry)
            if behind is not None and behind != entry.behind:
                entry.behind = behind
                actions += self._say(entry, Progress(behind))
        return actions

    def took(self, entry: Entry, turn: Turn, state: str) -> list[Action]:
        """What its askers and the event log are told of a turn of an operation; `state` is that of the cluster."""
        return self._say(entry, turn.progress) if turn.result is None else self.finish(entry, turn.result, state)

    def finish(self, entry: Entry, result: Result, state: str = "") -> list[Action]:
        """It is over: everybody who waits for it is told, and the event log."""
        self.entries.remove(entry)
        body = structs.replace(result.body, operation=entry.number)
        kind, subject, text = in_words(body)
        told = _tell(result.kind or kind, entry, text, entry.asked.operator, subject)
        if isinstance(body, Refusal):
            told = structs.replace(told, lines=tuple(body.lines))
        if isinstance(body, Stopped):
            told = structs.replace(told, before=state, after=kind)
        return [*(Answer(waiter.asker, result.status, body) for waiter in entry.waiters), told]

    def expire(self, now: float) -> list[Action]:
        """Tell those whose own time is over while the order goes on; one in line for which nobody waits is dropped."""
        actions: list[Action] = []
        for entry in list(self.entries):
            late = [waiter for waiter in entry.waiters if now >= waiter.until]
            if not late:
                continue
            if entry.behind is not None and len(late) == len(entry.waiters):
                what = f"{entry.operation.kind} {entry.operation.target} has not begun in time: {entry.behind}"
                actions += self.finish(entry, Result(504, Refusal(what, mend="It is withdrawn: ask again later")))
                continue
            entry.waiters = [waiter for waiter in entry.waiters if waiter not in late]
            text = entry.told.text if entry.told else "under way"
            mend = "It goes on; `primectl ps` shows how far it is"
            refusal = Refusal(f"not done in time: {text}", entry.operation.target, mend, operation=entry.number)
            actions += [Answer(waiter.asker, 504, refusal) for waiter in late]
        return actions

    def next_deadline(self) -> float | None:
        deadlines = [operation.next_deadline() for operation in self.operations]
        deadlines += [waiter.until for entry in self.entries for waiter in entry.waiters if waiter.until < inf]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _say(self, entry: Entry, progress: Progress | None) -> list[Action]:
        if progress is None:
            return []
        progress = structs.replace(progress, operation=entry.number)
        if progress == entry.told:
            return []
        entry.told = progress
        return [Answer(waiter.asker, 102, progress) for waiter in entry.waiters]

    def _behind(self, entry: Entry) -> str | None:
        """What keeps an order in line, in words: those under way in its pools; None for one that may begin."""
        mine = entry.operation.occupies
        others = [other for other in self.under_way if other is not entry and other.operation.occupies & mine]
        if not others:
            return None
        first = others[0]
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return f"queued behind {first.operation.kind} {first.number} of {first.operation.target}{more}"


def numbered(entry: Entry, actions: Iterable[Action]) -> list[Action]:
    """The events among these bear the order's number."""
    return [
        structs.replace(action, operation=entry.number) if isinstance(action, Tell) else action for action in actions
    ]


def _is_same(entry: Entry, asked: Asked, operation: Operation) -> bool:
    if isinstance(operation, Scaling):
        under_way = entry.operation
        return isinstance(under_way, Scaling) and (under_way.pool, under_way.size) == (operation.pool, operation.size)
    return entry.behind is not None and entry.is_like(asked)


def _overtakes(newer: Operation, entry: Entry) -> bool:
    older = entry.operation
    return isinstance(newer, Scaling) and isinstance(older, Scaling) and older.pool == newer.pool


def _overtaken(older: Operation, newer: Entry) -> Result:
    by = f" by {newer.asked.operator}" if newer.asked.operator else ""
    what = f"a newer scale of {older.target} to {newer.operation.wish}{by} took the place of this one"
    return Result(409, Refusal(what, mend=f"It is operation {newer.number}; `primectl ps` shows how far it is"))


def _tell(kind: str, entry: Entry, text: str, operator: str, subject: str = "") -> Tell:
    return Tell(kind, subject or entry.operation.target, text, operator, operation=entry.number)


def _patience_s(order: Order) -> float:
    """How long its asker waits; a stop takes as long as it takes."""
    return inf if isinstance(order, ResumeOrder | Stop) else order.timeout_s


def _timeless(order: Order) -> Order:
    return order if isinstance(order, ResumeOrder) else structs.replace(order, timeout_s=0.0)
