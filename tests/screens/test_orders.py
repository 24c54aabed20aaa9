"""Orders to the cluster: what is asked before, what is sent, what is said after."""

from __future__ import annotations

import pytest

from primectl.errors import ChannelLost, CommandRefused
from primectl.wire.control import Kill, Killed, Progress, Restart, Restarted, Scale, Scaled, Stop, Stopped
from tests.screens.stage import Stage, a_stage
from tests.support.snapshots import a_cluster, a_pool

BUSY = a_cluster(a_pool("parse", busy=0, idle=4, in_flight=0), a_pool("compute", busy=2, idle=2, max_workers=9))


async def ordered(stage: Stage, *keys: str) -> None:
    await stage.press(*keys)
    await stage.until(lambda: bool(stage.channel.posts()), "an order is sent")


# --- scale ------------------------------------------------------------------------------------------------------------


async def test_scale_holds_a_value_and_sends_nothing_before_enter():
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/scale"] = Scaled("compute", 4, 7, 0.1)
        await stage.press("j", "s", "plus", "plus", "up", "minus", "plus")
        assert "Scale pool compute" in stage.frame()
        assert "primectl scale compute=7" in stage.frame()
        assert stage.channel.posts() == []
        await ordered(stage, "enter")
        assert stage.channel.posts() == [("/scale", Scale("compute", "7"))]
        await stage.until(lambda: "compute 4 → 7 workers in 100ms" in stage.said, "the receipt")


async def test_digits_type_a_size_and_equals_goes_back():
    async with a_stage(BUSY) as stage:
        await stage.press("s", "1", "2")
        assert "primectl scale parse=12" in stage.frame()
        await stage.press("backspace")
        assert "primectl scale parse=1 " in stage.frame()
        await stage.press("equals_sign")
        assert "primectl scale parse=4" in stage.frame()


async def test_an_unchanged_size_closes_the_dialog_and_sends_nothing():
    async with a_stage(BUSY) as stage:
        await stage.press("s", "enter")
        assert "Scale pool" not in stage.frame()
        await stage.press("s", "plus", "escape")
        assert "Scale pool" not in stage.frame()
        assert stage.channel.posts() == []


async def test_a_size_out_of_range_is_refused_in_the_dialog():
    async with a_stage(BUSY) as stage:
        await stage.press("j", "s", "1", "0")
        assert "at most 9" in stage.frame()
        await stage.press("enter")
        assert "Scale pool compute" in stage.frame()
        await stage.press("minus", "backspace", "backspace", "enter")
        assert "type a number" in stage.frame()
        assert stage.channel.posts() == []


async def test_a_size_never_goes_below_nothing():
    async with a_stage(BUSY) as stage:
        await stage.press("s", *["minus"] * 6)
        assert "primectl scale parse=0" in stage.frame()
        assert "its jobs wait" in stage.frame() or "leaves after its job" in stage.frame()


@pytest.mark.parametrize(
    "typed", ["scale compute 6", "scale compute=6", "scale compute=+2", "primectl scale compute +2"]
)
async def test_a_typed_scale_opens_the_dialog_with_its_value(typed: str):
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/scale"] = Scaled("compute", 4, 6, 0.1)
        await stage.press("colon")
        await stage.type(typed)
        await stage.press("enter")
        assert "primectl scale compute=6" in stage.frame()
        await ordered(stage, "enter")
        assert stage.channel.posts() == [("/scale", Scale("compute", "6"))]


# --- KILL -------------------------------------------------------------------------------------------------------------


async def test_kill_of_an_idle_pool_asks_plainly_and_cancel_has_the_focus():
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/kill"] = Killed("parse", ["a", "b"], ["a", "b"], [], 0, 0.05)
        await stage.press("K")
        assert "nothing: no job is running" in stage.frame()
        await stage.press("enter")
        assert "KILL broadcast" not in stage.frame()
        assert stage.channel.posts() == []
        await ordered(stage, "K", "tab", "enter")
        assert stage.channel.posts() == [("/kill", Kill("parse"))]
        await stage.until(lambda: "KILL acknowledged by 2 of 2 in 50ms" in stage.said, "the receipt")


async def test_kill_that_loses_jobs_wants_the_name_of_its_target():
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/kill"] = Killed("compute", ["a"], ["a"], ["a"], 2, 0.05)
        await stage.press("j", "K")
        assert "2 running jobs" in stage.frame()
        assert "type compute to go on" in stage.frame()
        await stage.type("comput")
        await stage.press("enter")
        assert "KILL broadcast to pool compute" in stage.frame()
        assert stage.channel.posts() == []
        await stage.type("e")
        await ordered(stage, "enter")
        assert stage.channel.posts() == [("/kill", Kill("compute"))]


async def test_kill_names_the_process_under_the_cursor():
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/kill"] = Killed("compute.3", ["compute.3"], ["compute.3"], [], 0, 0.05)
        await stage.press("j", "enter", "j", "j")
        await ordered(stage, "K", "tab", "enter")
        assert stage.channel.posts() == [("/kill", Kill("compute.3"))]


