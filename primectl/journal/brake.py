"""When a replay has to stop by itself: it shall neither drown the cluster nor be shouted at a target that is gone.

A brake is written `FIELD > NUMBER` (`--stop-if "queue>50"`, `>=` too); the fields are in FIELDS. Two brakes are always
on: a target that cannot be connected to from the start, and one that has stopped to answer.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from msgspec import Struct

from primectl.errors import ConfigError
from primectl.wire.histogram import Histogram, percentile_s

FIELDS: Final = {
    "queue": "jobs in the longest queue of any pool; queue.POOL for one pool",
    "in_flight": "requests that the cluster has open",
    "p99": "ms until the answer, of this replay so far",
    "errors": "share of the last 100 that got a 5xx or no answer",
    "lag": "ms by which sending is late",
}
OF_THE_CLUSTER: Final = frozenset({"queue", "in_flight"})
"""Fields that only a cluster's supervisor can tell."""
RECENT: Final = 100
ENOUGH: Final = 20
"""Before so many have ended, neither shares nor percentiles are judged."""
SILENT: Final = 20
"""So many in a row without an answer: the target does not answer."""
UNREACHABLE: Final = 5
"""So many connections that fail before one was ever made: there is no target."""
BLIND_S: Final = 5.0
"""A brake on the cluster's figures is pulled when they are older: it would no longer hold."""

_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "p99": {"": 1.0, "ms": 1.0, "s": 1000.0},
    "lag": {"": 1.0, "ms": 1.0, "s": 1000.0},
    "errors": {"": 1.0, "%": 0.01},
}
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SIGN = re.compile(r">=?")
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_UNIT = re.compile(r"[A-Za-z%]*")


class Brake(Struct, frozen=True):
    """Stop when `field` is above `limit`, or at it where `at` says so. `pool` is "" for any pool."""

    text: str
    field: str
    limit: float
    at: bool = False
    pool: str = ""

    @property
    def needs_cluster(self) -> bool:
        return self.field in OF_THE_CLUSTER

    def pulled_by(self, value: float) -> bool:
        return value > self.limit or (self.at and value == self.limit)


class Figures(Struct, frozen=True):
    """What a cluster has last said of itself: jobs in the queue of each pool, requests open; `age_s` seconds ago."""

    queues: Mapping[str, int]
    in_flight: int = 0
    age_s: float = 0.0


def parse(text: str, option: str = "--stop-if") -> Brake:
    """The brake in `text`. Raises ConfigError that shows the text with a caret under the mistake."""
    reader = _Reader(text, option)
    name = reader.take(_FIELD, "a field: " + ", ".join(FIELDS))
    field, dot, pool = name.partition(".")
    if field not in FIELDS or (dot and not (field == "queue" and pool)):
        near = get_close_matches(name, FIELDS, 1)
        raise reader.mistake(
            f'there is no field "{name}"' + (f', did you mean "{near[0]}"?' if near else "; " + ", ".join(FIELDS))
        )
    sign = reader.take(_SIGN, '">" or ">="')
    number = float(reader.take(_NUMBER, "a number"))
    at_number = reader.start
    unit = reader.take(_UNIT, "a unit")
    units = _UNITS.get(field, {"": 1.0})
    if unit not in units:
        known = " or ".join(f'"{each}"' for each in units if each)
        raise reader.mistake(f'"{unit}" is no unit of {field}' + (f", but {known} is" if known else ""))
    limit = number * units[unit]
    if field == "errors" and limit > 1:
        raise _mistake(text, at_number, "a share is at most 1, or 100%", option)
    reader.end()
    return Brake(text.strip(), field, limit, sign == ">=", pool)


def check_pools(brakes: Iterable[Brake], pools: Iterable[str]) -> None:
    """Raises ConfigError for a brake on a pool that the cluster does not have."""
    known = sorted(pools)
    for brake in brakes:
        if brake.pool and brake.pool not in known:
            raise _mistake(
                brake.text, len("queue."), f'there is no pool "{brake.pool}"; {", ".join(known)}', "--stop-if"
            )


