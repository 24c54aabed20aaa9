"""§ The access log: lines are kept for a moment and written together."""

from __future__ import annotations

from primectl.clock import Clock
from primectl.control.log import ProcessLog, stamp
from primectl.message import Request
from primectl.server.access import line

FULL_BYTES = 64 << 10
"""What is kept at most before it is written."""


class AccessLog:
    """Into the process's own log."""

    def __init__(self, log: ProcessLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lines: list[str] = []
        self._bytes = 0
        self._at = 0.0
        self._stamp = ""

    def note(self, request: Request, status: int, size: int, seconds: float, request_id: str, now: float) -> None:
        """A request and what became of it: `size` bytes of body, after `seconds`. What has the same `now` has the same
        time in the log."""
        if now != self._at:
            self._at = now
            self._stamp = stamp(self._clock.wall())
        entry = line(
            self._stamp,
            request.client,
            request.method,
            request.target,
            request.version,
            status,
            size,
            seconds,
            request_id,
        )
        self._lines.append(entry)
        self._bytes += len(entry)
        if self._bytes >= FULL_BYTES:
            self.write()

    def write(self) -> None:
        """Whatever is kept, into the file."""
        if self._lines:
            self._log.write("".join(self._lines).encode())
            self._lines.clear()
            self._bytes = 0
