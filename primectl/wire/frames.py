"""Messages to frames and back. What is not one of ours raises WireError, which every receiver counts and survives.

The first byte of a data-plane or stats frame is the version of the wire; the rest is msgpack. A newer version of a
message adds fields at its end, so the version changes only when an old reader could misunderstand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from primectl.errors import WireError
from primectl.message import Request
from primectl.wire import control, job, journal, stats

VERSION = b"\x01"
FRAME_LIMIT = 1 << 29
"""Bytes of one frame that a socket accepts at all (ZMQ_MAXMSGSIZE)."""
BATCH_BYTES = 1 << 20
"""A batch is sent once its payloads pass this; a single larger payload travels alone."""
BATCH_JOBS = 512

MessageT = TypeVar("MessageT")

_encoder = msgspec.msgpack.Encoder()


def encode(message: object) -> bytes:
    """A message to one frame."""
    return VERSION + _encoder.encode(message)


class Decoder:
    """Frames of one channel back to its messages."""

    __slots__ = ("_decode", "_name")

    def __init__(self, name: str, types: Any) -> None:
        self._name = name
        self._decode = msgspec.msgpack.Decoder(types).decode

    def __call__(self, frame: bytes) -> Any:
        """The message in `frame`. Raises WireError for anything else, of any size and content."""
        if frame[:1] != VERSION:
            raise WireError(f"a frame of {len(frame)} bytes has no known version", self._name)
        try:
            return self._decode(memoryview(frame)[1:])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"a frame of {len(frame)} bytes is no message: {error}", self._name) from None


def batches(jobs: list[job.WireJob]) -> Iterator[list[job.WireJob]]:
    """The jobs in order, cut where a batch reaches BATCH_JOBS or BATCH_BYTES."""
    start = size = 0
    for index, each in enumerate(jobs):
        size += len(each.payload)
        if size >= BATCH_BYTES or index - start + 1 >= BATCH_JOBS:
            yield jobs[start : index + 1]
            start, size = index + 1, 0
    if start < len(jobs):
        yield jobs[start:]


to_proxy = Decoder("pool.in", job.ToProxy)
from_worker = Decoder("pool.out", job.FromOut)
to_worker = Decoder("pool.out", job.ToWorker)
to_server = Decoder("loopback", job.ToServer | journal.Written)
to_recorder = Decoder("recorder", journal.Records)
report = Decoder("stats", stats.ReportEnvelope)
command = Decoder("commands", control.Command)
loan = Decoder("listeners", control.Loan)
control_request = Decoder("control", control.Request)
control_reply = Decoder("control", control.Reply)
feed = Decoder("feed", stats.FeedMessage)


def body(raw: msgspec.Raw, kind: type[MessageT], where: str = "control") -> MessageT:
    """The typed body of a control request or reply; raises WireError."""
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"the body is no {kind.__name__}: {error}", where) from None


def raw(value: object) -> msgspec.Raw:
    """A struct as the body of a control request or reply."""
    return msgspec.Raw(_encoder.encode(value))


# --- payloads ---------------------------------------------------------------------------------------------------------

_BIG_INT = 1
"""msgpack extension type of an int beyond 64 bits: two's complement, big endian."""


def _extend(value: Any) -> Any:
    """Types beyond msgspec's own: whatever counts as an integer (gmpy2.mpz, numpy ints)."""
    if hasattr(value, "__index__"):
        return _big(int(value))
    raise NotImplementedError(f"{type(value).__name__} cannot be forwarded")


def _big(value: int) -> msgspec.msgpack.Ext | int:
    if -(1 << 63) <= value < 1 << 64:
        return value
    return msgspec.msgpack.Ext(_BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _widen(value: Any) -> Any:
    """The same value with every int beyond 64 bits as an extension; only walked when plain encoding has failed."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _big(value)
    if isinstance(value, dict):
        return {_widen(key): _widen(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_widen(item) for item in value]
    return value


def _unextend(code: int, data: memoryview) -> Any:
    if code == _BIG_INT:
        return int.from_bytes(data, "big", signed=True)
    raise ValueError(f"unknown extension {code}")


_payload_encoder = msgspec.msgpack.Encoder(enc_hook=_extend)
_value_decoder = msgspec.msgpack.Decoder(ext_hook=_unextend)
_request_decoder = msgspec.msgpack.Decoder(Request)


def encode_payload(payload: Any) -> tuple[int, bytes]:
    """A request or a forwarded value to (kind, bytes). Raises TypeError for what cannot travel."""
    kind = job.REQUEST if type(payload) is Request else job.VALUE
    try:
        return kind, _payload_encoder.encode(payload)
    except OverflowError:
        return kind, _payload_encoder.encode(_widen(payload))
    except NotImplementedError as error:
        raise TypeError(str(error)) from None


def decode_payload(kind: int, payload: bytes) -> Any:
    """What `encode_payload` was given. Raises WireError."""
    try:
        return _request_decoder.decode(payload) if kind == job.REQUEST else _value_decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(f"a payload of {len(payload)} bytes cannot be read: {error}", "payload") from None
