"""The console in a real terminal: what it leaves there, what it never writes, and a terminal that stops reading."""

from __future__ import annotations

import array
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HANG_S = 60.0
"""After this a test has failed; nothing is asserted about how fast it was."""

KNOWN_SEQUENCE = re.compile(
    rb"\x1b(?:\[[0-9;:?<>=!$\" ]*[A-Za-z~@`]|P[=+][^\x1b]*\x1b\\|[78=>cM]|\(B|_G[^\x1b]*\x1b\\|\]22;[a-z-]*\x07)"
)
"""What Textual writes: CSI, DCS queries, cursor and charset, the pointer's shape (OSC 22); no other OSC."""


class Terminal:
    """A pty with a program in it: the console on its stage, or another `command` in a folder of its own."""

    def __init__(
        self,
        *arguments: str,
        size: tuple[int, int] = (80, 24),
        command: Sequence[str] = (sys.executable, "-m", "tests.screens.pty_console"),
        folder: Path = ROOT,
        **environment: str,
    ) -> None:
        self.main, self.side = pty.openpty()
        fcntl.ioctl(self.side, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(self.side)
        self.seen = b""
        self.program = subprocess.Popen(
            [*command, *arguments],
            stdin=self.side, stdout=self.side, stderr=self.side, cwd=folder, start_new_session=True,
            env=os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | environment,
        )  # fmt: skip

    def read(self) -> bool:
        """Take in what there is; False when nothing came for a moment."""
        if not select.select([self.main], [], [], 0.2)[0]:
            return False
        self.seen += os.read(self.main, 1 << 16)
        return True

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + HANG_S
        while not condition():
            assert time.monotonic() < deadline, f"never happened: {what}\n{self.seen[-3000:]!r}"
            self.read()

    def expect(self, *texts: str) -> None:
        """Wait for texts in what is written from now on."""
        start = len(self.seen)
        self.until(lambda: all(text.encode() in self.seen[start:] for text in texts), f"{texts} on screen")

    def expect_frame(self, text: str) -> None:
        """Wait for a whole frame with a text in it: one that goes on to the last line of the screen."""
        start = len(self.seen)
        self.until(
            lambda: (at := self.seen.find(text.encode(), start)) >= 0 and b" out " in self.seen[at:],
            f"a frame with {text}",
        )

    def type(self, keys: str) -> None:
        os.write(self.main, keys.encode())

    def waiting(self) -> int:
        """Bytes that the program has written and nobody has read."""
        count = array.array("i", [0])
        fcntl.ioctl(self.main, termios.FIONREAD, count)
        return count[0]

    def ended(self) -> int:
        """Read to the end of the program; its exit code."""
        self.until(lambda: self.program.poll() is not None, "the program ends")
        while self.read():
            pass
        assert self.program.returncode is not None
        return self.program.returncode

    def is_restored(self) -> bool:
        modes = re.findall(rb"\x1b\[\?(1049|1000|1003|1006|2004|25)([hl])", self.seen)
        last: dict[bytes, bytes] = dict(modes)
        off = {mode: state for mode, state in last.items() if mode != b"25"}
        return (
            termios.tcgetattr(self.side)[:4] == self.before[:4]
            and off[b"1049"] == b"l"
            and set(off.values()) == {b"l"}
            and last[b"25"] == b"h"
        )

    def close(self) -> None:
        if self.program.poll() is None:
            self.program.kill()
        self.program.wait()
        os.close(self.main)
        os.close(self.side)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str, **how: str) -> Terminal:
        opened.append(Terminal(*arguments, **how))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_the_first_frame_appears_help_works_and_q_leaves_the_terminal_as_it_was(terminal: Callable[..., Terminal]):
    console = terminal("calm")
    console.expect("overview", "compute")
    console.type("?")
    console.expect("What can be done here")
    console.type("q")
    console.expect_frame("ADVICE")
    console.type("q")
    assert console.ended() == 0
    assert console.is_restored()
    assert b"Cluster prime keeps running. Come back: primectl tui" in console.seen


def test_after_an_exception_the_terminal_is_as_it_was_and_the_exit_code_says_so(terminal: Callable[..., Terminal]):
    console = terminal("crash")
    console.expect("overview", "compute")
    console.type("\x0c")
    assert console.ended() != 0
    assert console.is_restored()
    assert b"on purpose" in console.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(terminal: Callable[..., Terminal], number: signal.Signals):
    console = terminal("calm")
    console.expect("overview", "compute")
    console.program.send_signal(number)
    assert console.ended() == 0
    assert console.is_restored()


def test_hostile_text_never_reaches_the_terminal_as_anything_but_text(terminal: Callable[..., Terminal]):
    console = terminal("hostile")
    console.expect("overview", "EVIL")
    close = "\x03"  # not Escape: with the next key behind it that would be Alt
    for key, title in (
        ("\r", "PROCESS"), ("6", "LOGS"), ("7", "WHAT HAPPENED"), ("1", "ADVICE"), ("s", "Scale pool"),
        (close, "ADVICE"), ("4", "not recording"), ("r", "Replay"), ("\t\t\r", "replay 1"), ("1", "ADVICE"),
        ("K", "KILL broadcast"), (close, "ADVICE"), ("X", "Stop cluster"), (close, "ADVICE"),
    ):  # fmt: skip
        console.type(key)
        console.expect_frame(title)
    console.type("q")
    assert console.ended() == 0
    rest = KNOWN_SEQUENCE.sub(b"", console.seen)
    assert b"\x1b" not in rest
    assert not re.search(rb"[\x00-\x07\x0b\x0e-\x1a\x7f]", rest)
    assert "\x9b" not in rest.decode()
    assert "\u202e" not in rest.decode()
    for sequence in (b"\x1b]52", b"\x1b[31;41;5m", b"\x1b[5n"):
        assert sequence not in console.seen


def test_without_colour_no_colour_is_written(terminal: Callable[..., Terminal]):
    console = terminal("calm", NO_COLOR="1")
    console.expect("overview", "compute")
    console.type("q")
    assert console.ended() == 0
    colours = {
        found.group(1)
        for found in re.finditer(rb"\x1b\[[0-9;]*?38;2;(\d+;\d+;\d+)", console.seen)
        if len(set(found.group(1).split(b";"))) > 1
    }
    assert colours == set()


def test_a_terminal_that_stops_reading_does_not_lose_the_console(terminal: Callable[..., Terminal]):
    console = terminal("busy", "200", size=(160, 50))
    console.expect("overview", "compute")
    last = -1
    deadline = time.monotonic() + HANG_S
    while (now := console.waiting()) != last or not now:
        assert time.monotonic() < deadline, "the terminal never filled"
        last = now
        time.sleep(1.0)  # longer than a tick: what is the same after it has stopped growing
    console.type("?")
    console.expect("What can be done here")
    console.type("q")
    console.expect_frame("ADVICE")
    console.type("q")
    assert console.ended() == 0
    assert console.is_restored()
