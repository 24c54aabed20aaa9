"""The cursor belongs to a row's id; sorting, filtering, going in and out."""

from __future__ import annotations

from tests.screens.stage import Stage, a_stage
from tests.support.snapshots import a_cluster, a_pool, a_process, an_event
from tui.widgets.live_table import SORT_HELD_S, LiveTable


def table(stage: Stage) -> LiveTable:
    found = stage.console.screen.query(LiveTable).first()
    assert isinstance(found, LiveTable)
    return found


def pools(*names: str, **changes: int) -> object:
    return a_cluster(*(a_pool(name, queued=changes.get(name, 0)) for name in names))


async def test_the_cursor_stays_with_its_row_when_rows_move():
    async with a_stage(pools("a", "b", "c")) as stage:
        await stage.press("j")
        assert table(stage).cursor == "b"
        stage.clock.now += SORT_HELD_S
        await stage.show(pools("x", "y", "b", "a", "c"))
        assert table(stage).cursor == "b"
        assert "▶ b" in stage.frame()


async def test_when_its_row_is_gone_the_cursor_is_on_nothing_and_actions_are_refused():
    async with a_stage(pools("a", "b", "c")) as stage:
        await stage.press("j")
        await stage.show(pools("a", "c"))
        assert (table(stage).cursor, table(stage).gone) == ("", "b")
        assert "▶" not in stage.frame()
        await stage.press("K")
        assert stage.said == ["b is gone; move the cursor to choose another"]
        assert "KILL broadcast" not in stage.frame()
        await stage.press("j")
        assert table(stage).cursor == "c"


async def test_rows_keep_their_places_for_a_while_after_a_move():
    async with a_stage(pools("a", "b", "c", a=1, b=2, c=3)) as stage:
        await stage.press("greater_than_sign", "greater_than_sign")
        assert table(stage)._order == ["c", "b", "a"]
        assert "QUEUE▼" in stage.frame()
        await stage.press("k")
        await stage.show(pools("a", "b", "c", "d", a=9, b=2, c=3, d=99))
        assert table(stage)._order == ["c", "b", "a", "d"]
        assert "sort held" in stage.frame()
        stage.clock.now += SORT_HELD_S
        await stage.show(pools("a", "b", "c", "d", a=9, b=2, c=3, d=99))
        assert table(stage)._order == ["d", "a", "c", "b"]
        assert table(stage).cursor == "b"


async def test_sorting_walks_through_the_columns_and_turns_round():
    async with a_stage(pools("b", "a", "c")) as stage:
        await stage.press("greater_than_sign")
        assert table(stage)._order == ["a", "b", "c"]
        await stage.press("O")
        assert table(stage)._order == ["c", "b", "a"]
        await stage.press("less_than_sign")
        assert "▲" not in stage.frame()
        assert "▼" not in stage.frame()


async def test_a_filter_narrows_while_it_is_typed_and_escape_takes_it_away_before_going_back():
    async with a_stage(pools("parse", "compute", "render")) as stage:
        await stage.press("slash")
        await stage.type("comp")
        assert table(stage)._order == ["compute"]
        await stage.press("enter")
        assert "1 of 3   filter 'comp'" in stage.frame()
        await stage.press("escape")
        assert len(table(stage)._order) == 3


async def test_leaving_the_filter_line_takes_the_filter_away():
    async with a_stage(pools("parse", "compute")) as stage:
        await stage.press("slash")
        await stage.type("zzz")
        assert "nothing holds 'zzz'" in stage.frame()
        await stage.press("escape")
        assert len(table(stage)._order) == 2


async def test_enter_goes_in_and_q_comes_back_step_by_step():
    async with a_stage(pools("parse", "compute")) as stage:
        await stage.press("j", "enter")
        assert "‹workers› ‹compute›" in stage.frame()
        assert "proxy" not in stage.frame()
        await stage.press("j", "enter")
        assert "‹logs› ‹compute.2›" in stage.frame()
        await stage.press("q")
        assert "‹workers› ‹compute›" in stage.frame()
        assert table(stage).cursor == "compute.2"
        await stage.press("escape")
        assert "‹overview›" in stage.frame()
        assert not stage.left


async def test_number_keys_open_screens_and_minus_goes_to_the_last_one():
    async with a_stage() as stage:
        for key, name in (("3", "workers"), ("6", "logs"), ("7", "events"), ("1", "overview")):
            await stage.press(key)
            assert f"‹{name}›" in stage.frame()
        await stage.press("minus")
        assert "‹events›" in stage.frame()
        await stage.press("minus")
        assert "‹overview›" in stage.frame()


async def test_all_processes_are_shown_when_no_pool_was_chosen():
    async with a_stage() as stage:
        await stage.press("3")
        for name in ("supervisor", "server.1", "proxy.compute", "compute.4"):
            assert name in stage.frame()


async def test_a_worker_that_holds_a_job_for_long_or_is_silent_is_marked():
    cluster = a_cluster(
        a_pool(),
        processes=[a_process("compute.1", busy=True, job_s=9.94), a_process("compute.2", heartbeat_age_s=6.1)],
    )
    async with a_stage(cluster) as stage:
        await stage.press("3")
        assert "9.9s!" in stage.line("compute.1")
        assert "6.1!" in stage.line("compute.2")


async def test_pages_ends_and_lines_move_the_cursor():
    async with a_stage(a_cluster(a_pool(busy=0, idle=60, workers=60, target=60))) as stage:
        await stage.press("enter")
        for key, at in (("G", 60), ("g", 1), ("down", 2), ("up", 1), ("end", 60), ("home", 1), ("k", 1)):
            await stage.press(key)
            assert table(stage).cursor == f"compute.{at}"
        await stage.press("pagedown")
        first = table(stage).cursor
        assert first not in ("compute.1", "compute.60")
        await stage.press("pageup", "ctrl+d", "ctrl+d", "ctrl+u", "ctrl+u")
        assert table(stage).cursor == "compute.1"


async def test_a_click_moves_the_cursor_a_second_one_opens_and_a_title_sorts():
    async with a_stage(pools("parse", "compute")) as stage:
        await stage.pilot.click("#pools", offset=(5, 2))
        await stage.settle()
        assert table(stage).cursor == "compute"
        await stage.pilot.click("#pools", offset=(4, 0))
        await stage.settle()
        assert table(stage)._order == ["compute", "parse"]
        await stage.pilot.click("#pools", offset=(5, 1))
        await stage.settle()
        assert "‹workers› ‹compute›" in stage.frame()


async def test_events_stand_newest_first_and_old_ones_are_asked_for():
    async with a_stage() as stage:
        await stage.show(an_event(1, text="first"), an_event(2, text="second"))
        await stage.press("7")
        lines = [line for line in stage.frame().splitlines() if "scaled" in line]
        assert ["second" in lines[0], "first" in lines[1]] == [True, True]
        assert [path for method, path, _ in stage.channel.asks if method == "GET"] == ["/events"]
