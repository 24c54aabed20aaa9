"""What one turn of the core comes to: actions in their order, and whether anything has moved."""

from __future__ import annotations

from collections.abc import Iterable

from supervisor.events import Action, Tell


class Output:
    """Shared by all parts of the core; `cluster` takes the actions at the end of each turn."""

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.moved = False
        """Something has changed that operations and the plan must look at."""
        self.deadline: float | None = None
        """When the core wants to look again although nothing has happened."""
        self.counters: dict[str, int] = {}
        self._command = 0

    @property
    def tells(self) -> list[Tell]:
        """What is told in this turn so far."""
        return [action for action in self.actions if isinstance(action, Tell)]

    def take(self) -> list[Action]:
        """The actions since the last call."""
        actions, self.actions = self.actions, []
        return actions

    def add(self, *actions: Action) -> None:
        self.actions += actions

    def extend(self, actions: Iterable[Action]) -> None:
        self.actions += actions

    def wake_at(self, deadline: float) -> None:
        self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)

    def tell(
        self,
        kind: str,
        subject: str,
        text: str,
        operator: str = "",
        *,
        before: str = "",
        after: str = "",
        cause: str = "",
        lines: tuple[str, ...] = (),
        operation: int = 0,
    ) -> None:
        """Add a `Tell`."""
        self.actions.append(Tell(kind, subject, text, operator, before, after, cause, lines, operation))

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + by

    def next_command(self) -> int:
        """A number for what is broadcast and shall be acknowledged."""
        self._command += 1
        return self._command
