"""Tells whoever has started the supervisor that the cluster is there, once all is done that was asked for.

After an adoption that may be more than to go on: the config may have changed while there was no supervisor.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from primectl.errors import CommandRefused
from primectl.wire.control import Progress, Refusal
from supervisor.causes import in_words
from supervisor.events import Answer, Asker, CameUp, Order

OURSELVES = Asker(b"", 0)
"""Whom the answer to `then` is for."""


class Arrival:
    """`then` is the order to carry out when the cluster has come up, None for none; `order` gives it."""

    def __init__(
        self,
        then: Order | None,
        *,
        order: Callable[[Order, Asker], None],
        on_progress: Callable[[str], None],
        on_ready: Callable[[CameUp], None],
    ) -> None:
        self._then = then
        self._order = order
        self._on_progress = on_progress
        self._on_ready = on_ready
        self._outcome = CameUp()

    def came_up(self, outcome: CameUp) -> None:
        """All processes are what they will be."""
        self._outcome = outcome
        if self._then is None:
            self._on_ready(outcome)
        else:
            self._order(self._then, OURSELVES)

    def answered(self, answer: Answer) -> None:
        """How far `then` is, or what came of it: what cannot be applied ends no cluster that serves."""
        match answer.body:
            case Progress(text):
                self._on_progress(text)
            case Refusal(what, where, mend):
                error = CommandRefused(what, where, mend)
                failing = (*self._outcome.failing, f"the changed config is not applied: {error}")
                self._on_ready(structs.replace(self._outcome, failing=failing))
            case outcome:
                self._on_ready(structs.replace(self._outcome, applied=in_words(outcome)[2]))
