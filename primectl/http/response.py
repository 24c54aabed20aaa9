"""An answer -> bytes, framed for its version, method and status (RFC 9112 6).

Handlers repeat themselves: status line and fields of small answers are remembered as bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, Protocol

from primectl.message import Headers, reason

CLOSE: Final = b"connection: close\r\n"
KEEP_ALIVE: Final = b"connection: keep-alive\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
PROCESSING: Final = b"HTTP/1.1 102 Processing\r\n\r\n"
CHUNKED_BODY: Final = b"transfer-encoding: chunked\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

BODYLESS: Final = frozenset({204, 205, 304})
"""Statuses of answers that never have a body; 205 says so by its length of 0."""

OURS: Final = frozenset({
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
})  # fmt: skip
"""Fields that belong to the connection: ours stand, a handler's are dropped."""

_MEMO_BLOCK: Final = 1024
_MEMO_ENTRIES: Final = 1024
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_memo: dict[tuple[int, Headers], bytes] = {}


class Answering(Protocol):
    """What an answer is made of: a `message.Response`, or what came of one by the wire."""

    @property
    def status(self) -> int: ...
    @property
    def fields(self) -> Headers: ...
    @property
    def body(self) -> bytes: ...


class Unusable(ValueError):
    """A handler's response that cannot be sent: its status, or a name or value of its fields."""


def render(answer: Answering, request_id: str, date: bytes, *, head: bool = False, connection: bytes = b"") -> bytes:
    """All bytes of an answer. `date` as from `http_date`; `connection` is CLOSE, KEEP_ALIVE or empty.

    `head`: the body's length is told and its bytes are not, since the request was HEAD or they follow apart. Raises
    Unusable.
    """
    status = answer.status
    block = _memo.get((status, answer.fields)) or _remember(status, answer.fields)
    if not (request_id.isascii() and request_id.isprintable()):
        raise Unusable("the request id is not printable ASCII")
    if status == 204 or status == 304:
        return b"%bdate: %b\r\nx-request-id: %b\r\n%b\r\n" % (block, date, request_id.encode(), connection)
    body = b"" if status == 205 else answer.body
    return b"%bdate: %b\r\nx-request-id: %b\r\ncontent-length: %d\r\n%b\r\n%b" % (
        block,
        date,
        request_id.encode(),
        len(body),
        connection,
        b"" if head else body,
    )


def render_head(answer: Answering, request_id: str, date: bytes, *, framing: bytes, connection: bytes) -> bytes:
    """The head of an answer whose body comes bit by bit; `framing` is the line that says where it ends, or nothing.

    Raises Unusable.
    """
    block = _memo.get((answer.status, answer.fields)) or _remember(answer.status, answer.fields)
    return b"%bdate: %b\r\nx-request-id: %b\r\n%b%b\r\n" % (block, date, request_id.encode(), framing, connection)


def declared_length(fields: Headers) -> int | None:
    """The Content-Length that a handler gives to what it streams; None if there is none that can be kept to."""
    given = {value.strip() for name, value in fields if name.lower() == "content-length"}
    text = given.pop() if len(given) == 1 else ""
    return int(text) if len(text) < 19 and text.isascii() and text.isdigit() else None


def http_date(wall_s: float) -> bytes:
    """Unix seconds as the value of a Date field (RFC 9110 5.6.7)."""
    at = datetime.fromtimestamp(int(wall_s), UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} "
        f"{at.hour:02}:{at.minute:02}:{at.second:02} GMT"
    ).encode()


def _remember(status: int, fields: Headers) -> bytes:
    block = _block(status, fields)
    if len(block) <= _MEMO_BLOCK:
        if len(_memo) >= _MEMO_ENTRIES:
            _memo.clear()
        _memo[(status, fields)] = block
    return block


def _block(status: int, fields: Headers) -> bytes:
    """Status line and a handler's fields, each line with its end."""
    if not 200 <= status <= 999:
        raise Unusable(f"{status} is no status of a final answer")
    lines = [f"HTTP/1.1 {status} {reason(status)}\r\n"]
    for name, value in fields:
        if not _TOKEN.fullmatch(name):
            raise Unusable(f"{name[:80]!r} is no name of a header field")
        if not _VALUE.fullmatch(value):
            raise Unusable(
                f"the value of {name[:80]} holds what no header field may: control or non-latin-1 characters"
            )
        if name.lower() not in OURS:
            lines.append(f"{name}: {value.strip()}\r\n")
    return "".join(lines).encode("latin-1")
