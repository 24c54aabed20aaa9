"""Step 9: which records of each server's run are new, which are missing, and when to write them.

A server numbers the records of its run, sends what it has not been told to be `Written` again to every new recorder,
and skips the numbers of what it had to drop. So what has a number that was heard is left out, and a number that never
came was dropped, or else it is lost. How far each run was heard is written with the rows (`store.Heard`), so that a
recorder knows it of its predecessor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Raw, Struct

from primectl.config.topology import server_number
from primectl.errors import WireError
from primectl.journal.heard import RUNS_A_SERVER, Heard, Run
from primectl.wire.frames import Decoder

COMMIT_ROWS = 4000
COMMIT_BYTES = 4 << 20
COMMIT_S = 0.05
"""A batch is written when it is so large, or so long after its first row …"""
FEW_ROWS = 250
LATE_COMMIT_S = 0.2
"""… and so long if it has more rows than a few: a row costs a tenth less in a large batch."""
MOST_BYTES = 16 << 20
"""What is kept while nothing can be written; then the oldest is refused."""


_Count = Annotated[int, Meta(ge=0, lt=1 << 62)]


class _Frame(Struct, array_like=True, frozen=True, tag="E"):
    """`wire.journal.Records`, with its records left as they are: they are decoded for the row only."""

    server: str
    incarnation: _Count
    first: _Count
    clock: Annotated[float, Meta(ge=-1e12, le=1e12)]
    dropped: _Count
    records: Raw


_frame = Decoder("recorder", _Frame)


class Taken(Struct, frozen=True):
    """Records of a frame, as msgpack of a list of them; the first `skip` of its `count` are known already.

    Once they are written, the run has been heard up to `last`.
    """

    server: str
    incarnation: int
    clock: float
    records: bytes
    count: int
    skip: int
    last: int

    @property
    def run(self) -> Run:
        return self.server, self.incarnation

    @property
    def new(self) -> int:
        return self.count - self.skip


class Intake:
    """What has come and is not written. `heard` is how far each run was heard, what waits here included."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self.heard: dict[Run, Heard] = {}
        self._waiting: deque[Taken] = deque()
        self._rows = 0
        self._bytes = 0
        self._since = 0.0
        self.refused = 0
        """Rows for which there was no room while nothing could be written."""
        self.repeated = 0
        self.frames = 0
        """That were taken."""
        self._tell: dict[Run, int] = {}
        self._known: dict[Run, int] = {}
        """What a predecessor has counted as lost."""
        self._lost: dict[Run, int] = {}
        self._lost_before = 0

    def knew(self, heard: Mapping[Run, Heard]) -> None:
        """How far a predecessor has heard them, as the journal says; what was heard since counts more."""
        for run, at in heard.items():
            if run not in self.heard:
                self._note(run, at)
                self._known[run] = max(0, at.missing - at.dropped)

    @property
    def waits(self) -> bool:
        """Something is to be written."""
        return bool(self._waiting)

    @property
    def lost(self) -> int:
        """Numbers that never came since this recorder began, but those of records that servers say to have dropped."""
        return self._lost_before + sum(self._lost.values())

    # --- arrival ------------------------------------------------------------------------------------------------------

    def take(self, frame: bytes, now: float) -> None:
        """Take in what a server sent. Raises WireError for anything else, which changes nothing."""
        said: _Frame = _frame(frame)
        records = bytes(said.records)
        count = _length(records)
        try:
            server_number(said.server)
        except ValueError as error:
            raise WireError(str(error), "recorder") from None
        if count == 0 or said.first < 1:
            raise WireError("records without a number", "recorder")
        self.frames += 1
        run = said.server, said.incarnation
        last = said.first + count - 1
        # Of a run that nobody here knows, the beginning may have been written to a journal that is gone.
        before = self.heard.get(run) or Heard(said.first - 1, said.dropped, said.dropped)
        missing = before.missing + max(0, said.first - before.last - 1)
        dropped = max(before.dropped, said.dropped)
        self._note(run, Heard(max(last, before.last), dropped, missing))
        lost = missing - dropped - self._known.get(run, 0)
        if lost > 0:
            self._lost[run] = max(self._lost.get(run, 0), lost)
        skip = min(count, max(0, before.last + 1 - said.first))
        self.repeated += skip
        if skip == count:
            # Its server has not heard that it is written: when all before it is, it is told.
            records, count, skip = b"\x90", 0, 0
        if not self._waiting:
            self._since = now
        self._waiting.append(Taken(*run, said.clock, records, count, skip, max(last, before.last)))
        self._rows += count - skip
        self._bytes += len(records)

    def _note(self, run: Run, at: Heard) -> None:
        if run not in self.heard:
            lives = sorted(each for each in self.heard if each[0] == run[0])
            for old in lives[: max(0, len(lives) + 1 - RUNS_A_SERVER)]:
                del self.heard[old]
                self._known.pop(old, None)
                self._lost_before += self._lost.pop(old, 0)
        self.heard[run] = at

    # --- writing ------------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """It is time to write, whenever the first of them came."""
        return self._rows >= COMMIT_ROWS or self._bytes >= COMMIT_BYTES

    def next_deadline(self) -> float | None:
        """When to write what waits."""
        if not self._waiting:
            return None
        return self._since + (COMMIT_S if self._rows <= FEW_ROWS else LATE_COMMIT_S)

    def batch(self) -> tuple[list[Taken], dict[Run, Heard]]:
        """What to write now, in order; and how far the runs that it is of will then have been heard."""
        taken: list[Taken] = []
        size = 0
        for each in self._waiting:
            if taken and size + len(each.records) > COMMIT_BYTES:
                break
            taken.append(each)
            size += len(each.records)
        heard: dict[Run, Heard] = {}
        for each in taken:
            if (at := self.heard.get(each.run)) is not None:
                heard[each.run] = Heard(each.last, at.dropped, at.missing)
        return taken, heard

    def written(self, taken: list[Taken], now: float) -> None:
        """The batch is on disk."""
        for _ in taken:
            self._let_go()
        self._since = now  # of what is left; it came a little earlier, and waits no longer than it would have to

    def cannot_write(self, *, ever: bool = True) -> None:
        """Nothing can be written now: make room. Without `ever` there is no hope for what waits."""
        while self._waiting and (not ever or self._bytes > self._most_bytes):
            self.refused += self._let_go().new

    def _let_go(self) -> Taken:
        gone = self._waiting.popleft()
        self._rows -= gone.new
        self._bytes -= len(gone.records)
        self._tell[gone.run] = gone.last
        return gone

    def to_tell(self) -> dict[Run, int]:
        """Who can forget what: the last number of each run of which something was written or refused since."""
        told, self._tell = self._tell, {}
        return told


def _length(records: bytes) -> int:
    """Of a msgpack array, from its first bytes."""
    kind = records[0] if records else 0
    if kind & 0xF0 == 0x90:
        return kind & 0x0F
    if kind == 0xDC:
        return int.from_bytes(records[1:3], "big")
    if kind == 0xDD:
        return int.from_bytes(records[1:5], "big")
    raise WireError("records that are no array", "recorder")
