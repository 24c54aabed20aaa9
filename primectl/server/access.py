"""One line of the access log: who asked what, and what became of it. Nothing a client sends can forge a line.

    2026-01-01T12:00:00.123Z 127.0.0.1:51234 "GET /is_prime?possible_prime=7 HTTP/1.1" 200 1 0.4ms 00a1b2c3d4e5f

Client, request line, status, bytes of the body, time from the whole request to its answer, request id.
"""

from __future__ import annotations

_COMMON = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
TARGET_LIMIT = 2048
"""Characters of a request target that are logged."""


def quoted(text: str) -> str:
    """The text as it may stand between quotes: one line of ASCII, everything else as \\xNN or \\uNNNN."""
    if len(text) > TARGET_LIMIT:
        return quoted(text[:TARGET_LIMIT]) + "..."
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode().replace('"', '\\"')


def line(
    stamp: str,
    client: str,
    method: str,
    target: str,
    version: str,
    status: int,
    size: int,
    seconds: float,
    request_id: str,
) -> str:
    """An entry, with its line end. `size` in bytes; `stamp` as in every other log line."""
    asked = f"{method if method in _COMMON else quoted(method)} {quoted(target)} HTTP/{version}"
    return f'{stamp} {client or "-"} "{asked}" {status} {size} {seconds * 1000:.1f}ms {request_id}\n'
