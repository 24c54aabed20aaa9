"""The console outlives the supervisor: what it shows is stale, then live again, and its orders are carried out."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from tests.screens.stage import NARROW, Stage, StageChannel, StageClock
from tests.support.cluster import ClusterUnderTest
from tui.app import Console
from tui.feed import ClusterChannel


async def on_screen(stage: Stage, condition: Callable[[str], bool], what: str) -> None:
    for _ in range(6):  # of some ten seconds each
        try:
            await stage.until(lambda: condition(stage.frame()), what)
        except AssertionError:
            continue
        return
    await stage.until(lambda: condition(stage.frame()), what)


async def test_a_console_that_is_open_while_supervisors_come_and_go_is_live_again_and_its_orders_are_carried_out():
    with ClusterUnderTest() as cluster:
        pids = cluster.up().pids()
        console = Console(ClusterChannel(cluster.place), "prime")
        async with console.run_test(size=NARROW, notifications=True) as pilot:
            stage = Stage(console, StageChannel(), StageClock(), pilot)
            await on_screen(stage, lambda frame: "● live" in frame, "it is live")
            os.kill(pids["supervisor"], signal.SIGKILL)
            await on_screen(stage, lambda frame: "◌ stale" in frame, "it says that it is stale")
            await asyncio.to_thread(cluster.cli, "up", "-d")
            await on_screen(stage, lambda frame: "● live" in frame, "it is live again")
            await on_screen(stage, lambda frame: "took over" in frame, "what the next one has told")
            await stage.press("colon")
            await stage.type("scale compute=3")
            await stage.press("enter", "enter")
            await on_screen(stage, lambda _: any("compute" in said for said in stage.said), "the receipt")
        assert cluster.pool("compute")["target"] == 3
        assert cluster.pool("compute")["workers"] == 3
