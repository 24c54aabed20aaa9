"""What outlives a supervisor beside the processes: what operators have changed, as the state file keeps it.

A field that is added goes last and has a default, so that what an earlier version has written can be read.
"""

from __future__ import annotations

from msgspec import Struct


class Sized(Struct, frozen=True):
    """A size that an operator has given a pool, in place of the config file's; `at` in Unix seconds."""

    workers: int
    operator: str = ""
    at: float = 0.0


class PoolMemory(Struct, frozen=True):
    """What operators have changed in a pool."""

    sized: Sized | None = None
    draining: bool = False
    drained_workers: list[str] = []


class Memory(Struct, frozen=True):
    """By pool; one that is as the config file has it is left out."""

    pools: dict[str, PoolMemory] = {}
