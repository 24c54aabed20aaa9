"""What came of a replay: counts of everything, and the results themselves up to a bound.

Where there are more results than are kept, those that are the same go first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct, structs

from primectl.journal.compare import Kind, Result
from primectl.journal.steps import Skipped
from primectl.wire.journal import HopTimes, Row

KEPT = 10_000
"""So many results are kept, and as many of what was skipped."""


class Times(Struct, frozen=True):
    """Milliseconds of one pool's part over all requests whose hops are known of then and of now: medians and sums."""

    pool: str
    requests: int
    queued_before: float
    queued_after: float
    served_before: float
    served_after: float
    served_sum_before: float
    served_sum_after: float


class Lag(Struct, frozen=True):
    """How late requests went out."""

    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Report:
    """Add `results` as they come, what was skipped, and at last how the run ended."""

    def __init__(self, run: str, target: str, kept: int = KEPT, *, redeems: bool = True) -> None:
        self.run = run
        self.target = target
        self.sent = self.same = self.changed = self.failed = 0
        self.new_errors = self.fixed = self.slower = 0
        self.skipped = 0
        self.reasons: dict[str, int] = {}
        """Why so many were skipped."""
        self.not_sent = 0
        self.seconds = 0.0
        self.stopped = ""
        self.lag = Lag()
        self.left_out = 0
        """Results that are counted and not kept."""
        self._kept = kept
        self._redeems = redeems
        """The target's journal is the one with the dead letters."""
        self._redeemed: set[str] = set()
        self._telling: list[Result] = []
        self._plain: list[Result] = []
        self._skips: list[Skipped] = []

    @property
    def redeemed(self) -> int:
        """Dead letters that were answered below 400 now."""
        return len(self._redeemed)

    @property
    def rate(self) -> float:
        return self.sent / self.seconds if self.seconds > 0 else 0.0

    @property
    def results(self) -> list[Result]:
        """What was kept, in the order of sending."""
        return sorted((*self._telling, *self._plain), key=lambda result: result.number)

    def add(self, result: Result) -> None:
        self.sent += 1
        self.new_errors += result.new_error
        self.fixed += result.fixed
        self.slower += result.slower
        if result.redeems and self._redeems:
            self._redeemed.add(result.id)
        if result.kind is Kind.SAME:
            self.same += 1
        elif result.kind is Kind.CHANGED:
            self.changed += 1
        else:
            self.failed += 1
        self._keep(result)

    def skip(self, skipped: Iterable[Skipped], reasons: Mapping[str, int]) -> None:
        """`reasons` are those of all of them, each with how many it is true of."""
        self.reasons = dict(reasons)
        for one in skipped:
            self.skipped += 1
            if len(self._skips) < self._kept:
                self._skips.append(structs.replace(one, entry=_without_bodies(one)))
            else:
                self.left_out += 1

    def end(self, *, seconds: float, not_sent: int, stopped: str, lag: Lag) -> None:
        """How it ended; `stopped` is empty when all was sent."""
        self.seconds, self.not_sent, self.stopped, self.lag = seconds, not_sent, stopped, lag

    def unseen(self) -> set[str]:
        """The ids of kept answers whose hops are not known."""
        return {result.replay_id for result in (*self._telling, *self._plain) if not result.hops_after} - {""}

    def take_hops(self, rows: Mapping[str, Row]) -> None:
        """The cluster's own record of the answers now, by their ids."""
        for results in (self._telling, self._plain):
            for at, result in enumerate(results):
                row = rows.get(result.replay_id)
                if row is not None:
                    results[at] = structs.replace(result, hops_after=row.hops)

    def pools(self) -> list[Times]:
        """Each pool's times then and now, in the order in which requests came to them."""
        found: dict[str, tuple[list[HopTimes], list[HopTimes]]] = {}
        for result in self.results:
            if result.hops_before and result.hops_after:
                for side, hops in enumerate((result.hops_before, result.hops_after)):
                    for hop in hops:
                        found.setdefault(hop.pool, ([], []))[side].append(hop)
        return [_times(pool, before, after) for pool, (before, after) in found.items()]

    def to_json(self) -> dict[str, Any]:
        """The object that `replay --json` prints."""
        return {
            "run": self.run,
            "target": self.target,
            "sent": self.sent,
            "same": self.same,
            "changed": self.changed,
            "failed": self.failed,
            "skipped": self.skipped,
            "new_errors": self.new_errors,
            "fixed": self.fixed,
            "slower": self.slower,
            "redeemed": self.redeemed,
            "not_sent": self.not_sent,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "lag_ms": {name: round(value, 3) for name, value in structs.asdict(self.lag).items()},
            "stopped": self.stopped,
            "reasons": self.reasons,
            "pools": [_rounded(times) for times in self.pools()],
            "requests": [*map(_result_json, self.results), *map(_skip_json, self._skips)],
            "requests_left_out": self.left_out,
        }

    def _keep(self, result: Result) -> None:
        telling = result.kind is not Kind.SAME or result.slower
        if len(self._telling) + len(self._plain) >= self._kept:
            self.left_out += 1
            if not telling or not self._plain:
                return
            self._plain.pop()
        (self._telling if telling else self._plain).append(result)


