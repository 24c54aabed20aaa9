"""How far each run of a server has been heard: what a recorder must know of its predecessor to leave out repeats."""

from __future__ import annotations

from msgspec import Struct

Run = tuple[str, int]
"""A server and its incarnation."""
RUNS_A_SERVER = 8
"""Lives of a server that are remembered."""


class Heard(Struct, frozen=True):
    """The `last` number of the run, how many it says that it `dropped`, and how many numbers were `missing`."""

    last: int
    dropped: int = 0
    missing: int = 0
