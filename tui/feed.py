"""Where the console's data comes from: a `Channel`, which tests replace by one without a network."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct

from primectl.wire.control import Progress
from primectl.wire.stats import FeedMessage

if TYPE_CHECKING:
    from primectl.config.topology import Place

SNAPSHOTS = "snapshot"
EVENTS = "event"
LOGS = "log"

ReplyT = TypeVar("ReplyT")


class Listening(Protocol):
    """A subscription. `fileno` may be edge-triggered: `receive` takes all there is, and never blocks."""

    def fileno(self) -> int: ...

    def receive(self) -> list[FeedMessage]: ...

    def close(self) -> None: ...


class Channel(Protocol):
    """The way to one cluster."""

    def ask(
        self,
        method: str,
        path: str,
        body: Struct | None,
        reply: type[ReplyT],
        *,
        timeout_s: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ReplyT:
        """Blocks, so it is called in a thread of its own; raises PrimectlError."""
        ...

    def listen(self, topics: Collection[str]) -> Listening:
        """Subscribe; comes back by itself when the supervisor does."""
        ...


class ClusterChannel:
    """The channel to a running cluster."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def ask(
        self,
        method: str,
        path: str,
        body: Struct | None,
        reply: type[ReplyT],
        *,
        timeout_s: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ReplyT:
        from primectl.control.client import ControlClient  # pyzmq is loaded after the first frame

        with ControlClient(self._place) as client:
            return client.ask(method, path, body, reply, timeout_s=timeout_s, on_progress=on_progress)

    def listen(self, topics: Collection[str]) -> Listening:
        from primectl.control.client import Feed  # pyzmq is loaded after the first frame

        return Feed(self._place, topics)
