"""Step 6: how much of a streamed answer may be sent. Bytes that a handler has given wait here for their turn.

The server allows so many bytes, counted from the first of the body; it allows more as the client reads.
"""

from __future__ import annotations

from collections import deque

from primectl.wire.job import STREAM_WINDOW

PART_BYTES = 256 << 10
"""The largest part that travels at once: other answers of the same worker's server stand behind it."""


class Flow:
    """One streamed body on its way."""

    __slots__ = ("_chunks", "_limit", "_sent", "waiting")

    def __init__(self, window: int = STREAM_WINDOW) -> None:
        self._chunks: deque[memoryview] = deque()
        self._sent = 0
        self._limit = window
        self.waiting = 0
        """Bytes not sent yet."""

    @property
    def open(self) -> bool:
        """Whether the client has room for more."""
        return self._sent < self._limit

    def add(self, data: bytes) -> None:
        if data:
            self._chunks.append(memoryview(data))
            self.waiting += len(data)

    def allow(self, limit: int) -> None:
        """The body may be sent up to byte `limit`; what was allowed stays allowed."""
        self._limit = max(self._limit, limit)

    def take(self) -> bytes:
        """The next part to send, small chunks together, large ones cut; empty when nothing waits or may be sent."""
        size = min(self.waiting, self._limit - self._sent, PART_BYTES)
        if size <= 0:
            return b""
        parts: list[memoryview] = []
        left = size
        while left:
            chunk = self._chunks.popleft()
            if len(chunk) > left:
                self._chunks.appendleft(chunk[left:])
                chunk = chunk[:left]
            parts.append(chunk)
            left -= len(chunk)
        self._sent += size
        self.waiting -= size
        return b"".join(parts)

    def put_back(self, part: bytes) -> None:
        """The part just taken could not be sent."""
        if part:
            self._chunks.appendleft(memoryview(part))
            self._sent -= len(part)
            self.waiting += len(part)

    def drop(self) -> None:
        """Nobody reads what waits."""
        self._chunks.clear()
        self.waiting = 0
