"""What a supervisor costs and how soon it acts: ours beside circus and supervisord, with workers that do nothing.

    python -m tests.bench.supervisors [--rounds 100] [--idle-seconds 20] [--deaths 20] [--only primectl]

Theirs are installed with pip in an environment of their own, in a temporary folder (Supervisor's import name is ours
too); without them, which is said on stderr, ours is measured alone. Their worker is a Python script that writes down
when it is up and sleeps; ours is READY when its supervisor shows it as running, with its links to its proxy up. Not
part of `make bench`: the whole takes some ten minutes, most of them waiting for the others.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import venv
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from primectl.control.client import ControlClient
from primectl.wire.control import Scale, Scaled
from primectl.wire.stats import ClusterSnapshot
from tests.bench.report import report
from tests.support.cluster import ClusterUnderTest

LOOK_S = 0.002
PATIENCE_S = 120.0
MIB = 1 << 20
CONFIG = """
[cluster]
name = "{name}"
[server]
listen = "http://127.0.0.1:0"
[routes]
"/echo" = "idle"
[pools.idle]
handler = "primectl.handlers.echo:echo"
workers = 1
"""
WORKER = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(fd, b"%d %.6f\\n" % (os.getpid(), time.monotonic()))
while True:
    time.sleep(3600)
"""
CIRCUS = """
[circus]
endpoint = ipc://{folder}/endpoint
pubsub_endpoint = ipc://{folder}/pubsub
statsd = False

[watcher:idle]
cmd = {python} {folder}/worker.py {folder}/up
numprocs = 1
"""
SUPERVISORD = """
[unix_http_server]
file = {folder}/sock

[supervisord]
nodaemon = true
pidfile = {folder}/pid
logfile = {folder}/log
childlogdir = {folder}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{folder}/sock

[program:idle]
command = {python} {folder}/worker.py {folder}/up
process_name = %(process_num)02d
numprocs = {most}
autostart = false
autorestart = true
stdout_logfile = NONE
stderr_logfile = NONE
"""


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(LOOK_S)


class Keeper(ABC):
    """Somebody who keeps workers: one at first, up to `most`."""

    name: str
    most: int

    @property
    @abstractmethod
    def pid(self) -> int:
        """Of the supervisor."""

    @abstractmethod
    def workers(self) -> set[int]:
        """The pids of the workers that are up."""

    @abstractmethod
    def size(self, before: int, after: int) -> float:
        """Have so many workers; how many seconds it took until they were up, or gone."""

    @abstractmethod
    def seen_up(self, known: set[int], since: float) -> float:
        """When the first worker that is not known came up, once it has; not before `since`."""


class Ours(Keeper):
    name = "primectl"
    most = 64

    def __init__(self, opened: ExitStack) -> None:
        cluster = opened.enter_context(ClusterUnderTest(CONFIG)).up()
        self._client = opened.enter_context(ControlClient(cluster.place))
        self._pid = cluster.pids()["supervisor"]

    @property
    def pid(self) -> int:
        return self._pid

    def workers(self) -> set[int]:
        snapshot = self._client.ask("GET", "/cluster", None, ClusterSnapshot, timeout_s=PATIENCE_S)
        return {p.pid for p in snapshot.processes if p.role == "worker" and p.state == "running"}

    def size(self, before: int, after: int) -> float:
        began = time.monotonic()
        self._client.ask("POST", "/scale", Scale("idle", str(after)), Scaled, timeout_s=PATIENCE_S)
        return time.monotonic() - began

    def seen_up(self, known: set[int], since: float) -> float:
        until(lambda: bool(self.workers() - known), "the next worker")
        return time.monotonic()


