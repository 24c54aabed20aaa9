"""How the whole stands, as a service manager wants to know it (sd_notify(3)): what to say when that has changed."""

from __future__ import annotations

from msgspec import Struct

from primectl.wire.stats import ClusterState
from supervisor.books import Books
from supervisor.events import Kind
from supervisor.lifecycle import ProcessState as S
from supervisor.words import counted, processes

ENDING = frozenset({ClusterState.STOPPING, ClusterState.FAILED})
RELOADS = frozenset({"reload", "apply"})
"""Verbs by which a cluster changes while it serves."""


class Standing(Struct, frozen=True):
    """`status` is a line for people."""

    state: ClusterState = ClusterState.STARTING
    reloading: bool = False
    status: str = ""

    @property
    def ready(self) -> bool:
        return self.state is ClusterState.RUNNING and not self.reloading


def standing(books: Books, progress: str) -> Standing:
    """`progress` is what a start, or a stop, waits for."""
    if books.state is not ClusterState.RUNNING:
        return Standing(books.state, status=progress or books.state.value)
    reloading = any(operation.kind in RELOADS for operation in books.desk.operations)
    return Standing(books.state, reloading, _counted(books))


def news(before: Standing, now: Standing, pid: int, monotonic_us: int) -> list[str]:
    """The assignments to send; none when nothing is new. `before` is what was said last, at first `Standing()`."""
    told: list[str] = []
    if now.ready and not before.ready:
        # The pid too: who started us may believe that another process is the service, the one that started this one.
        told += ["READY=1", f"MAINPID={pid}"]
    elif now.reloading and not before.reloading:
        told += ["RELOADING=1", f"MONOTONIC_USEC={monotonic_us}"]
    elif now.state in ENDING and before.state not in ENDING:
        told.append("STOPPING=1")
    if now.status != before.status:
        told.append(f"STATUS={now.status}")
    return told


def _counted(books: Books) -> str:
    """ "8 processes, 2 pools", and how many of the processes have failed."""
    shown = [process for process in books.processes.values() if process.kind is not Kind.ZYGOTE]
    failed = sum(process.state is S.FAILED for process in shown)
    alive = sum(process.alive for process in shown)
    pools = len(books.config.pools)
    told = f"{processes(alive)}, {counted(pools, 'pool')}"
    return f"{told}, {failed} failed" if failed else told
