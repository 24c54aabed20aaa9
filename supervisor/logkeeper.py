"""§ Keeps all logs of a cluster within their bound: looks at the folder now and then, removes what has to go."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from primectl.clock import Clock
from primectl.config.model import SupervisorConfig
from primectl.config.topology import Place
from primectl.control.rotation import is_written
from supervisor.logtotal import LogFile, sweep

EVERY_S = 5.0
SHARE = 200
"""The next look comes after so many times as long as the last one took, where that is later."""
GROWN = 2
"""So many times `log_size` may an older file have that a child process still writes."""

_NAME = re.compile(r"(.+)\.log(?:\.(\d{1,3}))?")


class LogKeeper:
    """`rotate` has a process rotate its log; `removed` are the files that have gone, `emptied` those that a child
    process went on writing."""

    def __init__(self, place: Place, clock: Clock, rotate: Callable[[str], None]) -> None:
        self._folder = Path(place.logs)
        self._clock = clock
        self._rotate = rotate
        self._next_at = clock.monotonic()
        self.removed = 0
        self.emptied = 0

    def look(self, settings: SupervisorConfig, present: Collection[str]) -> None:
        """To be called now and then (each second or so)."""
        began = self._clock.monotonic()
        if began < self._next_at:
            return
        files = self._files()
        found = sweep(files, present, settings.log_total, self._clock.wall() - settings.log_age)
        for file in found.remove:
            self._remove(self._path(file))
        for file in files:
            if file.older and file.size > GROWN * settings.log_size and file not in found.remove:
                # One that nobody writes is large since much came at once, and keeps its lines.
                path = self._path(file)
                if is_written(path):
                    self._empty(path)
        if found.rotate:
            self._rotate(found.rotate)
        self._next_at = began + max(EVERY_S, SHARE * (self._clock.monotonic() - began))

    def _files(self) -> list[LogFile]:
        files: list[LogFile] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                name = _NAME.fullmatch(entry.name)
                with suppress(FileNotFoundError):
                    if name is not None and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        files.append(LogFile(name[1], int(name[2] or 0), status.st_size, status.st_mtime))
        return files

    def _path(self, file: LogFile) -> str:
        return str(self._folder / (f"{file.process}.log.{file.older}" if file.older else f"{file.process}.log"))

    def _remove(self, path: str) -> None:
        if is_written(path):
            # Removed, it would go on growing where nobody can see it.
            self._empty(path)
        else:
            with suppress(FileNotFoundError):
                os.unlink(path)
                self.removed += 1

    def _empty(self, path: str) -> None:
        with suppress(OSError):
            fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            os.close(fd)
            self.emptied += 1
