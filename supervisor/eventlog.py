"""§ What has happened: the last events in memory, all of the recent ones in events.jsonl, across supervisors."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from pathlib import Path

import msgspec

from primectl.wire.stats import Event
from supervisor.logread import LAST_BYTES

KEPT = 1000
FILE_BYTES = 4 << 20
"""At this size the file becomes events.jsonl.1 and a new one is begun."""


class EventLog:
    """Numbers events and keeps them. A disk that takes no more loses the file's copy, not the event: `dropped`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.dropped = 0
        self._events: deque[Event] = deque(_read(path), maxlen=KEPT)
        self._number = self._events[-1].number if self._events else 0
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def add(self, time: float, kind: str, subject: str, text: str, operator: str) -> Event:
        self._number += 1
        event = Event(number=self._number, time=time, kind=kind, subject=subject, text=text, operator=operator)
        self._events.append(event)
        try:
            os.write(self._fd, msgspec.json.encode(event) + b"\n")
            if os.fstat(self._fd).st_size >= FILE_BYTES:
                os.replace(self._path, f"{self._path}.1")
                os.close(self._fd)
                self._open()
        except OSError:
            self.dropped += 1
        return event

    def last(self, count: int) -> list[Event]:
        return list(self._events)[-count:] if count > 0 else []

    def close(self) -> None:
        os.close(self._fd)


def _read(path: str) -> list[Event]:
    """What earlier supervisors wrote, oldest first; a line that was cut off by a crash is left out."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, Path(path).stat().st_size - LAST_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    events: list[Event] = []
    for line in lines:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            events.append(msgspec.json.decode(line, type=Event))
    return events
