"""A service manager hears of the cluster by a real datagram socket, and nobody but the supervisor speaks to it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from primectl.clock import SystemClock
from primectl.control.log import ProcessLog
from primectl.wire.control import Reloaded, ReloadOrder, Scale, Scaled
from primectl.wire.stats import ClusterState
from supervisor.notify import Notify
from supervisor.standing import Standing
from tests.support.running import eventually, running, standin_config


class Manager:
    """The end of the socket that systemd has. `heard` are the assignments in the order of their arrival."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)

    def hears(self, beginning: str) -> bool:
        while True:
            try:
                self.heard += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return any(line.startswith(beginning) for line in self.heard)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"{tmp_path}/notify" if request.param == "path" else f"@primectl-test-{os.getpid()}-{tmp_path.name}"
    manager = Manager(name)
    yield manager
    manager.close()


def test_a_service_manager_hears_that_it_is_ready_how_it_stands_and_that_it_stops(
    tmp_path: Path, manager: Manager
) -> None:
    with running(tmp_path, environ={"NOTIFY_SOCKET": manager.name}) as up:
        eventually(lambda: manager.hears("READY=1"))
        assert f"MAINPID={up.process.pid}" in manager.heard
        assert manager.heard[0].startswith("STATUS=")
        eventually(lambda: manager.hears("STATUS=4 processes, 1 pool"))
        up.ask("POST", "/scale", Scale("work", "4"), Scaled)
        eventually(lambda: manager.hears("STATUS=6 processes, 1 pool"))
        assert not manager.hears("STOPPING=1")
        assert not manager.hears("WATCHDOG=1"), "no watchdog was asked for"
        up.stop()
        assert manager.hears("STOPPING=1")
        assert manager.heard.count("READY=1") == manager.heard.count("STOPPING=1") == 1


def test_a_reload_is_told_from_its_beginning_to_its_end(tmp_path: Path, manager: Manager) -> None:
    with running(tmp_path, standin_config(spawn="fork"), environ={"NOTIFY_SOCKET": manager.name}) as up:
        eventually(lambda: manager.hears("READY=1"))
        manager.heard.clear()
        up.ask("POST", "/reload", ReloadOrder("all"), Reloaded)
        eventually(lambda: manager.hears("READY=1"))
        marks = [line.partition("=")[0] for line in manager.heard if not line.startswith("STATUS=")]
        assert marks == ["RELOADING", "MONOTONIC_USEC", "READY", "MAINPID"]
        up.stop()


def test_a_supervisor_that_takes_a_cluster_over_is_ready_too(tmp_path: Path, manager: Manager) -> None:
    with running(tmp_path) as up:
        up.process.kill()
        up.process.wait()
        with running(tmp_path, environ={"NOTIFY_SOCKET": manager.name}) as again:
            eventually(lambda: manager.hears("READY=1"))
            assert f"MAINPID={again.process.pid}" in manager.heard
            again.stop()


def test_a_watchdog_is_told_that_the_loop_goes_round_and_hears_nothing_of_one_that_hangs(
    tmp_path: Path, manager: Manager
) -> None:
    environ = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "500000"}
    with running(tmp_path, environ=environ) as up:
        for _ in range(2):
            manager.heard.clear()
            eventually(lambda: manager.hears("WATCHDOG=1"))
        up.process.send_signal(signal.SIGSTOP)
        supervisor = psutil.Process(up.process.pid)
        eventually(lambda: supervisor.status() == psutil.STATUS_STOPPED)
        manager.hears("")
        manager.heard.clear()
        assert not manager.hears("WATCHDOG=1")
        up.process.send_signal(signal.SIGCONT)
        eventually(lambda: manager.hears("WATCHDOG=1"))
        up.stop()


def test_a_watchdog_that_is_meant_for_another_process_is_left_alone(tmp_path: Path, manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with running(tmp_path, environ=environ) as up:
        eventually(lambda: up.find("work.1").rss_bytes)  # the loop has gone round
        up.stop()
        assert not manager.hears("WATCHDOG=1")


def test_what_is_started_does_not_know_the_service_manager(tmp_path: Path, manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with running(tmp_path, environ=environ) as up:
        for child in up.children():
            assert not environ.keys() & child.environ().keys()
        up.stop()


def test_a_manager_that_is_away_disturbs_nobody_and_hears_the_newest_when_it_is_back(tmp_path: Path) -> None:
    log = ProcessLog(str(tmp_path / "log"), 1 << 20, capture=False)
    notify = Notify({"NOTIFY_SOCKET": f"{tmp_path}/gone"}, SystemClock(), log)
    for number in range(3):
        notify.tell(Standing(ClusterState.RUNNING, status=f"{number} processes"))
    assert (tmp_path / "log").read_text().count("the service manager does not hear us") == 1
    manager = Manager(f"{tmp_path}/gone")
    notify.be_heard()
    assert manager.hears("READY=1")
    assert manager.heard == ["READY=1", f"MAINPID={os.getpid()}", "STATUS=2 processes"]
    notify.close()
    manager.close()
