"""§ Starts a cluster behind the terminal: a supervisor in a session of its own, heard until it is ready."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from primectl.cli.choose import Selection, place_for
from primectl.cli.tail import last_lines
from primectl.config.handlers import require_handlers, whole_config
from primectl.config.load import Loaded, under_name
from primectl.config.topology import ClusterFile, Place
from primectl.control.client import ControlClient
from primectl.control.running import supervisor_pid
from primectl.errors import StartFailed
from primectl.wire.control import Progress
from primectl.wire.stats import ClusterSnapshot
from supervisor.runtime import prepare_logs

LOG_LINES = 10
"""Of the supervisor's log, shown when it ends without a word."""


class Notice(Struct, frozen=True):
    """One line of the notify pipe: progress, and at the end either ready or failed."""

    progress: str = ""
    ready: bool = False
    listen: str = ""
    pid: int = 0
    failed: str = ""
    detail: str = ""
    exit_code: int = 1
    adopted: int = 0
    started: int = 0
    failing: tuple[str, ...] = ()
    applied: str = ""
    unrecorded: str = ""


class Started(Struct, frozen=True):
    """A cluster that serves: its address, its supervisor's pid, and whether it did so before.

    After the death of its supervisor: the number of processes that were `adopted` and `started`, a line for each thing
    that is `failing`, and what came of a config that had changed (`applied`). `unrecorded` says why requests are not
    recorded, where they should be.
    """

    cluster: str
    listen: str
    pid: int
    already_running: bool = False
    adopted: int = 0
    started: int = 0
    failing: tuple[str, ...] = ()
    applied: str = ""
    unrecorded: str = ""

    @property
    def troubles(self) -> list[str]:
        """A line for each thing that is not as it should be, though the cluster serves."""
        unrecorded = [f"requests are not recorded: {self.unrecorded}"] if self.unrecorded else []
        return [*self.failing, *unrecorded]


def started_text(started: Started) -> str:
    """In one line."""
    already = " already" if started.already_running else ""
    text = f"cluster {started.cluster} is running{already} at {started.listen} (pid {started.pid})"
    if not started.adopted:
        return text
    text += f": adopted {started.adopted} process{'es' if started.adopted != 1 else ''}"
    if started.started:
        text += f", started {started.started} that had ended"
    return f"{text}; the changed config: {started.applied}" if started.applied else text


class CouldNotStart(StartFailed):
    """One line that says what, then the lines that tell why: the end of a traceback or of a log."""

    def __init__(self, what: str, where: str, detail: str, exit_code: int) -> None:
        super().__init__(what, where)
        self.detail = detail.rstrip("\n")
        self.exit_code = exit_code

    def __str__(self) -> str:
        return "\n".join(filter(None, [super().__str__(), self.detail]))


def configured(asked: Selection) -> tuple[Loaded, Place]:
    """The config that is meant, its handlers looked at, and where its cluster is. Raises ConfigError, StartFailed."""
    loaded = whole_config(asked.file, Path.cwd())
    if asked.cluster is not None:
        loaded = under_name(loaded, asked.cluster)
    place = place_for(loaded.config.cluster.name)
    if supervisor_pid(place) is None and not _runs_already(loaded, place):
        require_handlers(loaded)
    return loaded, place


def _runs_already(loaded: Loaded, place: Place) -> bool:
    """Whether a supervisor that died has left this very config running: its handlers have been looked at before."""
    if not Path(place.state_file).exists():
        return False
    from supervisor import adopt  # loaded only where a cluster was left

    with adopt.Estate(place) as estate:
        return bool(estate.alive) and estate.cluster == ordered(loaded, place)


def ordered(loaded: Loaded, place: Place) -> ClusterFile:
    """What the supervisor is given."""
    return ClusterFile(place, loaded.config, loaded.path, loaded.import_path)


def start_detached(
    loaded: Loaded, place: Place, on_progress: Callable[[Progress], None], *, watch: bool = False
) -> Started:
    """Start the supervisor and return once every process is READY. Raises CouldNotStart, nothing left running.

    `watch`: it reloads the pools when their code changes.
    """
    pid = supervisor_pid(place)
    if pid is not None:
        with ControlClient(place) as client:
            snapshot = client.ask("GET", "/cluster", None, ClusterSnapshot)
        return Started(place.cluster, snapshot.front.listen, pid, already_running=True)
    order = ordered(loaded, place)
    reader, writer = os.pipe()
    # What the interpreter itself says (it cannot import something, it was killed) belongs into the supervisor's log.
    prepare_logs(place)
    log = os.open(place.log_file("supervisor"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor", "--notify-fd", str(writer), *(["--watch"] if watch else [])],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[writer],
            start_new_session=True,
        )
    finally:
        os.close(writer)
        os.close(log)
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(msgspec.json.encode(order))
    for notice in _notices(reader):
        if notice.failed:
            process.wait()
            raise CouldNotStart(notice.failed, "", notice.detail, notice.exit_code)
        if notice.ready:
            pid = notice.pid or process.pid
            outcome = notice.adopted, notice.started, notice.failing, notice.applied, notice.unrecorded
            return Started(place.cluster, notice.listen, pid, False, *outcome)
        if notice.progress:
            on_progress(Progress(notice.progress))
    code = process.wait()
    lines = [line.text for line in last_lines(place, ["supervisor"], LOG_LINES)]
    raise CouldNotStart(f"the supervisor left with {_exit_word(code)}", f"cluster {place.cluster}", "\n".join(lines), 1)


def _notices(reader: int) -> Iterator[Notice]:
    with open(reader, "rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line, type=Notice)


def _exit_word(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"status {code}"
