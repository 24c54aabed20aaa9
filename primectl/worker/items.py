"""§ Step 5: a streamed answer from the handler's side: a generator or iterator, plain or async, asked item by item."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from enum import Enum
from typing import Final, cast

from primectl.message import JobCancelled
from primectl.worker.interrupt import enter


class End(Enum):
    """The type of `END`: there is no further item."""

    END = 0


END: Final = End.END


class Items:
    """What a handler gives one after the other. Every method runs the handler's code, and raises what that raises."""

    def __init__(
        self,
        source: Iterator[object] | AsyncIterator[object],
        wait: Callable[[Awaitable[object]], object],
        leave_if_copied: Callable[[], None],
    ) -> None:
        """`wait` runs the event loop until an awaitable has its result; `leave_if_copied` as that of `Handler`."""
        self._source = source
        self._wait = wait
        self._leave_if_copied = leave_if_copied

    def pull(self) -> object:
        """The next item, END behind the last."""
        try:
            if isinstance(self._source, Iterator):
                return enter(self._source.__next__)
            return self._wait(self._source.__anext__())
        except (StopIteration, StopAsyncIteration):
            return END
        finally:
            self._leave_if_copied()

    def cancel(self) -> None:
        """Have a generator, at the `yield` where it rests, see that nobody waits for it any more."""
        if isinstance(self._source, types.GeneratorType):
            try:
                enter(self._source.throw, JobCancelled("nobody waits for this answer any more"))
            except (StopIteration, JobCancelled):
                return

    def close(self) -> None:
        """Let a generator clean up; to be called in any case. What is at its end has nothing more to do."""
        close = getattr(self._source, "aclose", None)
        if close is not None:
            self._wait(cast("Awaitable[object]", close()))
            return
        close = getattr(self._source, "close", None)
        if close is not None:
            enter(close)


def as_bytes(item: object) -> bytes:
    """An item behind the first, as it is sent. Raises TypeError for what is no part of a body."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytearray | memoryview):
        return bytes(item)
    raise TypeError(f"behind its first item a stream has str and bytes, not {type(item).__name__}")