class Brakes:
    """All brakes of one run, and what they are judged by. Each method says why to stop, "" to go on."""

    def __init__(self, brakes: Sequence[Brake] = ()) -> None:
        self._brakes = brakes
        self._ended = 0
        self._connected = False
        self._unreachable = 0
        self._silent = 0
        self._bad: deque[bool] = deque(maxlen=RECENT)
        self._latency = Histogram()

    def ended(self, status: int, seconds: float, why: str = "", *, connected: bool = True) -> str:
        """A request has its answer, or none (`status` 0) because of `why`; `connected` tells whether it could even be
        sent."""
        self._ended += 1
        self._bad.append(status == 0 or status >= 500)
        self._connected = self._connected or connected
        if status:
            self._silent = 0
            self._latency.add(seconds)
            return self._errors()
        self._silent += 1
        self._unreachable += not self._connected
        if self._unreachable >= UNREACHABLE:
            return f"the target cannot be reached: {why}"
        if self._silent >= SILENT:
            return f"the target does not answer: {self._silent} in a row, the last one: {why}"
        return self._errors()

    def looked(self, lag_s: float, figures: Figures | None) -> str:
        """A few times a second: by how much sending is late, and what the cluster says, None if it is not asked."""
        for brake in self._brakes:
            if brake.needs_cluster and figures is not None and figures.age_s > BLIND_S:
                return f"{brake.text}: the cluster has not said anything for {figures.age_s:.0f} s"
            value = self._value(brake, lag_s, figures)
            if value is not None and brake.pulled_by(value):
                return _stop(brake, f"{value:.0f}" if brake.field in OF_THE_CLUSTER else f"{value:.1f} ms")
        return ""

    def _errors(self) -> str:
        if self._ended < ENOUGH:
            return ""
        for brake in self._brakes:
            if brake.field == "errors" and brake.pulled_by(share := sum(self._bad) / len(self._bad)):
                return _stop(brake, f"{share:.0%} of the last {len(self._bad)}")
        return ""

    def _value(self, brake: Brake, lag_s: float, figures: Figures | None) -> float | None:
        """In the unit of its limit; None where nothing can be said yet, or it is judged elsewhere."""
        if brake.field == "lag":
            return lag_s * 1000
        if brake.field == "p99":
            return percentile_s(self._latency.counts, 0.99) * 1000 if self._ended >= ENOUGH else None
        if figures is None:
            return None
        if brake.field == "in_flight":
            return figures.in_flight
        if brake.field == "queue":
            return figures.queues.get(brake.pool) if brake.pool else max(figures.queues.values(), default=None)
        return None


class _Reader:
    """Takes a brake apart from left to right; `start` is where the last piece begins."""

    def __init__(self, text: str, option: str) -> None:
        self._text = text
        self._option = option
        self._place = 0
        self.start = 0

    def take(self, pattern: re.Pattern[str], wanted: str) -> str:
        self._skip()
        match = pattern.match(self._text, self._place)
        if match is None:
            raise self.mistake(f"expected {wanted}")
        self._place = match.end()
        return match[0]

    def end(self) -> None:
        self._skip()
        if self._place < len(self._text):
            raise self.mistake(f"expected nothing more; a further brake is a further {self._option}")

    def mistake(self, what: str) -> ConfigError:
        return _mistake(self._text, self.start, what, self._option)

    def _skip(self) -> None:
        while self._text[self._place : self._place + 1].isspace():
            self._place += 1
        self.start = self._place


def _mistake(text: str, place: int, what: str, option: str) -> ConfigError:
    shown = "".join(" " if each.isspace() else each for each in text)
    return ConfigError(f"{what}\n  {shown}\n  {' ' * place}^", option)


def _stop(brake: Brake, value: str) -> str:
    return f"{brake.text}: it is {value}"
