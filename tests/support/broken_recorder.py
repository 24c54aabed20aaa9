"""A recorder with a mistake in it: it fails at the first row that it shall write, as no error that it knows of."""

from __future__ import annotations

from primectl.recorder import run
from primectl.recorder.keeper import Keeper


def write(*_: object) -> bool:
    raise ZeroDivisionError("a mistake")


if __name__ == "__main__":
    Keeper.write = write  # type: ignore[method-assign]
    run.main()
