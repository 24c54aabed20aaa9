"""The shape of every core that has a state: learned once, it reads them all.

A core decides and never touches the outside world: no clock, socket, process or log. A shell gathers events, asks
the core, performs the actions, and sleeps until the next deadline.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

EventT = TypeVar("EventT", contravariant=True)
ActionT = TypeVar("ActionT")
SnapshotT = TypeVar("SnapshotT", covariant=True)


class Machine(Protocol[EventT, ActionT, SnapshotT]):
    """A core. `now` is monotonic seconds and never steps back."""

    def handle(self, event: EventT, now: float) -> list[ActionT]:
        """Take in one event; return what the shell must do, in order."""
        ...

    def next_deadline(self) -> float | None:
        """Monotonic seconds at which the core wants a `Tick`, None when it waits for nothing."""
        ...

    def snapshot(self) -> SnapshotT:
        """What an operator would want to see of it, as an immutable value."""
        ...
