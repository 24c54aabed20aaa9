"""§ Questions that consoles ask are answered in slices of the loop's time, so that no console can slow the supervisor.

Orders go straight to the core. Whoever asks more than the rest waits longer: each asker's questions are a line of their
own, and the lines take turns. Beyond what is kept, a question is refused at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterable

from msgspec import Struct

from primectl.clock import Clock
from primectl.config.topology import Place
from primectl.wire.control import Events, EventsQuery, Logs, LogsQuery, Refusal
from primectl.wire.stats import ClusterSnapshot
from supervisor import api, logread
from supervisor.eventlog import EventLog
from supervisor.events import Asker, zygote_ids
from supervisor.plan import nearest, printable

SLICE_S = 0.004
"""Of the loop's time, then everybody else has a turn …"""
REST = 3
"""… that is so many times as long, at least."""
OF_ONE_ASKER = 32
IN_ALL = 1000

Answered = tuple[int, Struct]
Work = Generator[None, None, Answered]


class Questions:
    """`reply` sends an answer; `snapshot` makes what GET /cluster wants."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        place: Place,
        pools: Callable[[], Iterable[str]],
        snapshot: Callable[[], ClusterSnapshot],
        eventlog: EventLog,
        reply: Callable[[Asker, int, Struct], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._place = place
        self._pools = pools
        self._snapshot = snapshot
        self._eventlog = eventlog
        self._reply = reply
        self._lines: dict[bytes, deque[tuple[Asker, Work]]] = {}
        """By the asker's address; those in front have waited longest for a turn."""
        self._waiting = 0
        self._scheduled = False

    def ask(self, asker: Asker, query: api.Query) -> None:
        line = self._lines.setdefault(asker.address, deque())
        if len(line) >= OF_ONE_ASKER or self._waiting >= IN_ALL:
            if not line:
                del self._lines[asker.address]
            self._reply(asker, 409, Refusal("too many questions wait for their answers", mend="Ask again later"))
            return
        line.append((asker, self._work(query)))
        self._waiting += 1
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        began = self._clock.monotonic()
        spent = 0.0
        while self._lines and spent < SLICE_S:
            self._step()
            spent = self._clock.monotonic() - began
        self._scheduled = bool(self._lines)
        if self._scheduled:
            self._loop.call_later(spent * REST, self._slice)

    def _step(self) -> None:
        """One step of the first question of the first line, which then goes to the end."""
        address = next(iter(self._lines))
        line = self._lines.pop(address)
        asker, work = line[0]
        try:
            next(work)
        except StopIteration as end:
            line.popleft()
            self._waiting -= 1
            status, body = end.value
            self._reply(asker, status, body)
        if line:
            self._lines[address] = line

    def _work(self, query: api.Query) -> Work:
        match query:
            case EventsQuery():
                return 200, Events(self._eventlog.answer(query))
            case LogsQuery():
                return (yield from self._logs(query))
            case _:
                return 200, self._snapshot()

    def _logs(self, query: LogsQuery) -> Work:
        known = logread.logged(self._place)
        if query.target == "all":
            chosen = known
        elif query.target in self._pools():
            numbered = f"{query.target}."
            chosen = [
                name
                for name in known
                if name in zygote_ids(query.target) or (name.startswith(numbered) and name[len(numbered) :].isdigit())
            ]
        elif query.target in known:
            chosen = [query.target]
        else:
            what = f'no process called "{printable(query.target)}" has a log'
            return 404, Refusal(what, mend=nearest(query.target, [*self._pools(), *known, "all"]))
        return 200, Logs((yield from logread.merged(self._place, chosen, query.last)))
