"""A request to bytes, as a client sends it."""

from __future__ import annotations

import re

from primectl.message import Headers

_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests say their length even without a body (RFC 9110 8.6)."""
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"[!-~\x80-\xff]+")


def encode_question(method: str, target: str, fields: Headers, body: bytes, authority: str) -> bytes:
    """`fields` as they are but for those that frame the body; Host (unless it is among them) and Content-Length added.

    Raises ValueError in words for what cannot be sent: whoever reads it would take it for something else.
    """
    names = [name.lower() for name, _ in fields]
    if not _FRAMING.isdisjoint(names):
        fields = tuple(field for field, name in zip(fields, names, strict=True) if name not in _FRAMING)
    host = "" if "host" in names else f"host: {authority}\r\n"
    length = f"content-length: {len(body)}\r\n" if body or method in _WITH_LENGTH else ""
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    if lines.count("\n") != len(fields) or lines.count("\r") != len(fields) or "\0" in lines:
        raise ValueError("a header field has a line break in it")
    if not _METHOD.fullmatch(method):
        raise ValueError(f'"{method}" is no method')
    if not _TARGET.fullmatch(target):
        raise ValueError(f'"{target}" is no request target: what is not ASCII, and blanks, are written as %XX')
    try:
        return f"{method} {target} HTTP/1.1\r\n{host}{lines}{length}\r\n".encode("latin-1") + body
    except UnicodeEncodeError as error:
        raise ValueError(f'"{error.object[error.start]}" cannot be sent in a header field') from None
