"""§ Replays are done by the command line itself, as a child process; here it is started, heard and ended.

It has a session of its own, so that the terminal's Ctrl-C is not meant for it. Threads read its pipes: a terminal that
stops the app's loop does not stop a replay. When this process is killed the pipes close, and the command ends at its
next line of progress.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from primectl.clock import SystemClock

OUTPUT_LIMIT = 32 << 20
"""Bytes of a report that are kept; of a longer one nothing is."""
LINE_LIMIT = 64 << 10
END_S = 3.0
"""A command that was told to stop may take so long over its report before it is killed."""

_clock = SystemClock()


class Command:
    """A command at work. `on_line` gets each line of its stderr, `on_end` its exit code, what it printed and whether
    that was too long; both are called in threads. Raises OSError when it cannot be started."""

    def __init__(
        self, argv: Sequence[str], on_line: Callable[[str], None], on_end: Callable[[int, bytes, bool], None]
    ) -> None:
        self._on_line = on_line
        self._on_end = on_end
        self._output = b""
        self._too_long = False
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=os.environ | {"NO_COLOR": "1"},
        )
        self._reader = threading.Thread(target=self._read_output, name="replay report", daemon=True)
        self._reader.start()
        self._listener = threading.Thread(target=self._listen, name="replay progress", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Ask it to stop with its report so far, as Ctrl-C does on a terminal."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def end(self, deadline: float) -> None:
        """Wait until it has ended; at `deadline` (monotonic) it and what it started is killed."""
        try:
            self._process.wait(max(deadline - _clock.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._listener.join(END_S)

    def _read_output(self) -> None:
        kept: list[bytes] = []
        size = 0
        assert self._process.stdout is not None, "asked for above"
        with self._process.stdout as pipe:
            while piece := os.read(pipe.fileno(), 1 << 16):
                size += len(piece)
                if size <= OUTPUT_LIMIT:
                    kept.append(piece)
        self._too_long = size > OUTPUT_LIMIT
        self._output = b"" if self._too_long else b"".join(kept)

    def _listen(self) -> None:
        assert self._process.stderr is not None, "asked for above"
        with self._process.stderr as pipe:
            while line := pipe.readline(LINE_LIMIT):
                self._on_line(line.decode("utf-8", "replace"))
        code = self._process.wait()
        self._reader.join()
        self._on_end(code, self._output, self._too_long)


def end_all(commands: Sequence[Command]) -> None:
    """Stop them all, and wait until they have ended."""
    for command in commands:
        command.stop()
    deadline = _clock.monotonic() + END_S
    for command in commands:
        command.end(deadline)
