"""§ What has happened: the recent events in memory, more of them in events.jsonl and its older files.

Numbers grow across supervisors. A turn's events are one write, so that the start of 64 workers costs as much as one.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from primectl.wire.control import EventsQuery
from primectl.wire.stats import STATE, Event
from supervisor.events import Tell

KEPT = 2000
KEPT_BYTES = 2 << 20
"""Of each memory: of all events, and of those that are no changes of state."""
FILE_BYTES = 4 << 20
"""At this size the file becomes events.jsonl.1, that one .2, …"""
OLDER_FILES = 3
MOST_EVENTS = 1000
"""In one answer."""


class _Memory:
    """The last events, bounded in number and in bytes."""

    def __init__(self) -> None:
        self._events: deque[tuple[Event, int]] = deque()
        self._bytes = 0

    def add(self, event: Event, size: int) -> None:
        self._events.append((event, size))
        self._bytes += size
        while len(self._events) > KEPT or self._bytes > KEPT_BYTES:
            self._bytes -= self._events.popleft()[1]

    def last(self, count: int) -> list[Event]:
        return [event for event, _ in list(self._events)[-count:]] if count > 0 else []

    def after(self, number: int, count: int) -> list[Event]:
        return [event for event, _ in self._events if event.number > number][:count]


class EventLog:
    """Numbers events and keeps them. A disk that takes no more loses the file's copy, not the event: `dropped`."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self.dropped = 0
        self._all, self._told = _Memory(), _Memory()
        self._number = 0
        self.last_operation = 0
        """The highest number of an order that is told of."""
        self._encoder = msgspec.json.Encoder()
        self._fresh: list[Event] = []
        self._unwritten: list[bytes] = []
        self._torn = False
        """The file ends in the middle of a line."""
        for line in _last_lines(path):
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                self._remember(msgspec.json.decode(line, type=Event), len(line))
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._fd).st_size
        self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"

    def _remember(self, event: Event, size: int) -> None:
        self._number = max(self._number, event.number)
        self.last_operation = max(self.last_operation, event.operation)
        self._all.add(event, size)
        if event.kind != STATE:
            self._told.add(event, size)

    def add(self, time: float, tell: Tell) -> Event:
        """Number and remember it; `flush` writes it down."""
        event = Event(
            number=self._number + 1,
            time=time,
            kind=tell.kind,
            subject=tell.subject,
            text=tell.text,
            operator=tell.operator,
            before=tell.before,
            after=tell.after,
            cause=tell.cause,
            lines=list(tell.lines),
            operation=tell.operation,
        )
        line = self._encoder.encode(event)
        self._remember(event, len(line))
        self._fresh.append(event)
        self._unwritten.append(line)
        return event

    def flush(self) -> list[Event]:
        """Write down what was added, in one write; returns it, oldest first."""
        fresh, lines = self._fresh, self._unwritten
        if not fresh:
            return fresh
        self._fresh, self._unwritten = [], []
        data = b"".join((b"\n" if self._torn else b"", b"\n".join(lines), b"\n"))
        written = 0
        try:
            written = os.write(self._fd, data)
            if os.fstat(self._fd).st_size >= FILE_BYTES:
                self._rotate()
        except OSError:
            # Nothing was written, or all and it cannot be renamed: then the file grows, and the next turn tries again.
            pass
        if written < len(data):
            self.dropped += data.count(b"\n", written)
            self._torn = data[written - 1 : written] != b"\n" if written else self._torn
        else:
            self._torn = False
        return fresh

    def _rotate(self) -> None:
        for number in range(OLDER_FILES, 1, -1):
            with suppress(FileNotFoundError):
                os.replace(f"{self._path}.{number - 1}", f"{self._path}.{number}")
        os.replace(self._path, f"{self._path}.1")
        self.reopen()

    def reopen(self) -> None:
        """Go on in the file that has the name now (somebody has renamed ours)."""
        fd = self._fd
        self._open()
        os.close(fd)

    def answer(self, query: EventsQuery) -> list[Event]:
        """The events that are asked for, as far as they are remembered, oldest first."""
        memory = self._all if query.states else self._told
        count = max(0, min(query.last, MOST_EVENTS))
        return memory.after(query.since, count) if query.since > 0 else memory.last(count)

    def close(self) -> None:
        os.close(self._fd)


def _last_lines(path: str) -> list[bytes]:
    """The end of what earlier supervisors wrote, oldest first."""
    found: list[bytes] = []
    room = KEPT_BYTES
    for name in _names(path):
        try:
            with open(name, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                begin = file.seek(max(0, size - room))
                lines = file.read(room).splitlines()
        except FileNotFoundError:
            continue
        found = lines[1 if begin else 0 :] + found
        room -= size
        if room <= 0:
            break
    return found


def _names(path: str) -> Iterator[str]:
    """The file and its older ones, the newest first."""
    yield path
    for number in range(1, OLDER_FILES + 1):
        yield f"{path}.{number}"
