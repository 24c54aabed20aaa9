"""Entries and plans for tests of replays."""

from __future__ import annotations

from collections.abc import Iterable

from primectl.journal.steps import Outgoing, Plan, Step
from primectl.wire.journal import Entry, Row


def an_entry(number: int = 0, method: str = "GET", path: str = "/", time: float = 0.0) -> Entry:
    return Entry(row=Row(id=f"{number:016x}", number=number, time=time, method=method, path=path, status=200, ms=1.0))


def a_plan(due: Iterable[float], method: str = "GET", path: str = "/", body: bytes = b"") -> Plan:
    """A step for each time at which one is due, each with an entry of its own."""
    steps = tuple(
        Step(number, an_entry(number, method, path), Outgoing(method, path, (("x-step", str(number)),), body), due_s)
        for number, due_s in enumerate(due)
    )
    return Plan(steps=steps, size=len(body) * len(steps), seconds=steps[-1].due_s if steps else 0.0)
