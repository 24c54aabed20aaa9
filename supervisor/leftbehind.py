"""§ What a handler has started and left behind, wherever it went: it ends with its worker.

The worker's process group gets SIGKILL as the worker is reaped (`spawn`). Whatever has left that group (a session of
its own, a daemon) has no parent then or had none before, so it is a child of ours: we are the subreaper. Whose it was,
its environment tells (`MARK`, set by `control.child`), or, if it never called exec, the title that it shares with its
worker. What an adopted worker has left has become a child of somebody else: all processes are looked at for its mark.
A process that hides all this is ended when the cluster is.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Set
from typing import NamedTuple

from primectl.config.topology import ClusterFile
from primectl.control.child import mark, title
from primectl.control.log import ProcessLog
from supervisor import kernel
from supervisor.words import processes

SWEEP_S = 0.05
"""Between two looks, while there is something to end: what that has started becomes an orphan in its turn."""
SWEEPS = 40


class _Deceased(NamedTuple):
    """A life that ended, and when, in the kernel's ticks; what began later is not of this life."""

    process: str
    adopted: bool
    at_ticks: int


class LeftBehind:
    """`known` are the pids of those that are in the books."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, cluster: ClusterFile, known: Callable[[], Set[int]], log: ProcessLog
    ) -> None:
        self._loop = loop
        self._cluster = cluster
        self._known = known
        self._log = log
        self._deceased: list[_Deceased] = []
        self._ended: dict[str, set[int]] = {}
        self._sweeps = 0

    def of(self, process: str, *, adopted: bool) -> None:
        """This one has ended: look for what is left of it, soon, and for all that end together at once."""
        if not self._deceased:
            self._loop.call_soon(self._sweep)
        self._sweeps = SWEEPS
        self._deceased.append(_Deceased(process, adopted, kernel.ticks_now()))

    def _sweep(self) -> None:
        self._sweeps -= 1
        if self._end() and self._sweeps:
            self._loop.call_later(SWEEP_S, self._sweep)
            return
        for process, pids in self._ended.items():
            self._log.info(f"ended what {process} had left behind: {processes(len(pids))}")
        self._deceased, self._ended = [], {}

    def _end(self) -> bool:
        """SIGKILL to all that can be found now; whether there was anything."""
        cluster = self._cluster
        of_ours = {title(cluster, gone.process): gone for gone in self._deceased}
        marked = {mark(cluster, gone.process): gone for gone in self._deceased}
        orphans = kernel.children()
        # The title names the cluster, of which another user of this host may have one of the same name.
        found = [self._end_if(pid, {**of_ours, **marked}) for pid in orphans - self._known()]
        if any(gone.adopted for gone in self._deceased):
            found += [self._end_if(pid, marked) for pid in kernel.everybody() - orphans - self._known()]
        return any(found)

    def _end_if(self, pid: int, theirs: dict[str, _Deceased]) -> bool:
        """SIGKILL to this process if it says that it is of one of these, and began in its life."""
        with kernel.held(pid) as pidfd:
            gone = next((theirs[said] for said in kernel.origins(pid) if said in theirs), None)
            if pidfd is None or gone is None or (kernel.start_ticks(pid) or gone.at_ticks) >= gone.at_ticks:
                return False
            kernel.send(pidfd, signal.SIGKILL)
        self._ended.setdefault(gone.process, set()).add(pid)
        return True
