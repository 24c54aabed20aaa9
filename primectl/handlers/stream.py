"""Counts on for whoever asks, a line at a time: an answer that is sent while it is made, by a worker that remembers.

    GET /count/anna?to=5&every=0.5     five more numbers for anna, one each half second

A worker remembers how far it has counted for a name. The pool's `affinity` is `who`, so whoever asks again is served
by the worker that served him last, unless that is busy: then another one begins at 1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from primectl.message import HTTPError, Job, Request

MOST_LINES = 10_000
LONGEST_PAUSE_S = 10.0
MOST_NAMES = 1000

_reached: dict[str, int] = {}


def who(request: Request) -> str:
    """The key of a request."""
    return request.path_params.get("who", "")


def count(request: Request, job: Job) -> Iterator[str]:
    """A generator: each `yield` is sent at once. When the client leaves, JobCancelled is raised at that point."""
    lines = _number(request, "to", 5, MOST_LINES)
    pause_s = _number(request, "every", 0.5, LONGEST_PAUSE_S)
    name = who(request)
    begun = _reached.pop(name, 0)  # put in again as the latest, so that the first is the one not asked for longest
    for number in range(begun + 1, begun + int(lines) + 1):
        _remember(name, number)
        yield f"{name} {number} from {job.worker}\n"
        time.sleep(pause_s)


def _remember(name: str, number: int) -> None:
    _reached[name] = number
    if len(_reached) > MOST_NAMES:
        del _reached[next(iter(_reached))]


def _number(request: Request, key: str, default: float, most: float) -> float:
    try:
        value = float(request.query.get(key, default))
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise HTTPError(400, f"{key}: expected a number from 0 to {most:g}")
    return value
