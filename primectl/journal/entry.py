"""Step 9: a server's `Record` becomes columns of a row and part of a block, and both together an `Entry` again.

How to think about it. Columns are what lists and filters need; all else stays in blocks, which are whole batches as
the server sent them. So most records are never taken apart: of a record only what stands in its row is decoded, and
its bytes are copied. A block is msgpack: `[records, {place: what was redacted}]`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from primectl.message import Headers, Request, problem_detail
from primectl.wire.job import RequestId, request_name
from primectl.wire.journal import (
    DEAD,
    REPLAY_HEADER,
    STREAMED,
    Entry,
    Hop,
    HopTimes,
    Record,
    Row,
    hops_of,
)

FoundT = TypeVar("FoundT")

# --- flags that only the journal has; those of `wire.journal` come first ----------------------------------------------

CUT = 32
"""The body of the request is not whole."""
ANSWER_CUT = 64
REDEEMED = 128
"""A dead letter of which a replay has succeeded."""
IMPORTED = 256

# --- rows -------------------------------------------------------------------------------------------------------------

COLUMNS = (
    "number",
    "request",
    "time",
    "ms",
    "status",
    "flags",
    "attempts",
    "size",
    "asked_size",
    "method",
    "path",
    "query",
    "workers",
    "worker",
    "pool",
    "server",
    "client",
    "problem",
    "replay_of",
    "replay_run",
    "block",
    "place",
)
"""Of the table `requests`, in order. `workers` is "|parse.1|compute.3|": so `compute` is asked for by "|compute."."""

Columns = tuple[
    int, int, float, float, int, int, int, int, int, str, str, str, str, str, str, str, str, str, int | None,
    str | None, int, int,
]  # fmt: skip
"""The values of COLUMNS."""


def row_of(columns: Columns, hops: list[HopTimes] | None = None) -> Row:
    """A row as readers get it; `hops` come from its record (`hop_times`)."""
    (
        number, request, time, ms, status, flags, attempts, size, asked_size, method, path, query, _, worker, pool,
        server, client, problem, replay_of, replay_run, _, _,
    ) = columns  # fmt: skip
    return Row(
        id=request_name(RequestId(request)),
        number=number,
        time=time,
        method=method,
        path=path,
        query=query,
        status=status,
        ms=round(ms, 3),
        pool=pool,
        worker=worker,
        server=server,
        client=client,
        attempts=attempts,
        size=size,
        asked_size=asked_size,
        problem=problem,
        hops=hops or [],
        cut=flags & CUT != 0,
        answer_cut=flags & ANSWER_CUT != 0,
        dead=flags & DEAD != 0,
        redeemed=flags & REDEEMED != 0,
        streamed=flags & STREAMED != 0,
        imported=flags & IMPORTED != 0,
        replay_of="" if replay_of is None else request_name(RequestId(replay_of)),
        replay_run=replay_run or "",
    )


def hop_times(record: Record) -> list[HopTimes]:
    """The waterfall of a record; empty where its trail cannot be read."""
    try:
        hops = hops_of(record.trail)
    except msgspec.MsgspecError:
        return []
    ends = [record.began, *(hop.ended for hop in hops)]
    return [_hop_times(hop, before) for (before, _), hop in zip(pairwise(ends), hops, strict=True)]


def _hop_times(hop: Hop, before: float) -> HopTimes:
    pool, _, number = hop.worker.rpartition(".")
    if not number.isdigit():  # the name of a pool: it waited there for a worker until it was taken away
        return HopTimes(hop.worker, "", _ms(hop.ended - before), 0.0, hop.attempt, hop.failed)
    return HopTimes(pool, hop.worker, _ms(hop.begun - before), _ms(hop.ended - hop.begun), hop.attempt, hop.failed)


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds * 1000.0), 3)


# --- blocks -----------------------------------------------------------------------------------------------------------


class Block(Struct, array_like=True, frozen=True):
    """What stands in `blocks.records`. `redacted` has, by place, what was taken out (as `Entry.redacted` says it)."""

    records: list[Record]
    redacted: dict[int, list[str]] = {}


class _RawBlock(Struct, array_like=True, frozen=True):
    records: list[Raw]
    redacted: dict[int, list[str]] = {}


_raw_block = msgspec.msgpack.Decoder(_RawBlock).decode
_record = msgspec.msgpack.Decoder(Record).decode
_request = msgspec.msgpack.Decoder(Request).decode
_encode = msgspec.msgpack.Encoder().encode


class OpenBlock:
    """A block of which records are taken one by one. Raises msgspec.MsgspecError for what is no block."""

    def __init__(self, block: bytes) -> None:
        self._raw = _raw_block(block)

    def at(self, place: int) -> tuple[Record, list[str]]:
        """A record, and what of it was redacted. Raises msgspec.MsgspecError or IndexError where there is none."""
        return _record(self._raw.records[place]), self._raw.redacted.get(place, [])


def asked_of(record: Record) -> Request:
    """The request of a record; an empty one where the server could not tell it."""
    try:
        return _request(record.asked)
    except msgspec.MsgspecError:
        return Request("", "")


def entry_of(columns: Columns, record: Record, redacted: list[str]) -> Entry:
    """All there is of a row. `record` and `redacted` are from its block (`OpenBlock.at`)."""
    request = asked_of(record)
    return Entry(
        row=row_of(columns, hop_times(record)),
        version=request.version,
        scheme=request.scheme,
        fields=request.fields,
        body=request.body,
        answer_fields=record.fields,
        answer_body=record.body,
        redacted=redacted,
    )


def record_of(entry: Entry) -> Record:
    """The other way round, for an entry from elsewhere: its times are Unix seconds, so the clock to go with it is 0.

    Raises ValueError for an id that is none.
    """
    row = entry.row
    began = row.time
    at = began
    trail = []
    for hop in row.hops:
        begun = at + hop.queued_ms / 1000
        at = begun + hop.served_ms / 1000
        trail.append(Hop(hop.worker or hop.pool, begun, at, hop.attempt, hop.failed))
    request = Request(row.method, entry.target, entry.fields, entry.body, row.client, {}, entry.version, entry.scheme)
    return Record(
        request=RequestId(int(row.id, 16)),
        began=began,
        ended=began + row.ms / 1000,
        asked=_encode(request),
        asked_bytes=max(row.asked_size, len(entry.body) + row.cut),
        status=row.status,
        fields=entry.answer_fields,
        body=entry.answer_body,
        body_bytes=max(row.size, len(entry.answer_body) + row.answer_cut),
        worker=row.worker,
        pool=row.pool,
        attempts=row.attempts,
        trail=_encode(trail) if trail else b"",
        flags=STREAMED if row.streamed else 0,
        problem=row.problem,
    )


# --- what comes from a server -----------------------------------------------------------------------------------------


class _Asked(Struct, array_like=True, frozen=True, gc=False):
    """The part of `message.Request` that a row needs."""

    method: str = ""
    target: str = ""
    fields: Raw = Raw()
    body: bytes = b""
    client: str = ""


_Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Seconds = Annotated[float, Meta(ge=0, le=1e12)]
"""What SQLite has room for; no NaN."""


class _Told(Struct, array_like=True, frozen=True, gc=False):
    """`Record`, with the fields of its answer left as they are."""

    request: _Count
    began: _Seconds
    ended: _Seconds
    asked: bytes
    asked_bytes: _Count
    status: _Count
    fields: Raw
    body: bytes
    body_bytes: _Count
    worker: str
    pool: str
    attempts: _Count = 1
    trail: bytes = b""
    flags: _Count = 0
    problem: str = ""


class _Passed(Struct, array_like=True, frozen=True, gc=False):
    """`Hop`, of which a row has only this."""

    worker: str


_told = msgspec.msgpack.Decoder(list[_Told]).decode
_asked = msgspec.msgpack.Decoder(_Asked).decode
_passed = msgspec.msgpack.Decoder(list[_Passed]).decode
_raws = msgspec.msgpack.Decoder(list[Raw]).decode

_PROBLEM = b"application/problem+json"
_MARK = REPLAY_HEADER.encode()
_MARKED = re.compile(r"([0-9a-f]{8})/([0-9a-f]{13})")
_NO_REQUEST = _Asked()
_TOLD_FLAGS = CUT - 1
_NO_MARK = (None, None)


class Page(Struct, frozen=True):
    """Records on their way to be one block and its rows. `marks` has, by place, the original and the run of a replay.

    `dead`: the one record is a dead letter, which outlives its neighbours, so it has a block to itself.
    """

    server: str
    clock: float
    block: bytes
    told: list[_Told]
    dead: bool = False
    marks: dict[int, tuple[int, str]] = {}
    flags: int = 0
    """Of all of them, beside their own."""

    def __len__(self) -> int:
        return len(self.told)

    def rows(self, number: int, block: int) -> list[tuple[int | float | str, ...]]:
        """What `store` inserts, numbered upwards from `number`: COLUMNS up to `problem`, then `block`; of a page with
        `marks` also `replay_of` and `replay_run`. The rest follows from these. This is the recorder's inner loop."""
        server, clock, more = self.server, self.clock, self.flags
        rows: list[tuple[int | float | str, ...]] = []
        for told in self.told:
            began = told.began
            try:
                asked = _asked(told.asked)
            except msgspec.MsgspecError:  # what was no HTTP has no request to tell
                asked = _NO_REQUEST
            path, _, query = asked.target.partition("?")
            flags = told.flags & _TOLD_FLAGS | more
            if flags & DEAD and not self.dead:
                flags ^= DEAD  # a replay that was given up: the dead letter is its original
            if len(asked.body) < told.asked_bytes:
                flags |= CUT
            if len(told.body) < told.body_bytes:
                flags |= ANSWER_CUT
            status = told.status
            rows.append(
                (
                    number,
                    told.request,
                    clock + began,
                    (told.ended - began) * 1000.0,
                    status,
                    flags,
                    told.attempts,
                    told.body_bytes,
                    told.asked_bytes,
                    asked.method,
                    path,
                    query,
                    _workers(told.trail),
                    told.worker,
                    told.pool,
                    server,
                    asked.client,
                    told.problem or (_detail(told) if status >= 400 else ""),
                    block,
                )
            )
            number += 1
        if self.marks:
            return [(*row, *self.marks.get(place, _NO_MARK)) for place, row in enumerate(rows)]
        return rows