class Theirs(Keeper):
    """A daemon of theirs, and the command that talks to it."""

    most = 32
    settings: str
    daemon: str
    control: str

    def __init__(self, opened: ExitStack, installed: Path, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._bin = installed / "bin"
        self._up = folder / "up"
        self._up.touch()
        (folder / "worker.py").write_text(WORKER)
        file = folder / "settings"
        file.write_text(self.settings.format(folder=folder, python=self._bin / "python", most=self.most))
        self._file = str(file)
        # Our own `supervisor` must not be found before theirs.
        self._environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._daemon = subprocess.Popen(
            [self._bin / self.daemon, *self.options()],
            cwd=folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        opened.callback(self._end)
        self.begin()

    @abstractmethod
    def options(self) -> list[str]:
        """Of the daemon."""

    @abstractmethod
    def begin(self) -> None:
        """Have one worker."""

    def ask(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._bin / self.control, *self.to_daemon(), *words],
            cwd=self._folder,
            env=self._environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @abstractmethod
    def to_daemon(self) -> list[str]:
        """The options by which the command finds the daemon."""

    def _end(self) -> None:
        children = psutil.Process(self._daemon.pid).children(recursive=True)
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.wait(20)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        for child in children:
            if child.is_running():
                child.kill()

    @property
    def pid(self) -> int:
        return self._daemon.pid

    def _lines(self) -> dict[int, float]:
        lines = self._up.read_text().splitlines()
        return {int(pid): float(at) for pid, at in (line.split() for line in lines)}

    def workers(self) -> set[int]:
        return {pid for pid in self._lines() if psutil.pid_exists(pid)}

    def size(self, before: int, after: int) -> float:
        """Their commands may return later than the workers are up: that is not counted."""
        began = time.monotonic()
        command = self.ask(*self.resize(before, after))
        until(lambda: len(self.workers()) == after, f"{after} workers")
        took = time.monotonic() - began
        command.wait()
        return took

    @abstractmethod
    def resize(self, before: int, after: int) -> list[str]:
        """The words that make it so many."""

    def seen_up(self, known: set[int], since: float) -> float:
        until(lambda: max(self._lines().values()) > since, "the next worker")
        return min(at for at in self._lines().values() if at > since)


class Circus(Theirs):
    name = "circus"
    settings = CIRCUS
    daemon = "circusd"
    control = "circusctl"

    def options(self) -> list[str]:
        return [self._file]

    def to_daemon(self) -> list[str]:
        return ["--endpoint", f"ipc://{self._folder}/endpoint"]

    def begin(self) -> None:
        until(lambda: len(self.workers()) == 1, "the first worker")

    def resize(self, before: int, after: int) -> list[str]:
        return ["incr" if after > before else "decr", "idle", str(abs(after - before))]


class Supervisord(Theirs):
    name = "supervisord"
    settings = SUPERVISORD
    daemon = "supervisord"
    control = "supervisorctl"

    def options(self) -> list[str]:
        return ["-c", self._file]

    def to_daemon(self) -> list[str]:
        return ["-c", self._file]

    def begin(self) -> None:
        until(lambda: self.ask("start", "idle:00").wait() == 0, "the first worker")

    def resize(self, before: int, after: int) -> list[str]:
        word = "start" if after > before else "stop"
        if after == self.most:
            return [word, "idle:*"]  # all at once; by their names it starts one after the other, a second each
        return [word, *(f"idle:{number:02d}" for number in range(min(before, after), max(before, after)))]


def pss_mib(pid: int) -> float:
    """What the kernel counts to a process of the memory that it shares and of its own."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"{pid} has no Pss")


def deaths(keeper: Keeper, count: int) -> None:
    """From a SIGKILL to a replacement that is up, one of four workers at a time."""
    keeper.size(1, 4)
    seconds = []
    for _ in range(count):
        known = keeper.workers()
        began = time.monotonic()
        os.kill(min(known), signal.SIGKILL)
        seconds.append(keeper.seen_up(known, began) - began)
        until(lambda: len(keeper.workers()) == 4, "four workers")
        time.sleep(1.1)  # the next one shall find all of them up for longer than supervisord's startsecs
    keeper.size(4, 1)
    figures = {"ms": median(seconds), "least_ms": min(seconds), "most_ms": max(seconds)}
    figures = {name: round(1000 * each, 1) for name, each in figures.items()}
    report("supervisors: a killed worker is replaced", keeper.name, {"workers": 4}, figures, n=count)


def sizes(keeper: Keeper, times: int = 5) -> None:
    """From one worker to many, and back."""
    up, down = [], []
    for _ in range(times):
        up.append(keeper.size(1, keeper.most))
        down.append(keeper.size(keeper.most, 1))
    figures = {
        "up_s": round(median(up), 3),
        "up_least_s": round(min(up), 3),
        "down_s": round(median(down), 3),
        "down_least_s": round(min(down), 3),
    }
    report("supervisors: from one worker to many and back", keeper.name, {"workers": keeper.most}, figures, n=times)


def memory(keeper: Keeper, times: int = 5) -> None:
    """Of one more worker, as soon as it is up: shared pages count less the more processes share them."""
    for many in (8, keeper.most - 1):
        seen = []
        keeper.size(1, many)
        for _ in range(times):
            before = keeper.workers()
            keeper.size(many, many + 1)
            (added,) = keeper.workers() - before
            seen.append(pss_mib(added))
            keeper.size(many + 1, many)
        keeper.size(many, 1)
        figures = {"pss_mib": round(median(seen), 2)}
        report("supervisors: memory of a further worker", keeper.name, {"workers": many}, figures, n=times)


def idle(keeper: Keeper, seconds: float) -> None:
    keeper.size(1, keeper.most)
    process = psutil.Process(keeper.pid)
    time.sleep(2.0)  # what follows a start is not rest
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    used = sum(process.cpu_times()[:2]) - before
    figures = {"cpu_percent": round(100 * used / seconds, 2), "rss_mib": round(process.memory_info().rss / MIB, 1)}
    keeper.size(keeper.most, 1)
    parameters = {"workers": keeper.most, "seconds": seconds}
    report("supervisors: at rest", keeper.name, parameters, figures, n=1)


def growth(keeper: Keeper, rounds: int) -> None:
    process = psutil.Process(keeper.pid)
    rss = [process.memory_info().rss]
    began = time.monotonic()
    for _ in range(rounds):
        keeper.size(1, keeper.most)
        keeper.size(keeper.most, 1)
        rss.append(process.memory_info().rss)
    tenth = max(1, rounds // 10)
    figures: dict[str, Any] = {
        "rss_mib_before": round(rss[0] / MIB, 2),
        f"rss_mib_after_{tenth}": round(rss[tenth] / MIB, 2),
        f"rss_mib_after_{rounds}": round(rss[-1] / MIB, 2),
        "seconds": round(time.monotonic() - began, 1),
    }
    report("supervisors: growth over rounds of scaling", keeper.name, {"workers": keeper.most}, figures, n=rounds)


@contextmanager
def rivals() -> Iterator[Path | None]:
    """An environment with circus and supervisord, or None where it cannot be had."""
    with tempfile.TemporaryDirectory(prefix="pctl-") as folder:
        installed = Path(folder) / "env"
        venv.create(installed, with_pip=True)
        command = [installed / "bin" / "pip", "install", "--quiet", "circus", "supervisor"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            print(f"circus and supervisord cannot be installed, so only ours is measured: {last}", file=sys.stderr)
            yield None
        else:
            yield installed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deaths", type=int, default=20)
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=100, help="of scaling for our growth; theirs get a tenth")
    parser.add_argument("--only", default="", help="primectl, circus or supervisord")
    options = parser.parse_args()

    def measure(keeper: Keeper, rounds: int) -> None:
        deaths(keeper, options.deaths)
        sizes(keeper)
        memory(keeper)
        idle(keeper, options.idle_seconds)
        growth(keeper, rounds)

    if options.only in ("", Ours.name):
        with ExitStack() as opened:
            measure(Ours(opened), options.rounds)
    if options.only == Ours.name:
        return
    with rivals() as installed:
        for rival in (Circus, Supervisord) if installed is not None else ():
            if options.only in ("", rival.name):
                with ExitStack() as opened:
                    measure(rival(opened, installed, installed.parent / rival.name), max(1, options.rounds // 10))


if __name__ == "__main__":
    main()
