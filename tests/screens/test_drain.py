"""Drain and resume from the console: what is asked before, what is sent, what is shown."""

from __future__ import annotations

import pytest
from msgspec import structs

from primectl.wire.control import Drained, DrainOrder, Resumed, ResumeOrder
from tests.screens.stage import Stage, a_stage
from tests.support.snapshots import a_cluster, a_pool

BUSY = a_cluster(a_pool("parse", busy=0, idle=4, in_flight=0), a_pool("compute", busy=2, idle=2, in_flight=2, queued=5))
DRAINED = structs.replace(BUSY, pools=[BUSY.pools[0], structs.replace(BUSY.pools[1], state="draining")])


async def ordered(stage: Stage, *keys: str) -> None:
    await stage.press(*keys)
    await stage.until(lambda: bool(stage.channel.posts()), "an order is sent")


async def test_d_asks_says_what_will_be_refused_and_sends_nothing_before_it_is_confirmed():
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/drain"] = Drained("compute", ["compute.1"], 0.25)
        await stage.press("j", "d")
        shown = stage.frame()
        assert "Drain pool compute" in shown
        assert "2 running jobs and 5 queued" in shown
        assert "answered 503" in shown
        assert "primectl drain compute" in shown
        await stage.press("enter")
        assert "Drain pool compute" not in stage.frame(), "Cancel has the focus"
        assert stage.channel.posts() == []
        await ordered(stage, "d", "tab", "enter")
        assert stage.channel.posts() == [("/drain", DrainOrder("compute"))]
        await stage.until(lambda: "compute is drained: it holds nothing any more, after 250ms" in stage.said, "receipt")


async def test_d_on_a_worker_says_who_takes_its_jobs():
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/drain"] = Drained("compute.3", ["compute.3"], 0.1)
        await stage.press("j", "enter", "j", "j", "d")
        shown = stage.frame()
        assert "Drain compute.3" in shown
        assert "the 3 other workers of compute" in shown
        await ordered(stage, "tab", "enter")
        assert stage.channel.posts() == [("/drain", DrainOrder("compute.3"))]


@pytest.mark.parametrize("typed", ["drain compute.2", "primectl drain compute.2"])
async def test_a_typed_drain_opens_the_dialog(typed: str):
    async with a_stage(BUSY) as stage:
        await stage.press("colon")
        await stage.type(typed)
        await stage.press("enter")
        assert "Drain compute.2" in stage.frame()


async def test_what_drains_already_is_not_asked_about_again():
    async with a_stage(DRAINED) as stage:
        await stage.press("j", "d")
        await stage.until(lambda: "compute takes no more jobs already" in " ".join(stage.said), "the word")
        assert "Drain pool" not in stage.frame()


@pytest.mark.parametrize("keys", [["j", "D"], ["colon", *"resume", "space", *"compute", "enter"]])
async def test_resume_asks_too_and_then_says_so(keys: list[str]):
    async with a_stage(DRAINED) as stage:
        stage.channel.answers["/resume"] = Resumed("compute", ["compute.1", "compute.2"])
        await stage.press(*keys)
        assert "Resume pool compute" in stage.frame()
        assert "the pool, and each of its 4 workers" in stage.frame()
        assert stage.channel.posts() == []
        await ordered(stage, "tab", "enter")
        assert stage.channel.posts() == [("/resume", ResumeOrder("compute"))]
        await stage.until(lambda: "compute takes jobs again" in stage.said, "the receipt")


@pytest.mark.parametrize("verb", ["drain", "resume"])
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("server.1", "server.1 cannot be drained: pools and workers can"),
        ("all", "all cannot be drained: pools and workers can"),
        ("nobody", "there is no nobody in this cluster; its pools: parse, compute"),
    ],
)
async def test_what_cannot_be_drained_is_refused_in_words(verb: str, target: str, said: str):
    async with a_stage(BUSY) as stage:
        await stage.press("colon")
        await stage.type(f"{verb} {target}")
        await stage.press("enter")
        await stage.until(lambda: said in stage.said, "the refusal")
        assert stage.channel.posts() == []


async def test_a_pool_that_drains_says_so_in_words():
    async with a_stage(DRAINED) as stage:
        rows = [line.split() for line in stage.frame().splitlines()]
        assert [row[-1] for row in rows if row[:1] == ["compute"]] == ["DRAIN"]
        assert "compute is draining, 7 jobs to finish" in stage.frame()