async def test_a_target_that_dies_while_the_question_stands_cannot_be_killed():
    async with a_stage(BUSY) as stage:
        await stage.press("K")
        await stage.show(a_cluster(a_pool("compute")))
        assert "is gone" in stage.frame()
        await stage.press("tab", "enter")
        assert stage.channel.posts() == []


async def test_kill_warns_that_the_picture_is_stale():
    async with a_stage(BUSY) as stage:
        await stage.press("K")
        stage.clock.now += 5
        await stage.settle()
        assert "the picture is stale" in stage.frame()


async def test_an_order_that_is_refused_says_why():
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/kill"] = CommandRefused("the cluster is stopping [/x]", "kill", "Wait.")
        await ordered(stage, "K", "tab", "enter")
        await stage.until(lambda: "kill: the cluster is stopping [/x]. Wait." in stage.said, "the refusal")


# --- restart ----------------------------------------------------------------------------------------------------------


async def test_restart_asks_and_sends():
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/restart"] = Restarted("parse", ["parse.1", "parse.2"], 0.5)
        await stage.press("R", "enter")
        assert stage.channel.posts() == []
        await ordered(stage, "R", "tab", "enter")
        assert stage.channel.posts() == [("/restart", Restart("parse"))]
        await stage.until(lambda: "restarted parse: 2 processes in 500ms" in stage.said, "the receipt")


# --- stop -------------------------------------------------------------------------------------------------------------


async def test_stop_asks_first_and_enter_cancels():
    async with a_stage(BUSY) as stage:
        await stage.press("X")
        assert "Stop cluster prime" in stage.frame()
        await stage.press("enter")
        assert "Stop cluster prime" not in stage.frame()
        assert stage.channel.posts() == []


async def test_stop_shows_progress_shortens_the_wait_and_ends_with_a_report():
    """1 X, confirm: POST /stop. 2 progress shows. 3 X: a shorter wait is asked. 4 X: none. 5 the report. 6 leave."""
    async with a_stage(BUSY) as stage:
        channel = stage.channel
        channel.hold.clear()
        report = Stopped("prime", 3, 0, 11, [], 1.5)

        def stopping(body: Stop, on_progress: object) -> Stopped:
            assert callable(on_progress)
            return report

        channel.answers["/stop"] = stopping
        await ordered(stage, "X", "tab", "enter")
        assert channel.posts() == [("/stop", Stop(30.0))]
        stage.console._stopping.progress = Progress("waiting for 2 requests", 3, 7)
        await stage.settle()
        assert "3 of 7" in stage.frame()
        assert "waiting for 2 requests" in stage.frame()
        await stage.press("X")
        await stage.until(lambda: len(channel.posts()) == 2, "the shorter wait is asked")
        await stage.press("X")
        await stage.until(lambda: len(channel.posts()) == 3, "no more wait is asked")
        await stage.press("X")
        assert [body for _, body in channel.posts()] == [Stop(30.0), Stop(5.0), Stop(0.0)]
        channel.hold.set()
        await stage.until(lambda: "prime is stopped after 1.5s" in stage.frame(), "the report")
        await stage.press("enter")
        assert stage.left
        assert "prime is stopped" in (stage.console.return_value or "")


async def test_progress_that_the_supervisor_sends_is_shown():
    async with a_stage(BUSY) as stage:

        def stopping(body: Stop, on_progress: object) -> Stopped:
            assert callable(on_progress)
            on_progress(Progress("draining parse", 1, 4))
            assert stage.channel.hold.wait(20)
            return Stopped("prime", 0, 0, 11, [], 0.1)

        stage.channel.answers["/stop"] = stopping
        await stage.press("X", "tab")
        stage.channel.hold.set()
        await stage.press("enter")
        await stage.until(lambda: stage.console._stopping.report is not None, "it ends")
        assert stage.console._stopping.progress == Progress("draining parse", 1, 4)


async def test_a_stop_that_was_hidden_goes_on_and_is_reported():
    async with a_stage(BUSY) as stage:
        stage.channel.hold.clear()
        stage.channel.answers["/stop"] = Stopped("prime", 0, 1, 11, ["compute.1"], 2.0)
        await ordered(stage, "X", "tab", "enter")
        await stage.press("escape")
        assert "Stopping prime" not in stage.frame()
        assert "goes on stopping" in stage.console._farewell()
        await stage.press("X")
        assert "Stopping prime" in stage.frame()
        await stage.press("escape")
        stage.channel.hold.set()
        await stage.until(lambda: "Cluster prime is stopped" in stage.frame(), "the report")
        assert "compute.1" in stage.line("by force")


async def test_a_stop_whose_supervisor_vanishes_says_so():
    async with a_stage(BUSY) as stage:
        stage.channel.answers["/stop"] = ChannelLost("no supervisor answers")
        await ordered(stage, "X", "tab", "enter")
        await stage.until(lambda: "could not be stopped" in stage.frame(), "the failure")
        assert "no supervisor answers" in stage.frame()
        assert "keeps running" in stage.console._farewell()
