"""§ What SIGHUP means: reload, as for any service; but when the terminal has gone, what it was first made for.

A terminal that hangs up sends SIGHUP and ceases to be anybody's controlling terminal, so /dev/tty (tty(4)) can no
longer be opened. Whoever sends the signal by hand leaves it where it is. A supervisor that was told to ignore the end
of its terminal (nohup(1)) does.
"""

from __future__ import annotations

import os
import signal
from enum import Enum, auto


class Meaning(Enum):
    RELOAD = auto()
    STOP = auto()
    NOTHING = auto()


class Terminal:
    """The one that this process was started from, if there is any; made before SIGHUP gets a handler."""

    def __init__(self) -> None:
        self._was_there = _is_there()
        self._may_go = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def sighup(self) -> Meaning:
        """What a SIGHUP means that has come now."""
        if not self._was_there or _is_there():
            return Meaning.RELOAD
        return Meaning.NOTHING if self._may_go else Meaning.STOP


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True
