"""Recorded requests in the console of a real cluster: seen, narrowed, sent again; and a console that is killed."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from primectl.control.client import ControlClient
from primectl.wire.stats import ClusterSnapshot
from tests.screens.stage import NARROW, Stage, StageChannel, StageClock
from tests.screens.test_pty import Terminal
from tests.support.asking import Asker
from tests.support.cluster import ClusterUnderTest, wait_until
from tests.system.test_console_reconnects import on_screen
from tui.app import Console
from tui.feed import ClusterChannel
from tui.present.runs import State


def ask(cluster: ClusterUnderTest, *targets: str) -> None:
    with Asker(cluster.url) as asker:
        for target in targets:
            asker.ask(target)


def rows(cluster: ClusterUnderTest) -> int:
    """How many requests the journal has."""
    with ControlClient(cluster.place) as client:
        return client.ask("GET", "/cluster", None, ClusterSnapshot).journal.rows


def recorded(cluster: ClusterUnderTest, number: int) -> None:
    """Wait until so many requests are in the journal."""
    wait_until(lambda: rows(cluster) == number, what=f"{number} requests are recorded")


async def test_what_was_recorded_is_seen_narrowed_sent_again_and_compared(monkeypatch: pytest.MonkeyPatch):
    with ClusterUnderTest() as cluster:
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME"):
            monkeypatch.setenv(name, cluster.environment[name])
        cluster.up()
        targets = ("/is_prime?possible_prime=7919", "/is_prime?possible_prime=abc", "/is_prime?possible_prime=8")
        await asyncio.to_thread(ask, cluster, *targets)
        await asyncio.to_thread(recorded, cluster, 3)
        console = Console(ClusterChannel(cluster.place), "prime")
        async with console.run_test(size=NARROW, notifications=True) as pilot:
            stage = Stage(console, StageChannel(), StageClock(), pilot)
            await on_screen(stage, lambda frame: "● live" in frame, "it is live")
            await stage.press("4")
            await on_screen(stage, lambda frame: "3 of 3 kept" in frame and "● recording" in frame, "the list")
            await stage.press("slash")
            await stage.type("statsu=400")
            await stage.press("enter")
            await on_screen(stage, lambda frame: 'there is no field "statsu"' in frame and "^" in frame, "the mistake")
            await stage.press("slash", *["backspace"] * len("statsu=400"))
            await stage.type("status=200")
            await stage.press("enter")
            await on_screen(stage, lambda frame: "2 of 3 kept" in frame, "what fits")
            await asyncio.to_thread(ask, cluster, "/is_prime?possible_prime=9")
            await on_screen(stage, lambda frame: "3 of 4 kept" in frame, "a new one comes by itself")
            await stage.press("enter")
            await on_screen(stage, lambda frame: "compute." in frame and "HTTP/1.1" in frame, "all of one")
            await stage.press("q", "asterisk", "r")
            await on_screen(stage, lambda frame: "Replay 3 requests" in frame, "the plan")
            await stage.press("space", "tab", "enter")
            await on_screen(stage, lambda frame: "dry run: 3 requests would be sent" in frame, "the dry run")
            await stage.press("tab", "enter")
            await on_screen(stage, lambda frame: "✓ done" in frame, "it is over")
            (run,) = console.runs
            assert run.state is State.DONE
            assert (run.progress.sent, run.progress.same) == (3, 3)
            assert all(result.hops.after for result in run.results)
            await stage.press("enter")
            await on_screen(stage, lambda frame: "the answer is the same" in frame and "replayed as" in frame, "one")
        await asyncio.to_thread(recorded, cluster, 4 + 3)


def test_a_console_that_is_killed_leaves_no_replay_behind():
    with ClusterUnderTest() as cluster:
        cluster.up()
        ask(cluster, *["/is_prime?possible_prime=7919"] * 60)
        recorded(cluster, 60)
        terminal = Terminal(command=cluster.command("tui"), folder=cluster.folder, **cluster.environment)
        try:
            terminal.expect("overview", "compute")
            terminal.type("4")
            terminal.expect("60 of 60 kept")
            terminal.type("*")
            terminal.expect("60 marked")
            terminal.type("r")
            terminal.expect("Replay 60 requests")
            terminal.type("1\t\t\r")
            terminal.expect("● running")
            wait_until(lambda: replays(terminal), what="the command is at work")
            pids = replays(terminal)
            terminal.expect(" of 60 sent")
            os.kill(terminal.program.pid, signal.SIGKILL)
            wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), what="the replay has ended")
        finally:
            terminal.close()


def replays(terminal: Terminal) -> list[int]:
    """The replays that the console has started."""
    children = psutil.Process(terminal.program.pid).children(recursive=True)
    return [child.pid for child in children if "replay" in child.cmdline()]
