"""What to send again: recorded requests and an operator's wishes -> Plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from primectl.journal.steps import Outgoing, Plan, Skipped, Step
from primectl.message import Headers
from primectl.wire.journal import REPLAY_HEADER, Entry

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""RFC 9110 9.2.1; all others may change something."""

DueTimes = Callable[[Sequence[float], float, float, int], Sequence[float]]
"""`pace.due_times`: the times of the requests (rising), speed, rate and repeat -> when each is due, in seconds from the
start, as many as requests times repeat."""

AS_FAST_AS_POSSIBLE = math.inf
"""`Wishes.speed` for `--speed max`."""

_NOT_SENT_ALONG = frozenset(
    (
        "connection", "content-length", "date", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", REPLAY_HEADER,
    )
)  # fmt: skip
"""Fields that belong to the connection of then (RFC 9110 7.6.1), or that the sender makes anew."""


class Secret(Struct, frozen=True):
    """What stands for a redacted value: `name` is that of a header field, a key of the query or a JSON pointer."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"


class Wishes(Struct, frozen=True, kw_only=True):
    """What an operator wants of a replay.

    `speed` 1 is the original pace, 2 twice as fast, AS_FAST_AS_POSSIBLE as it says; `rate` requests a second at most, 0
    for no such bound. `unsafe` says what becomes of methods that may change something: with "ask" those are sent whose
    ids are in `allowed`. `set_headers` with an empty value take the field out. `edits` has what an operator made of a
    request, by the id of the original; None where it was cancelled.
    """

    speed: float = 1.0
    rate: float = 0.0
    repeat: int = 1
    unsafe: Literal["ask", "skip", "send"] = "skip"
    allowed: frozenset[str] = frozenset()
    secrets: tuple[Secret, ...] = ()
    set_headers: Headers = ()
    edits: Mapping[str, Outgoing | None] = {}


def is_unsafe(method: str) -> bool:
    """Whether sending it again may change something: whatever is not known to be safe."""
    return method not in SAFE_METHODS


def bare(entry: Entry, set_headers: Headers = ()) -> Outgoing:
    """The request without what belongs to the connection of then, and with these fields set or taken out."""
    taken_out = {name.lower() for name, _ in set_headers} | _NOT_SENT_ALONG
    kept = tuple((name, value) for name, value in entry.fields if name.lower() not in taken_out)
    put_in = tuple((name, value) for name, value in set_headers if value)
    return Outgoing(entry.row.method, entry.target, kept + put_in, entry.body)


def make(entries: Iterable[Entry], wishes: Wishes, due_times: DueTimes) -> Plan:
    """The steps in order of time, `wishes.repeat` times, and what is skipped and why."""
    chosen: list[tuple[Entry, Outgoing]] = []
    skipped: list[Skipped] = []
    for entry in sorted(entries, key=lambda entry: entry.row.time):
        ready = _ready(entry, wishes)
        if isinstance(ready, Outgoing):
            chosen.append((entry, ready))
        else:
            skipped.append(Skipped(entry, ready))
    due = due_times([entry.row.time for entry, _ in chosen], wishes.speed, wishes.rate, wishes.repeat)
    steps = tuple(
        Step(number, *chosen[number % len(chosen)], due_s=due_s) for number, due_s in enumerate(due) if chosen
    )
    return Plan(
        steps=steps,
        skipped=tuple(skipped),
        size=sum(len(step.outgoing.body) for step in steps),
        seconds=steps[-1].due_s if steps else 0.0,
    )


def _ready(entry: Entry, wishes: Wishes) -> Outgoing | str:
    """The request as it is sent, or why it is not."""
    row = entry.row
    if row.cut:
        return f"its body is cut at {len(entry.body)} of {row.asked_size} bytes"
    outgoing = wishes.edits.get(row.id, bare(entry, wishes.set_headers))
    if outgoing is None:
        return "its edit was cancelled"
    if is_unsafe(outgoing.method) and wishes.unsafe != "send" and row.id not in wishes.allowed:
        return f"{outgoing.method} may change something"
    return outgoing
