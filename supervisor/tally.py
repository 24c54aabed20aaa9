"""What became of the requests that were open when the stop began, by the servers' own count.

A server's last word is written to its socket before the process ends, but the end itself (a pidfd) may be seen sooner
than the word has come through ZeroMQ's thread: so of one that left in good order the last word is waited for.
"""

from __future__ import annotations

from primectl.wire.stats import ServerSample

LAST_WORD_S = 0.5
"""How long, at most: the word is on its way already."""

Life = tuple[str, int]
"""A server's id and its incarnation."""


class Tally:
    """By the lives of servers: one that is replaced in the middle of its drain counts beside its successor."""

    def __init__(self) -> None:
        self._heard: dict[Life, ServerSample] = {}
        self._lost: dict[Life, int] = {}
        """Open requests of servers that ended without a last word, as last heard."""
        self._awaited: dict[Life, tuple[float, int]] = {}
        """Until when, and what will be lost if it does not come."""

    def heard(self, server: str, incarnation: int, sample: ServerSample) -> None:
        """A draining server reports."""
        self._heard[server, incarnation] = sample
        if sample.last:
            self._awaited.pop((server, incarnation), None)

    def gone(self, server: str, incarnation: int, in_flight: int, now: float, *, orderly: bool) -> None:
        """A server has ended; `in_flight` as last heard, `orderly` if it left by itself when it had finished."""
        life = server, incarnation
        heard = self._heard.get(life)
        if heard is not None and heard.last:
            return
        if orderly:
            self._awaited[life] = now + LAST_WORD_S, in_flight
        else:
            self._lost[life] = in_flight

    def waits_until(self, now: float) -> float | None:
        """When to wait no longer for the last words that are on their way; None when none is."""
        for life, (until, in_flight) in list(self._awaited.items()):
            if now >= until:
                del self._awaited[life]
                self._lost[life] = in_flight
        return max((until for until, _ in self._awaited.values()), default=None)

    @property
    def finished(self) -> int:
        return sum(sample.counters.get("finished", 0) for sample in self._heard.values())

    @property
    def cancelled(self) -> int:
        said = sum(sample.counters.get("cancelled", 0) for sample in self._heard.values())
        return said + sum(self._lost.values())
