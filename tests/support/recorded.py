"""Builders of recorded requests: each gives a likely value, and takes whatever the test is about."""

from __future__ import annotations

from typing import Any

from primectl.wire.journal import Entry, HopTimes, Row
from tests.support.snapshots import NOON


def a_row(number: int = 1, **changes: Any) -> Row:
    """A GET that was answered 200 by the second of two pools."""
    likely: dict[str, Any] = {
        "id": f"1a2f{number:09x}",
        "number": number,
        "time": NOON + number,
        "method": "GET",
        "path": "/route",
        "query": "from=1&to=2",
        "status": 200,
        "ms": 12.5,
        "pool": "parse",
        "worker": "route.2",
        "server": "server.1",
        "client": "10.0.0.7",
        "size": 18_000,
        "hops": [HopTimes("parse", "parse.1", 0.1, 2.0), HopTimes("route", "route.2", 3.0, 7.0)],
    }
    return Row(**(likely | changes))


def a_failure(number: int = 1, **changes: Any) -> Row:
    """A POST whose handler raised."""
    hops = [HopTimes("parse", "parse.1", 0.1, 2.0), HopTimes("render", "render.2", 0.1, 5.0, failed=True)]
    likely: dict[str, Any] = {"method": "POST", "path": "/optimize", "query": "", "status": 500, "hops": hops}
    return a_row(number, **(likely | changes))


def an_entry(row: Row | None = None, **changes: Any) -> Entry:
    """All of a request that was sent as JSON and answered as JSON."""
    likely: dict[str, Any] = {
        "fields": (("content-type", "application/json"), ("authorization", "redacted:41:0123456789abcdef")),
        "body": b'{"stops":[1,2,3],"mode":"car"}',
        "answer_fields": (("content-type", "application/json"),),
        "answer_body": b'{"error":"no path between 3 and 7"}',
        "redacted": ["header authorization"],
    }
    return Entry(row=row or a_row(), **(likely | changes))
