"""When a process that ended by itself starts again, and when it no longer does: the whole policy on crashes.

    how it ended                                    it starts again              towards `failed`
    never READY                                     at once, then ever later     counts
    READY, and then idle or in its first job        at once, then ever later     counts
    in a request that has ended a worker before     at once, then ever later     does not: the request did it
    after it had finished jobs                      at once, then ever later     does not: some request did it
    after it was READY for `healthy_after`          at once                      as the first, if it counts
    by SIGKILL from outside                         at once                      does not

The first crash costs nothing; each further one doubles the wait up to `backoff_longest`. At `crash_limit` of those that
count within `crash_window`, or as many lives in a row that came to nothing (never READY, or over in their first job)
however long that took, the process is a crash loop, which only an operator ends.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from primectl.config.model import SupervisorConfig

OUTSIDE_LIFE_S = 0.2
"""A process that was READY for so long and then got SIGKILL was killed from outside (an operator's `kill -9`): no fault
that another start would repeat."""
DEADLY_REQUESTS = 1000
"""Requests in which workers have ended, of which it is known."""


class End(Struct, frozen=True):
    """How a life ended that was not asked to. `status` as in `events.Exited`."""

    status: int | None
    ready_s: float | None
    """How long it had been READY; None when it never was."""
    served: bool = False
    """It was a worker and had finished jobs."""
    in_job: bool = False
    """It had begun a job that it did not finish."""
    excused: bool = False
    """And the request of that job has ended another life before."""
    oom: bool = False
    """The kernel ended it for want of memory: to start it again at once would only take more."""

    @property
    def is_from_outside(self) -> bool:
        """Whether it says nothing about the process itself."""
        return self.status == -9 and not self.oom and self.ready_s is not None and self.ready_s >= OUTSIDE_LIFE_S

    @property
    def came_to_nothing(self) -> bool:
        """Whether the life was of no use to anybody."""
        return self.ready_s is None or (self.in_job and not self.served)


class Verdict(Struct, frozen=True):
    """What comes of an end. `crashes`: how many stand in its record now, one after the other."""

    crashes: int
    wait_s: float | None
    """Until it is tried again; None: never, it has failed."""


class CrashRecord:
    """What is held against one process."""

    __slots__ = ("_in_a_row", "_in_vain", "_times")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """It was healthy, or an operator has started it: what was before no longer counts."""
        self._in_a_row = 0
        self._in_vain = 0
        """Lives in a row that came to nothing, by no fault of a request's."""
        self._times: list[float] = []
        """When it crashed so that it counts towards `failed`; within the window."""

    def judge(self, end: End, now: float, policy: SupervisorConfig, jitter: float) -> Verdict:
        """Take in an end; what shall come of it. `jitter` as for `backoff_s`."""
        if end.is_from_outside:
            return Verdict(self._in_a_row, 0.0)
        if end.ready_s is not None and end.ready_s >= policy.healthy_after:
            self.clear()
        self._in_a_row += 1
        if not end.came_to_nothing:
            self._in_vain = 0
        elif not end.excused:
            self._in_vain += 1
        if not (end.served or end.excused):
            self._times = [time for time in self._times if now - time < policy.crash_window]
            self._times.append(now)
            if max(len(self._times), self._in_vain) >= policy.crash_limit:
                return Verdict(self._in_a_row, None)
        return Verdict(self._in_a_row, backoff_s(self._in_a_row, policy, jitter))

    def crashes(self, ready_s: float | None, policy: SupervisorConfig) -> int:
        """How many stand in it while the process has been READY for `ready_s`."""
        return 0 if ready_s is not None and ready_s >= policy.healthy_after else self._in_a_row


class DeadlyRequests:
    """The requests in which workers have ended; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, None] = OrderedDict()

    def has_ended_another(self, request: int) -> bool:
        """Take note that a worker has ended in this request; whether one had before."""
        known = request in self._known
        self._known[request] = None
        self._known.move_to_end(request)
        if len(self._known) > DEADLY_REQUESTS:
            self._known.popitem(last=False)
        return known


def backoff_s(crashes: int, policy: SupervisorConfig, jitter: float) -> float:
    """Seconds to wait after crash number `crashes` of a row, the first being 1.

    `jitter` (0 to 1) takes up to a quarter off, so that workers that fell together do not get up together.
    Raises ValueError for crashes < 1.
    """
    if crashes < 1:
        raise ValueError(f"the first crash is number 1, not {crashes}")
    if crashes == 1:
        return 0.0
    # 2.0**64 is beyond any longest wait and far from overflow.
    whole = min(policy.backoff_longest, policy.backoff_first * 2.0 ** min(crashes - 2, 64))
    return whole * (1.0 - 0.25 * jitter)
