"""§ What a supervisor that died has left running: found, taken over or ended.

Each is known by pid, start time and boot, and held by a pidfd from then on, so that nothing else is ever hit.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from primectl.clock import Clock
from primectl.config.topology import ClusterFile, Place
from supervisor import kernel
from supervisor.events import Fallen, Kind, Survivor, TookOver
from supervisor.statefile import Entry, State, read_state

FINISH_S = 5.0
"""For leftover servers to finish what is open."""
LEAVE_S = 1.0


class Alive(NamedTuple):
    """A process of the state file that still runs."""

    entry: Entry
    pidfd: int


class Estate:
    """What is left of a cluster: who lives, who has fallen, what it was. To be closed, unless it is taken over."""

    def __init__(self, place: Place) -> None:
        self.state = read_state(place) or State("", [])
        self.alive: list[Alive] = []
        self.fallen: list[Entry] = []
        for entry in self.state.processes:
            pidfd = _hold(entry)
            if pidfd is None:
                self.fallen.append(entry)
            else:
                self.alive.append(Alive(entry, pidfd))
        self.cluster = read_cluster(place)
        """As the last supervisor ran it; None when that cannot be read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for survivor in self.alive:
            os.close(survivor.pidfd)
        self.alive = []

    @property
    def has_server(self) -> bool:
        """Whether somebody has the listening sockets."""
        return any(survivor.entry.role is Kind.SERVER for survivor in self.alive)

    def hand_over(self) -> list[Alive]:
        """Those that live; their pidfds are the caller's from now on."""
        alive, self.alive = self.alive, []
        return alive

    def end(self, clock: Clock) -> list[str]:
        """End those that live: servers finish first, then all others leave, then SIGKILL. Returns their ids."""
        servers = [survivor for survivor in self.alive if survivor.entry.role is Kind.SERVER]
        others = [survivor for survivor in self.alive if survivor.entry.role is not Kind.SERVER]
        for group, patience_s in ((servers, FINISH_S), (others, LEAVE_S)):
            _signal(group, signal.SIGTERM)
            _signal(_wait(group, clock.monotonic() + patience_s, clock), signal.SIGKILL)
        _wait(self.alive, clock.monotonic() + LEAVE_S, clock)
        for entry, pidfd in self.alive:
            if entry.role is not Kind.ZYGOTE:
                kernel.end_foreign_group(pidfd, entry.pid, entry.start_ticks)
        return [survivor.entry.id for survivor in self.alive]


def took_over(estate: Estate, listen: str, clock: Clock) -> TookOver:
    """What the core is told of it. To be asked before the estate is handed over."""
    now = clock.monotonic()
    began_at = now - max(0.0, clock.wall() - estate.state.began) if estate.state.began else now
    survivors = tuple(
        Survivor(
            entry.id,
            entry.role,
            entry.pool,
            entry.incarnation,
            entry.pid,
            now - kernel.age_s(entry.start_ticks),
            entry.restarts,
            entry.state,
            entry.leaving,
        )
        for entry, _ in estate.alive
    )
    fallen = tuple(
        Fallen(entry.id, entry.role, entry.pool, entry.incarnation, entry.restarts) for entry in estate.fallen
    )
    return TookOver(listen, began_at, survivors, fallen, estate.state.memory)


def read_cluster(place: Place) -> ClusterFile | None:
    """cluster.json, None when there is none or it cannot be read."""
    try:
        return msgspec.json.decode(Path(place.cluster_file).read_bytes(), type=ClusterFile)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def is_of_cluster(pid: int, log: str) -> bool:
    """Whether a process is one of those that write their output to this log, and leads a session as those do."""
    try:
        output = os.readlink(f"/proc/{pid}/fd/1")
        leads = os.getsid(pid) == pid
    except OSError:
        return False
    # A log that was rotated meanwhile has another name, or none any more.
    return leads and (output == log or output.startswith((f"{log}.", f"{log} (deleted)")))


def _hold(entry: Entry) -> int | None:
    """A pidfd of this very process, None when it has ended."""
    try:
        pidfd = os.pidfd_open(entry.pid)
    except (OSError, OverflowError):
        return None
    # Checked after the pidfd holds on to it: a process that took over the number has another start time.
    ticks = kernel.start_ticks(entry.pid)
    if ticks == entry.start_ticks:
        return pidfd
    if ticks is None:  # it is ending; its other threads may hold its sockets for a moment
        kernel.await_end(pidfd, LEAVE_S)
    os.close(pidfd)
    return None


def _signal(survivors: Iterable[Alive], number: int) -> None:
    for survivor in survivors:
        kernel.send(survivor.pidfd, number)


def _wait(survivors: Sequence[Alive], deadline: float, clock: Clock) -> list[Alive]:
    """Until all have ended or the deadline has come; returns who has not."""
    poller = select.poll()
    left = {survivor.pidfd: survivor for survivor in survivors}
    for pidfd in left:
        poller.register(pidfd, select.POLLIN)
    while left:
        for pidfd, _ in poller.poll(max(0.0, 1000 * (deadline - clock.monotonic()))):
            poller.unregister(pidfd)
            del left[pidfd]
        if clock.monotonic() >= deadline:
            break
    return list(left.values())