def _without_bodies(skipped: Skipped) -> Any:
    return structs.replace(skipped.entry, body=b"", answer_body=b"")


def _times(pool: str, before: list[HopTimes], after: list[HopTimes]) -> Times:
    def mid(values: list[float]) -> float:
        return median(values) if values else 0.0

    return Times(
        pool=pool,
        requests=max(len(before), len(after)),
        queued_before=mid([hop.queued_ms for hop in before]),
        queued_after=mid([hop.queued_ms for hop in after]),
        served_before=mid([hop.served_ms for hop in before]),
        served_after=mid([hop.served_ms for hop in after]),
        served_sum_before=sum(hop.served_ms for hop in before),
        served_sum_after=sum(hop.served_ms for hop in after),
    )


def _rounded(times: Times) -> dict[str, Any]:
    def both(what: str) -> dict[str, float]:
        return {side: round(getattr(times, f"{what}_{side}"), 3) for side in ("before", "after")}

    return {
        "pool": times.pool,
        "requests": times.requests,
        "queued_ms": both("queued"),
        "served_ms": both("served"),
        "served_sum_ms": both("served_sum"),
    }


def _result_json(result: Result) -> dict[str, Any]:
    return {
        "id": result.id,
        "replay_id": result.replay_id,
        "method": result.method,
        "path": result.target.partition("?")[0],
        "target": result.target,
        "outcome": result.kind.value,
        "why": result.why,
        "new_error": result.new_error,
        "fixed": result.fixed,
        "slower": result.slower,
        "status": {"before": result.status_before, "after": result.status_after},
        "ms": {"before": round(result.ms_before, 3), "after": round(result.ms_after, 3)},
        "hops": {
            "before": _hops_json(result.hops_before),
            "after": _hops_json(result.hops_after),
        },
        "differences": msgspec.to_builtins(list(result.differences)),
        "more": result.more,
        "notes": list(result.notes),
    }


def _hops_json(hops: Iterable[HopTimes]) -> list[dict[str, Any]]:
    return [
        msgspec.to_builtins(structs.replace(hop, queued_ms=round(hop.queued_ms, 3), served_ms=round(hop.served_ms, 3)))
        for hop in hops
    ]


def _skip_json(skipped: Skipped) -> dict[str, Any]:
    row = skipped.entry.row
    return {
        "id": row.id,
        "replay_id": "",
        "method": row.method,
        "path": row.path,
        "target": skipped.entry.target,
        "outcome": "skipped",
        "why": skipped.why,
        "new_error": False,
        "fixed": False,
        "slower": False,
        "status": {"before": max(row.status, 0), "after": 0},
        "ms": {"before": round(row.ms, 3), "after": 0.0},
        "hops": {"before": _hops_json(row.hops), "after": []},
        "differences": [],
        "more": 0,
        "notes": [],
    }
