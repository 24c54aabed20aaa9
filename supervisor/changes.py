"""Every process's changes of state as events: the one place where they are made."""

from __future__ import annotations

from primectl.wire.stats import STATE
from supervisor.books import Books
from supervisor.lifecycle import ALIVE
from supervisor.output import Output

_TOLD_WITH_LINES = frozenset({"crashed", "failed", "fatal"})
"""Kinds of events that have the last lines of a log themselves."""


def tell(books: Books, out: Output) -> None:
    """Tell of the changes of this turn. An end has its cause, and the last lines of the log if no other event has."""
    if not books.moves:
        return
    told = {action.subject for action in out.tells if action.kind in _TOLD_WITH_LINES}
    for process, before, after in books.moves:
        ended = before in ALIVE and after not in ALIVE
        cause = process.cause if ended else ""
        text = f"{before} -> {after}: {cause}" if cause else f"{before} -> {after}"
        lines = process.last_lines if ended and process.id not in told else ()
        out.tell(STATE, process.id, text, before=before, after=after, cause=cause, lines=lines)
    books.moves.clear()
