"""A real cluster for system tests: brought up from a config of its own, operated by the command line, gone at the end.

Nothing of it may outlive the test: the end asserts that no process, socket or pid file is left, and ends by pid
whatever is, so that a failed test does not disturb the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from primectl.cli.render import ps_object
from primectl.config import topology
from primectl.control.client import ControlClient
from primectl.wire.stats import ClusterSnapshot

PATIENCE_S = 30.0
POLL_S = 0.02

CASES = Path(__file__).with_name("cases.py")

PRIME = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"

[routes]
"GET,POST /is_prime" = "parse"

[pools.parse]
handler = "primectl.handlers.prime:parse"
workers = 1

[pools.compute]
handler = "primectl.handlers.prime:compute"
workers = 2
"""


def wait_until(condition: Callable[[], Any], timeout_s: float = PATIENCE_S, what: str = "the condition") -> Any:
    """Poll `condition` until it is true and return its value; fails the test, naming `what`, when it never is."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come about within {timeout_s:g} s"
        time.sleep(POLL_S)


def alive(pid: int) -> bool:
    """Whether the process still runs; a zombie has ended, and waits for whoever started it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class ClusterUnderTest:
    """A context manager; `up` starts the cluster, everything else goes through the command line as an operator would.

    `config` is TOML in which {name} stands for the cluster's name; `listen` should take port 0. `files` are further
    files beside it (handlers) by name.
    """

    def __init__(self, config: str = PRIME, *, name: str = "prime", files: Mapping[str, str] | None = None) -> None:
        self.name = name
        # Not pytest's tmp_path: sockets live here, and its paths pass the 107 bytes that they may have.
        self.home = Path(tempfile.mkdtemp(prefix="pctl-"))
        self.folder = self.home / "project"
        self.folder.mkdir()
        self.file = self.folder / "primectl.toml"
        self.file.write_text(config.replace("{name}", name))
        for file, text in (files or {}).items():
            (self.folder / file).write_text(text)
        self.environment = {
            **{key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")},
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "HOME": str(self.home),
        }
        (self.home / "run").mkdir(mode=0o700)
        self.place = topology.place(name, self.environment, tempfile.gettempdir(), os.getuid())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and Path(self.place.pid_file).exists():
                self.down()
            left = self._end_leftovers()
            files = self.files_left()
            if kind is None:
                assert not left, f"processes were left: {left}"
                assert not files, f"files were left: {files}"
        finally:
            shutil.rmtree(self.home, ignore_errors=True)
            if self.place.sockets != self.place.runtime:
                shutil.rmtree(self.place.sockets, ignore_errors=True)

    # --- as an operator -----------------------------------------------------------------------------------------------

    def cli(
        self, *words: str, code: int | None = 0, stdin: str | None = "", timeout_s: float = 60.0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command in the folder of the config; fails the test when it does not exit with `code`."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if code is not None:
            told = f"{done.stdout}{done.stderr}"
            assert done.returncode == code, f"primectl {' '.join(words)}: exit {done.returncode}, not {code}\n{told}"
        return done

    def spawn(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command that goes on (`up`, `logs -f`); the caller ends it."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "primectl", *words]

    def json(self, *words: str, code: int = 0) -> Any:
        """What a command prints with --json."""
        return json.loads(self.cli(*words, "--json", code=code).stdout)

    def up(self) -> Self:
        self.cli("up", "-d")
        return self

    def down(self) -> dict[str, Any]:
        """The clean stop; its report."""
        report: dict[str, Any] = self.json("down")
        return report

    def ps(self) -> dict[str, Any]:
        told: dict[str, Any] = self.json("ps")
        return told

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where clients come in."""
        return str(self.ps()["server"]["listen"])

    def pool(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(pool for pool in self.ps()["pools"] if pool["name"] == name)
        return found

    def pids(self) -> dict[str, int]:
        """The pid of every process, by its id."""
        return {process["id"]: process["pid"] for process in self.ps()["processes"]}

    def events(self) -> list[dict[str, Any]]:
        """Of the file, as far as it is written: its last line may be half there."""
        lines = Path(self.place.events_file).read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def processes_left(self) -> list[psutil.Process]:
        """Whatever still runs of the cluster: what was started for it works in its folder, and nobody else does."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                # None for a zombie: that one has ended, and waits for its parent.
                if Path(process.cwd() or "/").is_relative_to(self.home):
                    found.append(process)
        return found

    def files_left(self) -> list[str]:
        """Sockets and runtime files."""
        folders = {self.place.runtime, self.place.sockets}
        return sorted(str(path) for folder in folders for path in Path(folder).glob("*"))

    def _end_leftovers(self) -> list[str]:
        """A cluster that has been told to stop gets a moment to do so; the rest is killed and named."""
        deadline = time.monotonic() + 5.0
        while self.processes_left() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        left = []
        for process in self.processes_left():
            with contextlib.suppress(psutil.NoSuchProcess):
                left.append(f"{process.pid} {' '.join(process.cmdline()) or process.name()}")
                process.send_signal(signal.SIGKILL)
                process.wait(5.0)
        return left


class ClusterOfCases(ClusterUnderTest):
    """A cluster whose handlers are tests.support.cases; the case of a pool is reached at /<pool>/<case>.

    `pools` are the [pools.…] tables as TOML, `server` further keys of [server].
    """

    def __init__(self, pools: str, server: str = "") -> None:
        routes = "\n".join(f'"/{pool}/*" = "{pool}"' for pool in tomllib.loads(pools)["pools"])
        head = f'[cluster]\nname = "{{name}}"\n\n[server]\nlisten = "http://127.0.0.1:0"\n{server}\n'
        super().__init__(f"{head}\n[routes]\n{routes}\n{pools}", name="cases", files={CASES.name: CASES.read_text()})

    def ps(self) -> dict[str, Any]:
        """As `primectl ps --json`, without the start of an interpreter: these tests ask often."""
        with ControlClient(self.place) as client:
            told: dict[str, Any] = ps_object(client.ask("GET", "/cluster", None, ClusterSnapshot, timeout_s=PATIENCE_S))
        return told

    def counter(self, process: str, name: str) -> int:
        """How often a process has counted something of that name."""
        counters = next(p["counters"] for p in self.ps()["processes"] if p["id"] == process)
        return int(counters.get(name, 0))

    def notes(self, about: str = "") -> list[str]:
        """What handlers have noted so far, in order; of it what begins with `about`."""
        file = self.folder / "notes"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if line.startswith(about)]

    def await_note(self, about: str, times: int = 1) -> str:
        """The note that so begins, once there are so many of them; the last."""
        wait_until(lambda: len(self.notes(about)) >= times, what=f"{times} x {about!r}")
        return self.notes(about)[times - 1]

    def await_pid(self, about: str, times: int = 1) -> int:
        """The process that a note of a beginning names."""
        return int(self.await_note(f"{about} begins in ", times).rpartition(" ")[2])

    def open_gate(self, name: str) -> None:
        """Let the case `gated` of that name finish."""
        (self.folder / f"gate.{name}").touch()

    def rss(self, process: str) -> int:
        """Bytes of memory that a process has now."""
        return int(psutil.Process(self.pids()[process]).memory_info().rss)

    def await_replaced(self, process: str, pid: int) -> int:
        """The pid of the process that has come for the one that had `pid`, once it is running."""

        def found() -> int:
            now = next(p for p in self.ps()["processes"] if p["id"] == process)
            return int(now["pid"]) if now["pid"] not in (0, pid) and now["state"] == "running" else 0

        return int(wait_until(found, what=f"a new {process}"))
