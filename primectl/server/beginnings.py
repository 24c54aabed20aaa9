"""Step 9: of streamed answers that go on, what will be recorded: the head, and the first bytes of the body."""

from __future__ import annotations

import msgspec

from primectl.wire.job import Answer, RequestId
from primectl.wire.journal import EMPTY_TRAIL, Hop, add_hop, hops_of

KEPT_BYTES = 16 << 20
"""Of all bodies together; beyond it they are cut."""


class Beginning:
    """One streamed answer. Its `head` holds the first part of the body as well. What follows a part that was `cut` is
    not kept, so that `body` is always how the whole one begins."""

    __slots__ = ("body", "cut", "head")

    def __init__(self, head: Answer) -> None:
        self.head = head
        self.body = bytearray()
        self.cut = False


class Beginnings:
    """By request."""

    def __init__(self) -> None:
        self._begun: dict[RequestId, Beginning] = {}
        self._size = 0

    def begin(self, request: RequestId, head: Answer, limit: int) -> None:
        """Of its body `limit` bytes are recorded."""
        self._begun[request] = begun = Beginning(head)
        self._add(begun, head.body, limit)

    def part(self, request: RequestId, data: bytes, limit: int) -> None:
        begun = self._begun.get(request)
        if begun is not None:
            self._add(begun, data, limit)

    def end(self, request: RequestId) -> Beginning | None:
        """None for one that began when nothing was recorded."""
        begun = self._begun.pop(request, None)
        if begun is not None:
            self._size -= len(begun.body)
        return begun

    def _add(self, begun: Beginning, data: bytes, limit: int) -> None:
        if begun.cut:
            return
        room = max(0, min(limit - len(begun.body), KEPT_BYTES - self._size))
        begun.cut = room < len(data)
        begun.body += data[:room]
        self._size += min(room, len(data))


def ended(trail: bytes, at: float, *, failed: bool) -> bytes:
    """The trail of a streamed answer that has ended: its worker sent it with the head and could not know."""
    try:
        hops = hops_of(trail)
    except msgspec.MsgspecError:  # whoever sent that is no worker of ours
        return EMPTY_TRAIL
    if not hops:
        return trail
    last = hops[-1]
    whole = EMPTY_TRAIL
    for hop in (*hops[:-1], Hop(last.worker, last.begun, at, last.attempt, failed)):
        whole = add_hop(whole, hop)
    return whole
