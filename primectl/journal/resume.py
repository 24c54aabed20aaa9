"""§ What a replay has sent, so that one that was stopped can go on.

A file a run, `<state>/replays/<run>.jsonl`: its first line is a `Memory`, each further one a list of the numbers of
steps that have an outcome. The command writes it while it sends,

    with resume.begin(place.replays, memory) as remembering:
        ... on_outcome: remembering.ended(outcome.number)

and goes on with a run so: `recalled = resume.recall(folder, run)`; the same entries (`memory.ids`) and the same wishes
make the same plan; `resume.rest(recalled, plan)` is what was not sent; `resume.go_on(folder, recalled)` writes on.

Numbers are written four times a second at most and when it is closed, so a replay that is killed may send what it did
in its last moment once more when it is resumed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from msgspec import Struct, structs

from primectl.clock import SystemClock
from primectl.errors import NotFound, PrimectlError
from primectl.journal.steps import Plan

VERSION: Final = 1
KEPT: Final = 20
"""So many runs are remembered, the newest ones."""
FLUSH_S: Final = 0.25
_RUN: Final = re.compile(r"[0-9a-f]{8}")
_clock: Final = SystemClock()


class Memory(Struct, frozen=True, kw_only=True):
    """What a run was asked for. `ids` are the chosen entries in their order, `source` the file that they came from, ""
    for the journal. `wishes` are the command's own, as plain data. `digest` is `digest_of` the plan."""

    run: str
    started: float
    """Unix seconds."""
    target: str
    ids: list[str]
    digest: str
    source: str = ""
    wishes: dict[str, Any] = {}
    version: int = VERSION


class Recalled(Struct, frozen=True):
    """A run as it was left: `done` are the numbers of the steps that have an outcome."""

    memory: Memory
    done: frozenset[int]


class Remembering:
    """An open file of a run. Nobody else can write to it as long as it is open.

    `trouble` says why the last lines could not be written, "" when all is well: the replay goes on without them.
    """

    def __init__(self, file: FileIO) -> None:
        self.trouble = ""
        self._file = file
        self._ended: list[int] = []
        self._flushed = _clock.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ended(self, number: int) -> None:
        """The step of this number has an outcome."""
        self._ended.append(number)
        if (now := _clock.monotonic()) - self._flushed >= FLUSH_S:
            self._flushed = now
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if not self._ended:
            return
        try:
            # Behind a line that a full disk has cut short a new one begins.
            _write(self._file, (b"\n" if self.trouble else b"") + msgspec.json.encode(self._ended) + b"\n")
        except OSError as error:
            self.trouble = f"what is sent cannot be remembered: {error.strerror}"
        else:
            self.trouble = ""
            self._ended.clear()


def begin(folder: str, memory: Memory) -> Remembering:
    """Remember a new run; the oldest ones are forgotten. Raises PrimectlError where the folder cannot be written."""
    place = Path(folder)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget(place)
        # A header that is sent along may be a secret: nobody else reads it.
        descriptor = os.open(place / f"{memory.run}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        file = os.fdopen(descriptor, "ab", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        _write(file, msgspec.json.encode(memory) + b"\n")
    except OSError as error:
        raise PrimectlError(f"the run cannot be remembered: {error.strerror}", folder) from None
    return Remembering(file)


def recall(folder: str, run: str) -> Recalled:
    """The run as it was left. Raises NotFound for a run that is not remembered, PrimectlError for a damaged file or
    one that a newer version has written."""
    path = Path(folder, f"{run}.jsonl")
    if not _RUN.fullmatch(run) or not path.exists():
        known = [each.stem for each in _newest_first(Path(folder))]
        mend = f"There are {', '.join(known)}" if known else "No run is remembered here"
        raise NotFound(f"there is no replay {run} to resume", mend=mend)
    with path.open("rb") as file:
        memory = _memory(file.readline(), str(path))
        done: set[int] = set()
        for line in file:
            # Only the last line can be cut short, by the host's end or a full disk.
            with suppress(msgspec.DecodeError):
                done.update(msgspec.json.decode(line, type=list[int]))
    return Recalled(memory, frozenset(done))


def go_on(folder: str, recalled: Recalled) -> Remembering:
    """Write on in the file of a run. Raises PrimectlError while another process does."""
    path = Path(folder, f"{recalled.memory.run}.jsonl")
    try:
        file = path.open("r+b", buffering=0)
    except OSError as error:
        raise PrimectlError(f"the run cannot be remembered: {error.strerror}", str(path)) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise PrimectlError(f"replay {recalled.memory.run} is being sent by another process") from None
    # What was cut short has no line end; the next list must not become a part of it.
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
    return Remembering(file)


def rest(recalled: Recalled, plan: Plan) -> Plan:
    """The steps of `plan` that have no outcome yet, the first of them due at once, the others as far behind it as they
    were. Raises PrimectlError where the plan is not the one that was begun: numbers would mean other requests."""
    if digest_of(plan) != recalled.memory.digest:
        raise PrimectlError(
            f"replay {recalled.memory.run} cannot be resumed: its requests are not the same any more",
            mend="Begin a new one with the requests that there are",
        )
    left = [step for step in plan.steps if step.number not in recalled.done]
    first = left[0].due_s if left else 0.0
    steps = tuple(structs.replace(step, due_s=step.due_s - first) for step in left)
    return structs.replace(
        plan,
        steps=steps,
        size=sum(len(step.outgoing.body) for step in steps),
        seconds=steps[-1].due_s if steps else 0.0,
    )


def digest_of(plan: Plan) -> str:
    """The same for two plans that send the same entries in the same order."""
    digest = hashlib.blake2b(digest_size=16)
    for step in plan.steps:
        digest.update(f"{step.number} {step.entry.row.id}\n".encode())
    return digest.hexdigest()


def _write(file: FileIO, data: bytes) -> None:
    """All of it, or OSError."""
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _memory(line: bytes, path: str) -> Memory:
    try:
        version = msgspec.json.decode(line, type=_Versioned).version
        if version > VERSION:
            raise PrimectlError(f"a newer version of primectl has written it (format {version})", path)
        return msgspec.json.decode(line, type=Memory)
    except msgspec.MsgspecError as error:
        raise PrimectlError(f"this is no remembered replay: {error}", path) from None


class _Versioned(Struct):
    version: int = 0


def _forget(folder: Path) -> None:
    """Make room for one more."""
    for path in _newest_first(folder)[KEPT - 1 :]:
        path.unlink(missing_ok=True)


def _newest_first(folder: Path) -> Sequence[Path]:
    found: list[tuple[float, Path]] = []
    for path in folder.glob("*.jsonl"):
        with suppress(FileNotFoundError):  # another replay has just begun
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]
