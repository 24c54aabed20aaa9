"""`primectl up` in the foreground, as a container runs it: PID 1, no terminal, hardly an environment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.support.cluster import ClusterUnderTest, alive, wait_until

NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
GATED = """
import threading
from pathlib import Path
Path("importing").touch()
threading.Event().wait()
"""
FLOOD = """
import os
for _ in range(300):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
"""


class Foreground:
    """`primectl up`, what it writes, and its own process, which is PID 1 of a namespace where `prefix` makes one."""

    def __init__(self, cluster: ClusterUnderTest, prefix: list[str], environ: dict[str, str]) -> None:
        self._out, self._err = cluster.home / "out", cluster.home / "err"
        bare = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "primectl", "up"],
                cwd=cluster.folder,
                env=bare | environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self._has_namespace = bool(prefix)

    @property
    def supervisor(self) -> psutil.Process:
        started = psutil.Process(self.process.pid)
        return wait_until(started.children, what="PID 1")[0] if self._has_namespace else started

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def await_url(self) -> str:
        found = wait_until(lambda: re.search(r"is running at (\S+) ", self.err), what="the running cluster")
        return str(found[1])

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.supervisor.send_signal(number)
        return self.process.wait(30)


@contextmanager
def foreground(
    cluster: ClusterUnderTest, prefix: list[str] | None = None, environ: dict[str, str] | None = None
) -> Iterator[Foreground]:
    environ = {"TMPDIR": str(cluster.home)} if environ is None else environ
    up = Foreground(cluster, prefix or [], environ)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest() as cluster:
        yield cluster


@pytest.fixture
def namespace() -> list[str]:
    if subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("a PID namespace cannot be made here: that needs CAP_SYS_ADMIN")
    return NAMESPACE


def test_as_pid_1_it_serves_logs_to_stdout_reaps_what_is_not_its_own_and_stops_cleanly_at_sigterm(
    cluster: ClusterUnderTest, namespace: list[str]
) -> None:
    with foreground(cluster, namespace) as up:
        with urllib.request.urlopen(f"{up.await_url()}/is_prime?possible_prime=7919", timeout=30) as answer:
            assert answer.read() == b"7919"
        first = up.supervisor
        family = first.children()
        subprocess.run(["nsenter", f"--target={first.pid}", "--pid", sys.executable, "-c", FLOOD], check=True)
        wait_until(lambda: len(first.children()) == len(family), what="300 orphans reaped")
        assert all(child.status() != psutil.STATUS_ZOMBIE for child in first.children())
        assert up.end() == 0
        assert "GET /is_prime" in up.out
        assert "(pid 1)" in up.err
        assert "cluster prime stopped" in up.err
        assert not any(alive(child.pid) for child in family)


def test_as_pid_1_it_ends_at_sigterm_also_while_it_only_tries_the_handlers(
    cluster: ClusterUnderTest, namespace: list[str]
) -> None:
    (cluster.folder / "gated.py").write_text(GATED)
    cluster.file.write_text(cluster.file.read_text().replace("primectl.handlers.prime:parse", "gated:f"))
    with foreground(cluster, namespace) as up:
        wait_until((cluster.folder / "importing").exists)
        assert up.end() == 128 + signal.SIGTERM


def test_it_needs_neither_home_nor_xdg_variables_nor_a_terminal(cluster: ClusterUnderTest) -> None:
    with foreground(cluster) as up:
        up.await_url()
        assert (cluster.home / ".local" / "state" / "primectl" / "prime" / "logs" / "server.1.log").exists()
        assert up.end() == 0
        assert "\x1b" not in up.out


def test_a_home_that_cannot_be_written_is_no_obstacle_where_the_state_has_a_folder(cluster: ClusterUnderTest) -> None:
    places = {"XDG_RUNTIME_DIR": str(cluster.home / "run"), "HOME": "/proc"}
    with foreground(cluster, environ=places) as up:
        assert up.process.wait(30) == 2
        assert up.err.startswith("/proc/.local/state/primectl/prime/logs: the folder for logs cannot be made: ")
        assert up.err.endswith(". Set XDG_STATE_HOME to a folder of your own\n")
    with foreground(cluster, environ={**places, "XDG_STATE_HOME": str(cluster.home / "state")}) as up:
        up.await_url()
        assert up.end() == 0


def test_its_exit_status_tells_a_start_that_failed_from_a_config_that_is_wrong(cluster: ClusterUnderTest) -> None:
    sound = cluster.file.read_text()
    (cluster.folder / "broken.py").write_text("raise RuntimeError('no database')\n")
    for handler, status in (("broken:f", 1), ("primectl.handlers.prime:nothing", 2)):
        cluster.file.write_text(sound.replace("primectl.handlers.prime:parse", handler))
        with foreground(cluster) as up:
            assert up.process.wait(30) == status
            assert up.err != ""
