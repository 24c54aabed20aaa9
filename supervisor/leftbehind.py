"""§ What a handler has started and left behind, wherever it went: it ends with its worker.

The worker's process group gets SIGKILL as the worker is reaped (`spawn`). Whatever has left that group (a session of
its own, a daemon) has no parent then or had none before, so it is a child of ours: we are the subreaper. Whose it was,
its environment tells (`MARK`, set by `control.child`), or, if it never called exec, the title that it shares with its
worker. A process that hides both is ended when the cluster is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from typing import NamedTuple

from primectl.control.log import ProcessLog
from supervisor import kernel

SWEEP_S = 0.05
"""Between two looks, while there is something to end: what that has started becomes a child of ours in its turn."""
SWEEPS = 40


class _Deceased(NamedTuple):
    """A life that ended, and when, in the kernel's ticks; what began later is not of this life."""

    process: str
    at_ticks: int


class LeftBehind:
    """`known` are the pids of children that are in the books."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, cluster: str, known: Callable[[], Set[int]], log: ProcessLog
    ) -> None:
        self._loop = loop
        self._prefix = f"{cluster}/"
        self._known = known
        self._log = log
        self._deceased: list[_Deceased] = []
        self._ended: dict[str, set[int]] = {}
        self._sweeps = 0

    def of(self, process: str) -> None:
        """This one has ended: look for what is left of it, soon, and for all that end together at once."""
        if not self._deceased:
            self._loop.call_soon(self._sweep)
        self._sweeps = SWEEPS
        self._deceased.append(_Deceased(process, kernel.ticks_now()))

    def _sweep(self) -> None:
        self._sweeps -= 1
        found = self._end()
        if found and self._sweeps:
            self._loop.call_later(SWEEP_S, self._sweep)
            return
        for process, pids in self._ended.items():
            self._log.info(f"ended what {process} had left behind: {len(pids)} processes")
        self._deceased, self._ended = [], {}

    def _end(self) -> bool:
        """SIGKILL to all that can be found now; whether there was anything."""
        found = False
        for pid in kernel.children() - self._known():
            process = kernel.mark_of(pid).removeprefix(self._prefix)
            began = kernel.start_ticks(pid)
            if began is not None and any(process == gone and began < at for gone, at in self._deceased):
                found = True
                self._ended.setdefault(process, set()).add(pid)
                kernel.end_child(pid)
        return found
