"""What commands do on a terminal, seen through a pty."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from tests.support.cluster import PATIENCE_S, ClusterUnderTest


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest() as cluster:
        yield cluster.up()


class Terminal:
    """A command on a terminal of 100x30."""

    def __init__(self, cluster: ClusterUnderTest, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = cluster.spawn(*words, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown = ""

    def until(self, text: str) -> None:
        """Read on until `text` was shown."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown:\n{self.shown}"
            assert self.read(1.0), f"{text!r} was not shown:\n{self.shown}"

    def end(self) -> int:
        """Read all that comes until the command has ended; its exit code."""
        while self.read(PATIENCE_S):
            pass
        os.close(self._ours)
        return self.process.wait(PATIENCE_S)

    def read(self, patience_s: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], patience_s)
        if not ready:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # EIO: the other end is closed
            return False
        self.shown += data.decode()
        return bool(data)


def test_tables_are_in_colour_unless_no_color_forbids_it(cluster: ClusterUnderTest) -> None:
    terminal = Terminal(cluster, "ps")
    assert terminal.end() == 0
    assert "\x1b[32mrunning\x1b[0m" in terminal.shown
    cluster.environment["NO_COLOR"] = "1"
    try:
        plain = Terminal(cluster, "ps")
        assert plain.end() == 0
        assert "\x1b" not in plain.shown
    finally:
        del cluster.environment["NO_COLOR"]


def test_top_redraws_in_place_and_gives_the_screen_back_on_ctrl_c(cluster: ClusterUnderTest) -> None:
    terminal = Terminal(cluster, "top")
    terminal.until("compute.2")
    first = terminal.shown.count("\x1b[H")
    while terminal.shown.count("\x1b[H") < first + 2:
        terminal.until("\x1b[H")
        assert terminal.read(PATIENCE_S)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert terminal.shown.startswith("\x1b[?1049h\x1b[?25l")
    assert terminal.shown.endswith("\x1b[?25h\x1b[?1049l")
    assert "Traceback" not in terminal.shown


def test_scale_leaves_only_its_result_on_the_terminal(cluster: ClusterUnderTest) -> None:
    terminal = Terminal(cluster, "scale", "compute=12")
    assert terminal.end() == 0
    assert terminal.shown.rstrip().rpartition("\x1b[K")[2].startswith("compute: 2 -> 12 workers in ")
    cluster.cli("scale", "compute=2")


def test_a_request_cannot_steer_the_terminal_through_the_log(cluster: ClusterUnderTest) -> None:
    with open(cluster.place.log_file("compute.1"), "a") as log:
        log.write("2026-01-01T12:00:00.000Z INFO \x1b]52;c;ZXZpbA==\x07\x1b[2J\n")
    terminal = Terminal(cluster, "logs", "compute.1")
    assert terminal.end() == 0
    assert "␛]52;c;ZXZpbA==␇␛[2J" in terminal.shown
    assert "\x1b]52" not in terminal.shown


def test_interrupting_a_command_says_nothing(cluster: ClusterUnderTest) -> None:
    terminal = Terminal(cluster, "logs", "-f", "-n", "1")
    terminal.until("\n")
    before = terminal.shown
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert terminal.shown == before


def test_completion_offers_the_commands(cluster: ClusterUnderTest) -> None:
    asked = {
        **cluster.environment,
        "_PRIMECTL_COMPLETE": "complete_bash",
        "COMP_WORDS": "primectl sc",
        "COMP_CWORD": "1",
    }
    told = subprocess.run(cluster.command(), env=asked, capture_output=True, text=True, check=False)
    assert set(told.stdout.split()) == {"schema", "scale"}
