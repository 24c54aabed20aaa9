"""A request that could not be answered, as a line of JSON: kept so that somebody can look at it and send it again."""

from __future__ import annotations

import base64
import codecs

import msgspec
from msgspec import Struct

from primectl.errors import WireError
from primectl.journal.redact import Redactor
from primectl.message import Headers, Request, problem_detail
from primectl.wire.frames import decode_payload
from primectl.wire.job import REQUEST, Answer, WireJob, request_name, request_of
from primectl.wire.journal import Record

BODY_LIMIT = 64 << 10
"""Bytes of a request's body that are kept."""


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One line. `time` is that of giving up, `pool` the one whose proxy gave it up after `attempts`."""

    time: str
    request_id: str
    pool: str
    status: int
    detail: str
    attempts: int
    method: str
    target: str
    client: str
    fields: Headers
    body: str
    body_encoding: str = "utf-8"
    """Or "base64", where the body is no text."""
    body_bytes: int = 0
    """The whole body's length."""
    body_cut: bool = False
    """Only its first BODY_LIMIT bytes are here."""


def dead_letter(job: WireJob, answer: Answer, time: str, redactor: Redactor) -> bytes:
    """The line, with its end, of a request that a proxy gave up."""
    request, whole_bytes = _redacted(job, redactor)
    kept = request.body[:BODY_LIMIT]
    body, encoding = _text(kept, whole=len(kept) == whole_bytes)
    letter = DeadLetter(
        time=time,
        request_id=request_name(request_of(job.id)),
        pool=answer.worker.removeprefix("proxy."),
        status=answer.status,
        detail=problem_detail(answer.body),
        attempts=answer.attempt,
        method=request.method,
        target=request.target,
        client=request.client,
        fields=request.fields,
        body=body,
        body_encoding=encoding,
        body_bytes=whole_bytes,
        body_cut=len(kept) < whole_bytes,
    )
    return msgspec.json.encode(letter) + b"\n"


def _redacted(job: WireJob, redactor: Redactor) -> tuple[Request, int]:
    """The request without what shall not be written down, and the bytes of its whole body; of what is no request of
    ours nothing is told."""
    try:
        request = decode_payload(job.kind, job.payload)
    except WireError:
        request = None
    if not isinstance(request, Request):
        return Request("-", "-"), 0
    record = Record(request_of(job.id), 0.0, 0.0, job.payload, len(request.body), 502, (), b"", 0, "", "")
    record, _ = redactor.record(record)
    return decode_payload(REQUEST, record.asked), record.asked_bytes


def _text(body: bytes, *, whole: bool) -> tuple[str, str]:
    """Text, if it is some; a character that is cut in two at the end of a body that is not whole is left out."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body, final=whole), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"
