"""Logs: joined without a gap, followed, searched, and subscribed to only while they are open."""

from __future__ import annotations

from primectl.errors import NotFound
from primectl.wire.control import Logs, LogsQuery
from primectl.wire.stats import LogLine
from tests.screens.stage import Stage, a_stage
from tui.widgets.log_view import KEPT, LogView


def lines(*texts: str, process: str = "compute.1") -> list[LogLine]:
    return [LogLine(process, text) for text in texts]


def log(stage: Stage) -> LogView:
    return stage.console.screen.query_one(LogView)


async def open_logs(stage: Stage, *keys: str) -> None:
    await stage.press(*(keys or ("6",)))
    await stage.until(lambda: any(path == "/logs" for _, path, _ in stage.channel.asks), "the tail is asked for")
    await stage.until(lambda: stage.console.screen._early is None, "the tail has come")


async def test_logs_are_subscribed_to_only_while_they_are_open():
    async with a_stage() as stage:
        assert [feed.topics for feed in stage.channel.feeds] == [("snapshot", "event")]
        await open_logs(stage)
        assert stage.channel.feeds[1].topics == ("log",)
        await stage.press("1")
        assert stage.channel.feeds[1].closed
        assert not stage.channel.feeds[0].closed


async def test_the_tail_and_the_live_lines_join_without_a_gap():
    async with a_stage() as stage:
        stage.channel.answers["/logs"] = Logs(lines("one", "two"))
        await open_logs(stage)
        await stage.show(lines("three"))
        frame = stage.frame()
        assert frame.index("one") < frame.index("two") < frame.index("three")
        assert "3 lines   follow ON" in frame


async def test_logs_of_a_worker_show_only_its_lines():
    async with a_stage() as stage:
        await open_logs(stage, "enter", "j", "l")
        assert ("GET", "/logs", LogsQuery("compute.2", 500)) in stage.channel.asks
        await stage.show(lines("mine", process="compute.2") + lines("not mine", process="compute.20"))
        assert "mine" in stage.frame()
        assert "not mine" not in stage.frame()
        assert stage.console.screen.cli() == "primectl logs -f compute.2"


async def test_moving_up_stops_following_and_the_end_follows_again():
    async with a_stage() as stage:
        await open_logs(stage)
        await stage.show(lines(*(f"line {number}." for number in range(100))))
        assert "line 99." in stage.frame()
        await stage.press("k")
        assert "follow off" in stage.frame()
        before = stage.frame().splitlines()[2]
        await stage.show(lines("line 100."))
        assert stage.frame().splitlines()[2] == before
        await stage.press("G")
        assert "line 100." in stage.frame()
        assert "follow ON" in stage.frame()


async def test_f_stays_where_it_is_and_follows_again():
    async with a_stage() as stage:
        await open_logs(stage)
        await stage.show(lines(*(f"line {number}." for number in range(100))))
        await stage.press("f")
        await stage.show(lines(*(f"more {number}." for number in range(100))))
        assert "line 99." in stage.frame()
        assert "more" not in stage.frame()
        await stage.press("f")
        assert "more 99." in stage.frame()


async def test_a_search_counts_marks_and_walks_through_its_matches():
    async with a_stage() as stage:
        await open_logs(stage)
        await stage.show(lines(*(f"{'timeout' if number % 40 == 7 else 'fine'} {number}." for number in range(100))))
        await stage.press("slash")
        await stage.type("timeout")
        await stage.press("enter")
        assert "find 'timeout' 3" in stage.frame()
        for wanted in (7, 47, 87, 7):
            await stage.press("n")
            assert "▶" in stage.line(f"timeout {wanted}.")
        await stage.press("N")
        assert "▶" in stage.line("timeout 87.")


async def test_only_matches_can_be_shown_and_escape_shows_all_again():
    async with a_stage() as stage:
        await open_logs(stage)
        await stage.show(lines("good", "bad thing", "good"))
        await stage.press("ampersand")
        assert stage.said == ["nothing to match yet: / looks for a text"]
        await stage.press("slash")
        await stage.type("bad")
        await stage.press("enter", "ampersand")
        assert "good" not in stage.frame()
        assert "bad thing" in stage.frame()
        await stage.press("escape")
        assert "good" in stage.frame()
        assert "‹logs›" in stage.frame()


async def test_long_lines_can_be_wrapped_or_looked_along():
    async with a_stage() as stage:
        await open_logs(stage)
        await stage.show(lines("x" * 100 + "the end"))
        assert "the end" not in stage.frame()
        await stage.press("w")
        assert "the end" in stage.frame()
        await stage.press("w", "right", "right")
        assert "the end" in stage.frame()
        await stage.press("left", "left", "left")
        assert "the end" not in stage.frame()


async def test_the_tail_is_bounded_and_the_view_stays_on_its_line():
    async with a_stage() as stage:
        await open_logs(stage)
        await stage.show(lines(*(f"line {number}." for number in range(KEPT))))
        await stage.press("k")
        before = stage.frame().splitlines()[2]
        await stage.show(lines(*(f"more {number}." for number in range(10))))
        assert stage.frame().splitlines()[2] == before
        assert len(log(stage)._ring) == KEPT


async def test_a_tail_that_cannot_be_had_is_said_and_live_lines_still_come():
    async with a_stage() as stage:
        stage.channel.answers["/logs"] = NotFound("no such process")
        await open_logs(stage)
        assert "no such process" in stage.said
        await stage.show(lines("live"))
        assert "live" in stage.frame()


async def test_hostile_lines_are_shown_and_not_obeyed():
    async with a_stage() as stage:
        await open_logs(stage)
        await stage.show(lines("\x1b]52;c;ZXZpbA==\x07 [/x] 日本語 \x9b2J", process="\x1b[31m"))
        assert "␛]52;c;ZXZpbA==␇ [/x] 日本語" in stage.frame()
        assert all(char.isprintable() for char in stage.frame().replace("\n", ""))
