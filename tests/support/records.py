"""Records as a server would say them, for tests of the journal."""

from __future__ import annotations

import msgspec

from primectl.journal.entry import Columns, Page
from primectl.message import Headers, Request
from primectl.wire.job import RequestId
from primectl.wire.journal import Hop, Record, add_hop

PLAIN: Headers = (("host", "localhost"), ("accept", "*/*"))
ANSWER: Headers = (("content-type", "text/plain; charset=utf-8"),)
TRAIL = add_hop(add_hop(b"", Hop("parse.1", 1.01, 1.02)), Hop("compute.3", 1.05, 1.09))


def asked(
    target: str = "/is_prime?possible_prime=7", fields: Headers = PLAIN, body: bytes = b"", method: str = "GET"
) -> bytes:
    return msgspec.msgpack.encode(Request(method, target, fields, body, "127.0.0.1:5000"))


def a_record(
    number: int = 1,
    *,
    request: bytes | None = None,
    asked_bytes: int = 0,
    status: int = 200,
    fields: Headers = ANSWER,
    body: bytes = b"7",
    body_bytes: int | None = None,
    flags: int = 0,
    trail: bytes = TRAIL,
    problem: str = "",
    seconds: float = 0.1,
) -> Record:
    """Of request `number`, as two pools have answered it."""
    return Record(
        RequestId(number),
        1.0,
        1.0 + seconds,
        asked() if request is None else request,
        asked_bytes,
        status,
        fields,
        body,
        len(body) if body_bytes is None else body_bytes,
        "compute.3",
        "parse",
        1,
        trail,
        flags,
        problem,
    )


def columns_of(page: Page, number: int = 1000) -> list[Columns]:
    """The rows of a page as they are read back when its first one has this number."""
    block = -number if page.dead else number
    return [
        (*row[:18], *page.marks.get(place, (None, None)), block, place)  # type: ignore[misc]
        for place, row in enumerate(page.rows(number, block))
    ]
