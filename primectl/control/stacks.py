"""§ Where each thread of this process is, as text; and the signal by which the supervisor gets the like unasked.

`stacks` needs a thread of ours that runs. Where none does, since code in C holds the interpreter's lock, SIGNAL has
faulthandler write to a file what it finds in memory; it needs no lock and no Python.
"""

from __future__ import annotations

import faulthandler
import linecache
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from primectl.control.excerpt import excerpt

SIGNAL = signal.SIGRTMIN + 5
"""None of the signals that programs use by habit. Its default ends a process: it is for those that catch it."""
LIMIT_BYTES = 64 << 10
FRAMES = 100
"""Of one thread, the newest."""


def on_signal(path: str) -> None:
    """Have SIGNAL write all stacks to a new file at `path`, as often as it comes. Raises OSError."""
    # O_APPEND: what a reader has cut off is not left as a hole. faulthandler keeps the file open.
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600), "w")
    faulthandler.register(SIGNAL, file, all_threads=True)


def stacks(heading: str = "") -> str:
    """`heading`, then a block for each thread, the main thread first, the newest frame of each last."""
    threads = sys._current_frames()
    main = threading.main_thread().ident
    # Without the lock that threading.enumerate() takes: a thread that was interrupted may hold it.
    names = {thread.ident: thread.name for thread in list(threading._active.values())}  # type: ignore[attr-defined]
    ordered = sorted(threads.items(), key=lambda item: (item[0] != main, item[0]))
    blocks = [block(f"thread {names.get(ident, 'unknown to Python')}", frames(frame)) for ident, frame in ordered]
    return excerpt("\n\n".join([heading, *blocks] if heading else blocks), LIMIT_BYTES)


def frames(newest: FrameType | None) -> Iterator[FrameType]:
    """From the newest to the oldest."""
    while newest is not None:
        yield newest
        newest = newest.f_back


def block(title: str, newest_first: Iterator[FrameType]) -> str:
    """The stack of one thread under its title."""
    lines: list[str] = []
    for frame in newest_first:
        if len(lines) == FRAMES:
            lines.append("  … older frames are left out")
            break
        lines.append(_told(frame))
    return "\n".join([title, *reversed(lines)])


def _told(frame: FrameType) -> str:
    code = frame.f_code
    where = f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_qualname}'
    source = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return f"{where}\n    {source}" if source else where
