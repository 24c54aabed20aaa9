"""Reload from the console: what is asked before, what is sent, what is shown."""

from __future__ import annotations

import pytest

from primectl.errors import CommandRefused
from primectl.wire.control import Reloaded, ReloadOrder
from tests.screens.stage import a_stage
from tests.support.snapshots import a_cluster, a_pool

CLUSTER = a_cluster(a_pool("parse", busy=0, idle=1, in_flight=0), a_pool("compute", busy=2, idle=2, in_flight=2))


async def test_l_asks_says_what_happens_and_sends_nothing_before_it_is_confirmed():
    async with a_stage(CLUSTER) as stage:
        stage.channel.answers["/reload"] = Reloaded("compute", ["compute.1", "compute.2"], 1.5)
        await stage.press("j", "L")
        shown = stage.frame()
        assert "Reload pool compute" in shown
        assert "4 workers, each after its job" in shown
        assert "the old code stays, and the error is shown" in shown
        assert "primectl reload compute" in shown
        await stage.press("enter")
        assert "Reload pool compute" not in stage.frame(), "Cancel has the focus"
        assert stage.channel.posts() == []
        await stage.press("L", "tab", "enter")
        await stage.until(lambda: bool(stage.channel.posts()), "an order is sent")
        assert stage.channel.posts() == [("/reload", ReloadOrder("compute"))]
        await stage.until(lambda: "compute runs the new code: 2 workers in 1.5s" in stage.said, "the receipt")


async def test_on_a_worker_it_is_about_its_pool():
    async with a_stage(CLUSTER) as stage:
        await stage.press("j", "enter", "j", "L")
        assert "Reload pool compute" in stage.frame()


@pytest.mark.parametrize(
    ("typed", "heading"), [("reload parse", "Reload pool parse"), ("reload all", "Reload every pool")]
)
async def test_a_typed_reload_opens_the_dialog(typed: str, heading: str):
    async with a_stage(CLUSTER) as stage:
        await stage.press("colon")
        await stage.type(typed)
        await stage.press("enter")
        assert heading in stage.frame()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("compute.1", "compute.1 cannot be reloaded by itself: pools can"),
        ("nobody", "there is no nobody in this cluster; its pools: parse, compute"),
    ],
)
async def test_what_cannot_be_reloaded_is_refused_in_words(target: str, said: str):
    async with a_stage(CLUSTER) as stage:
        await stage.press("colon")
        await stage.type(f"reload {target}")
        await stage.press("enter")
        await stage.until(lambda: said in stage.said, "the refusal")
        assert stage.channel.posts() == []


async def test_the_error_of_new_code_that_fails_is_shown_with_the_end_of_its_traceback():
    async with a_stage(CLUSTER) as stage:
        lines = ["Traceback …", "NameError: name 'x' is not defined"]
        stage.channel.answers["/reload"] = CommandRefused(
            "the new code cannot be imported", "reload compute", "", lines
        )
        await stage.press("j", "L", "tab", "enter")
        await stage.until(lambda: any("NameError: name 'x'" in said for said in stage.said), "the error")
