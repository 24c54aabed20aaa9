"""Says back what it was asked, as JSON: to see what a handler sees, and to try a cluster's behaviour out.

Keys of the query change what happens:

    ?sleep=0.5     think for so many seconds, at most 60; ends early when the client leaves
    ?status=503    answer with this status, 200 to 599
    ?bytes=1000    answer with so many bytes of text instead of JSON, at most 16 MiB
    ?hops=3        be forwarded to this same pool so many times first, at most 5000
    ?fail=1        raise an exception: the client gets 500, the worker's log the traceback
"""

from __future__ import annotations

import time

from primectl.message import Forward, HTTPError, Job, Request, Response

LONGEST_SLEEP_S = 60
MOST_BYTES = 16 << 20
MOST_HOPS = 5000

_NAP_S = 0.02
"""How soon a sleeper notices that nobody waits any more."""


def echo(asked: Request | dict[str, object], job: Job) -> Response | Forward:
    """A request from a client, or what this handler forwarded to itself: {"left", "answer", "status"}."""
    if isinstance(asked, Request):
        return _first(asked, job)
    left, answer, status = asked["left"], asked["answer"], asked["status"]
    assert isinstance(left, int)
    assert isinstance(answer, dict)
    assert isinstance(status, int)
    return _onward(left, answer, status, job)


def _first(request: Request, job: Job) -> Response | Forward:
    if "fail" in request.query:
        raise RuntimeError(f"asked to fail by {request.target!r}")
    status = _number(request, "status", 200, 200, 599)
    hops = _number(request, "hops", 0, 0, MOST_HOPS)
    length = _number(request, "bytes", -1, 0, MOST_BYTES)
    _sleep(_seconds(request), job)
    if length >= 0:
        return Response.text("0123456789abcde\n" * (length // 16) + "." * (length % 16), status)
    return _onward(hops, _seen(request, job), status, job)


def _onward(left: int, answer: dict[str, object], status: int, job: Job) -> Response | Forward:
    if left:
        return Forward(job.pool, {"left": left - 1, "answer": answer, "status": status})
    return Response.json({**answer, "worker": job.worker, "attempt": job.attempt}, status)


def _seen(request: Request, job: Job) -> dict[str, object]:
    return {
        "method": request.method,
        "target": request.target,
        "path": request.path,
        "path_params": request.path_params,
        "query": request.query,
        "headers": dict(request.headers),
        "body": request.body.decode(errors="replace"),
        "client": request.client,
        "version": request.version,
        "request_id": job.request_id,
        "pool": job.pool,
    }


def _sleep(seconds: float, job: Job) -> None:
    """As a busy handler does it: in steps, with an eye on whether the answer is still wanted."""
    end = time.monotonic() + seconds
    while not job.cancelled and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _NAP_S))


def _number(request: Request, key: str, default: int, least: int, most: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise HTTPError(400, f"{key}: expected a whole number from {least} to {most}")
    return int(text)


def _seconds(request: Request) -> float:
    text = request.query.get("sleep", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_SLEEP_S:
        raise HTTPError(400, f"sleep: expected seconds from 0 to {LONGEST_SLEEP_S}")
    return seconds
