"""Step 9: what the recorder is to be told of one run of a server, kept until it says that it is written.

Records gather for a moment and are sealed: from then on they have numbers and are one frame, which is sent again to the
next recorder as long as this one has not written it. What nobody writes is bounded: with `KEPT_BYTES` of it the newest
records are dropped, but for those of troubled requests, which have `RESERVE_BYTES` more. What is dropped has numbers
too, so that the recorder sees the gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

import msgspec
from msgspec import Raw, Struct

from primectl.server.choice import troubled
from primectl.wire import frames
from primectl.wire.frames import BATCH_BYTES
from primectl.wire.journal import Record, Written

KEPT_BYTES = 16 << 20
RESERVE_BYTES = 4 << 20
FRAME_OVERHEAD = 256
"""What a frame costs in memory beside its bytes."""


_encode_into = msgspec.msgpack.Encoder().encode_into


class _Frame(Struct, array_like=True, frozen=True, tag="E"):
    """`wire.journal.Records`, its records encoded already."""

    server: str
    incarnation: int
    first: int
    clock: float
    dropped: int
    records: Raw


class _Sealed(Struct, frozen=True, gc=False):
    """A frame, and the number of its last record."""

    frame: bytes
    last: int
    records: int


class Tape:
    """`dropped` counts the records that had no room; `unwritten` is the bytes of frames that are kept."""

    def __init__(self, server: str, incarnation: int) -> None:
        self._server = server
        self._incarnation = incarnation
        self._gathered = bytearray()
        """Records as msgpack, `_count` of them; `_gone` were dropped meanwhile."""
        self._count = 0
        self._gone = 0
        self._next = 1
        self._frames: deque[_Sealed] = deque()
        self._sent = 0
        """Of the frames, so many from the first have been sent."""
        self.unwritten = 0
        self.dropped = 0

    @property
    def empty(self) -> bool:
        """Everything is written."""
        return not (self._count or self._frames)

    @property
    def unsent(self) -> int:
        """The number of frames that have not been sent."""
        return len(self._frames) - self._sent

    def add(self, record: Record) -> bool:
        """True when it is time to `seal`: a frame is about a MiB at most."""
        if self.unwritten >= KEPT_BYTES and not self._has_room(record):
            self._gone += 1
            self.dropped += 1
            return False
        # At once, so that nothing of a request lives longer than it does: kept for 20 ms, what they hold cost more than
        # this by cold caches.
        _encode_into(record, self._gathered, -1)
        self._count += 1
        return len(self._gathered) >= BATCH_BYTES

    def _has_room(self, record: Record) -> bool:
        return self.unwritten < KEPT_BYTES + RESERVE_BYTES and troubled(record.status, record.flags)

    def seal(self, clock: float) -> None:
        """Make a frame of what has gathered. `clock` is what to add to monotonic seconds for Unix seconds."""
        first, count = self._next, self._count
        self._next += count + self._gone
        self._gone = 0
        if not count:
            return
        records = Raw(b"\xdd" + count.to_bytes(4, "big") + self._gathered)
        self._gathered.clear()
        self._count = 0
        frame = frames.encode(_Frame(self._server, self._incarnation, first, clock, self.dropped, records))
        self._frames.append(_Sealed(frame, first + count - 1, count))
        self.unwritten += len(frame) + FRAME_OVERHEAD

    def to_send(self) -> Iterator[bytes]:
        """The frames to send, in order; `sent` is to be told how many of them have left."""
        return (sealed.frame for sealed in islice(self._frames, self._sent, None))

    def sent(self, count: int) -> None:
        self._sent += count

    def rewind(self) -> None:
        """Whoever was sent something is gone, perhaps with it: all that is not written is to be sent again."""
        self._sent = 0

    def written(self, said: Written) -> bool:
        """Forget what the recorder has on disk. False for what cannot be true; what is meant for an earlier run of
        this server says nothing."""
        if said.incarnation != self._incarnation:
            return True
        if said.last >= self._next:
            return False
        kept = self._frames
        while kept and kept[0].last <= said.last:
            self.unwritten -= len(kept.popleft().frame) + FRAME_OVERHEAD
            self._sent = max(0, self._sent - 1)
        return True

    def forget(self) -> None:
        """Nobody is there to write any more: everything that is kept is dropped."""
        self.dropped += self._count + sum(sealed.records for sealed in self._frames)
        self._gathered.clear()
        self._frames.clear()
        self._count = self._sent = self.unwritten = 0
