"""§ state.json: what runs, and what operators have changed; written for the supervisor that comes after this one.

Nothing in it is trusted by its number alone: a process is meant by its pid, its start time and the boot of the host.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from primectl.config.topology import Place
from supervisor import kernel
from supervisor.events import Kind
from supervisor.lifecycle import ProcessState
from supervisor.memory import Memory
from supervisor.runtime import write_atomically


class Entry(Struct, frozen=True):
    """A process that runs. `start_ticks` as in `kernel`; `log_from` is where its log stood when it began."""

    id: str
    role: Kind
    pool: str
    pid: int
    incarnation: int
    start_ticks: int
    log_from: int = 0
    restarts: int = 0
    state: ProcessState = ProcessState.STARTING
    leaving: bool = False
    """It was retired for good."""


class State(Struct, frozen=True):
    """`listen` is where clients really connect, `began` when the cluster began (Unix seconds)."""

    boot: str
    processes: list[Entry]
    listen: str = ""
    began: float = 0.0
    memory: Memory = Memory()


def write_state(place: Place, state: State) -> None:
    write_atomically(place.state_file, msgspec.json.encode(state))


def read_state(place: Place) -> State | None:
    """None when there is no such file, it cannot be read, or it is from another boot."""
    try:
        state = msgspec.json.decode(Path(place.state_file).read_bytes(), type=State)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return state if state.boot == kernel.boot_id() else None
