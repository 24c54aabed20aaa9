"""§ The state file: what runs now, and what a supervisor that died has left running.

Leftovers are ended before the cluster starts anew: they hold its port and its sockets. Each is known by pid, start time
and boot, so that nothing else is ever hit.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from primectl.clock import Clock
from primectl.config.topology import Place
from supervisor import kernel
from supervisor.events import Kind
from supervisor.runtime import write_atomically

FINISH_S = 5.0
"""For leftover servers to finish what is open."""
LEAVE_S = 1.0


class Entry(Struct, frozen=True):
    """A process that runs. `start_ticks` as in `kernel`."""

    id: str
    role: Kind
    pool: str
    pid: int
    incarnation: int
    start_ticks: int


class State(Struct, frozen=True):
    """state.json"""

    boot: str
    processes: list[Entry]


def write_state(place: Place, boot: str, entries: Iterable[Entry]) -> None:
    write_atomically(place.state_file, msgspec.json.encode(State(boot, list(entries))))


def leftovers(place: Place) -> list[Entry]:
    """What the state file names; empty when there is none, it is from another boot, or it cannot be read."""
    try:
        state = msgspec.json.decode(Path(place.state_file).read_bytes(), type=State)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return []
    return state.processes if state.boot == kernel.boot_id() else []


class _Survivor(NamedTuple):
    entry: Entry
    pidfd: int


def end_leftovers(entries: Sequence[Entry], clock: Clock) -> list[str]:
    """End those that still run: servers finish first, then all others leave, then SIGKILL. Returns their ids."""
    survivors = [survivor for entry in entries if (survivor := _find(entry))]
    servers = [survivor for survivor in survivors if survivor.entry.role is Kind.SERVER]
    others = [survivor for survivor in survivors if survivor.entry.role is not Kind.SERVER]
    try:
        for group, patience_s in ((servers, FINISH_S), (others, LEAVE_S)):
            _signal(group, signal.SIGTERM)
            _signal(_wait(group, clock.monotonic() + patience_s, clock), signal.SIGKILL)
        _wait(survivors, clock.monotonic() + LEAVE_S, clock)
    finally:
        for survivor in survivors:
            os.close(survivor.pidfd)
    return [survivor.entry.id for survivor in survivors]


def _find(entry: Entry) -> _Survivor | None:
    try:
        pidfd = os.pidfd_open(entry.pid)
    except ProcessLookupError:
        return None
    # Checked after the pidfd holds on to it: a process that took over the number has another start time.
    if kernel.start_ticks(entry.pid) != entry.start_ticks:
        os.close(pidfd)
        return None
    return _Survivor(entry, pidfd)


def _signal(survivors: Iterable[_Survivor], number: int) -> None:
    for survivor in survivors:
        kernel.send(survivor.pidfd, number)


def _wait(survivors: Sequence[_Survivor], deadline: float, clock: Clock) -> list[_Survivor]:
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
