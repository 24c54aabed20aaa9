"""Whether the supervisor of a cluster runs: it holds a lock on its pid file for as long as it lives.

The lock is the truth, the number in the file only tells whom to name: a pid is used again, a lock dies with its holder.
"""

from __future__ import annotations

import fcntl
import os

from primectl.config.topology import Place


def supervisor_pid(place: Place) -> int | None:
    """The pid of the supervisor that runs this cluster, None when none does."""
    try:
        with open(place.pid_file, "rb") as file:
            pid = _number(file.read(32))
            # The pid is looked at first so that the lock is tried only where somebody may hold it: a supervisor
            # that is just taking it would otherwise find ours.
            return pid if pid and _is_alive(pid) and _is_locked(file.fileno()) else None
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def _number(text: bytes) -> int:
    digits = text.strip()
    return int(digits) if digits.isdigit() else 0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