def _workers(trail: bytes) -> str:
    try:
        passed = _passed(trail) if trail else ()
    except msgspec.MsgspecError:
        return ""
    if len(passed) == 2:
        return f"|{passed[0].worker}|{passed[1].worker}|"
    return f"|{'|'.join([hop.worker for hop in passed])}|" if passed else ""


def _detail(told: _Told) -> str:
    if _PROBLEM not in bytes(told.fields).lower():
        return ""
    return problem_detail(told.body)


def mark_of(asked: bytes) -> tuple[int, str] | None:
    """The original's id and the run, of a request that is a replay; a mark that is malformed is none."""
    if _MARK not in asked.lower():
        return None
    try:
        fields: Headers = _request(asked).fields
    except msgspec.MsgspecError:
        return None
    for name, value in fields:
        if name.lower() == REPLAY_HEADER and (found := _MARKED.fullmatch(value.strip())):
            return int(found[2], 16), found[1]
    return None


def pages(
    server: str, clock: float, records: bytes, redacted: dict[int, list[str]], flags: int = 0, skip: int = 0
) -> list[Page]:
    """The records, as msgpack of a list of them, as pages: one for all, and one for each dead letter. The first `skip`
    are left out.

    Raises msgspec.MsgspecError for anything else.
    """
    told = _told(records)
    marks = {}
    if _MARK in records.lower():
        marks = {place: mark for place, each in enumerate(told) if (mark := mark_of(each.asked)) is not None}
    buried = [each.flags & DEAD != 0 and place not in marks for place, each in enumerate(told)]
    if not skip and not any(buried):
        return [Page(server, clock, _sealed(records, redacted), told, False, marks, flags)] if told else []
    raws = _raws(records)
    new = range(skip, len(told))
    living = [place for place in new if not buried[place]]
    dead = [[place] for place in new if buried[place]]
    return [
        Page(
            server,
            clock,
            _sealed(_encode([raws[place] for place in places]), _moved(redacted, places)),
            [told[place] for place in places],
            places in dead,
            _moved(marks, places),
            flags,
        )
        for places in ([living] if living else []) + dead
    ]


def packed(records: Sequence[Record]) -> bytes:
    """As `pages` takes them."""
    return _encode(records)


def _sealed(records: bytes, redacted: dict[int, list[str]]) -> bytes:
    return b"\x92" + records + (_encode(redacted) if redacted else b"\x80")


def _moved(found: dict[int, FoundT], places: list[int]) -> dict[int, FoundT]:
    return {new: found[old] for new, old in enumerate(places) if old in found}
