"""Brings a supervisor up as a process of its own, in folders of the test's own, and asks it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil
from msgspec import Struct

from primectl.clock import SystemClock
from primectl.config.model import ClusterConfig, Config, JournalConfig, PoolConfig, ServerConfig, SupervisorConfig
from primectl.config.topology import ClusterFile, Place, place
from primectl.control.client import ControlClient
from primectl.control.running import supervisor_pid
from primectl.wire.control import Progress, Stop, Stopped
from primectl.wire.stats import ClusterSnapshot, ProcessSnapshot
from supervisor.adopt import Estate

STANDINS = [str(Path(__file__).with_name("standin_supervisor.py"))]
REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 20.0
LOOK_EVERY_S = 0.01

ResultT = TypeVar("ResultT")


def standin_config(
    workers: int = 2,
    *,
    spawn: str = "exec",
    env: dict[str, str] | None = None,
    listen: str = "http://127.0.0.1:0",
    servers: int = 1,
    start_timeout: float = 30.0,
    supervisor: SupervisorConfig | None = None,
    journal: bool = False,
) -> Config:
    """One pool `work`, of stand-ins. Without a `journal` there is no recorder."""
    return Config(
        cluster=ClusterConfig(name="test"),
        server=ServerConfig(listen=listen, processes=servers),
        routes={"/work": "work"},
        pools={
            "work": PoolConfig(
                handler="m:f",
                workers=workers,
                spawn=spawn,  # type: ignore[arg-type]
                env=env or {},
                start_timeout=start_timeout,
            )
        },
        journal=JournalConfig(enabled=journal),
        supervisor=supervisor or SupervisorConfig(),
    )


def eventually(look: Callable[[], ResultT]) -> ResultT:
    """Ask until the answer is true; the answer."""
    clock = SystemClock()
    deadline = clock.monotonic() + PATIENCE_S
    while True:
        found = look()
        if found:
            return found
        assert clock.monotonic() < deadline, f"not true within {PATIENCE_S:g} s: {look}"
        threading.Event().wait(LOOK_EVERY_S)


class Running:
    """A supervisor's process, and its notices."""

    def __init__(
        self, folder: Path, config: Config, program: list[str], environ: dict[str, str], watch: Path | None = None
    ) -> None:
        self.environ = {
            **os.environ,
            **environ,
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(REPOSITORY),
        }
        self.place: Place = place(config.cluster.name, self.environ, "/tmp", os.getuid())
        self.order = ClusterFile(self.place, config, "test.toml", str(folder))
        if watch is not None:
            program = [*program, "--watch"]
            self.order = ClusterFile(self.place, config, str(watch / "primectl.toml"), str(watch))
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, *program, "--notify-fd", str(writer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[writer],
            start_new_session=True,
            env=self.environ,
            cwd=folder,
        )
        os.close(writer)
        assert self.process.stdin is not None
        with self.process.stdin as stdin:
            stdin.write(msgspec.json.encode(self.order))
        with open(reader, "rb") as lines:
            self.notices: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.family = [child.pid for child in self.children()]
        with Estate(self.place) as estate:  # those that an earlier supervisor has started are no children
            self.family += [survivor.entry.pid for survivor in estate.alive]

    @property
    def listen(self) -> str:
        return str(self.notices[-1]["listen"])

    def children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def log(self, process: str = "supervisor") -> str:
        path = Path(self.place.log_file(process))
        return path.read_text() if path.exists() else ""

    def ask(
        self,
        method: str,
        path: str,
        body: Struct | None,
        kind: type[ResultT],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ResultT:
        with ControlClient(self.place) as client:
            return client.ask(method, path, body, kind, timeout_s=PATIENCE_S, on_progress=on_progress)

    def snapshot(self) -> ClusterSnapshot:
        return self.ask("GET", "/cluster", None, ClusterSnapshot)

    def find(self, process: str) -> ProcessSnapshot:
        return next(found for found in self.snapshot().processes if found.id == process)

    def stop(self, timeout_s: float = 10.0) -> Stopped:
        stopped = self.ask("POST", "/stop", Stop(timeout_s), Stopped)
        self.process.wait(PATIENCE_S)
        return stopped

    def leftovers(self) -> list[str]:
        """What a clean end must not leave: files at run time, processes of the cluster."""
        files = [str(path) for folder in {self.place.runtime, self.place.sockets} for path in Path(folder).rglob("*")]
        return files + [f"process {pid}" for pid in self.family if lives(pid)]


@contextmanager
def running(
    folder: Path,
    config: Config | None = None,
    program: list[str] | None = None,
    environ: dict[str, str] | None = None,
    watch: Path | None = None,
    *,
    heir: bool = False,
) -> Iterator[Running]:
    """A supervisor over stand-ins; whatever the test did, nothing of it runs afterwards. `watch`: a folder of handlers
    whose changes reload. An `heir` takes over from one that died before, whose end it is that ends what is left."""
    up = Running(folder, config or standin_config(), program or STANDINS, environ or {}, watch)
    try:
        yield up
    finally:
        # Stopped, it starts nobody any more and is still the one to whom orphans come: it goes last.
        up.process.send_signal(signal.SIGSTOP)
        while everyone := [child for child in up.children() if alive(child)]:
            for child in everyone:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            psutil.wait_procs(everyone, LOOK_EVERY_S)
        up.process.kill()
        up.process.wait()
        with Estate(up.place) as estate:
            for survivor in () if heir else estate.alive:
                signal.pidfd_send_signal(survivor.pidfd, signal.SIGKILL)
        # The test's folder is too deep for sockets, which are elsewhere then; another supervisor's are left alone.
        if not heir and up.place.sockets != up.place.runtime and supervisor_pid(up.place) is None:
            shutil.rmtree(up.place.sockets, ignore_errors=True)


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie has ended, and waits for its parent."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def lives(pid: int) -> bool:
    """The same by number. Adopted processes are children of whoever reaps orphans, at leisure perhaps."""
    try:
        return alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False
