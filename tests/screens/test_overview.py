"""The overview, and what every screen shares: status, freshness, sizes, hostile text."""

from __future__ import annotations

import msgspec
import pytest

from primectl.wire.stats import ClusterSnapshot, ClusterState, OperationSnapshot
from tests.screens.stage import NARROW, WIDE, a_stage
from tests.support.snapshots import NOON, a_cluster, a_pool, an_event
from tui.present.clean import cells

TWO_POOLS = a_cluster(a_pool("parse"), a_pool("compute", busy=4, idle=0, queued=198, utilisation=0.99))
HOSTILE = "\x1b]52;c;ZXZpbA==\x07[/x] [b]bold \u202eevil 日本語 e\u0301"


def later(snapshot: ClusterSnapshot, seconds: float) -> ClusterSnapshot:
    return msgspec.structs.replace(snapshot, time=NOON + seconds)


async def test_the_overview_tells_state_queues_workers_and_what_to_do():
    async with a_stage(TWO_POOLS) as stage:
        await stage.show(an_event(1, text="2 → 4 workers"))
        assert "● live 0.0s" in stage.line("primectl")
        assert "http://127.0.0.1:8002" in stage.line("SERVER")
        assert "198" in stage.line("  compute ")
        assert "4b 0i" in stage.line("  compute ")
        assert "▶ parse" in stage.frame()
        assert "■□□□" in stage.frame()
        assert "ADVICE  compute" in stage.frame()
        assert "2 → 4 workers" in stage.frame()
        assert "s scale" in stage.frame().splitlines()[-1]


async def test_what_is_under_way_stands_in_the_rule_above_the_advice():
    order = OperationSnapshot(number=12, kind="scale", target="compute", wish="64", operator="ana", text="17 of 64")
    async with a_stage(a_cluster(operations=[order])) as stage:
        assert stage.line("── 12 scale compute -> 64 by ana: 17 of 64 ──").endswith("─")


async def test_the_strip_is_that_of_the_pool_under_the_cursor():
    async with a_stage(TWO_POOLS) as stage:
        await stage.press("j")
        assert "WORKERS  compute" in stage.frame()
        assert "■■■■" in stage.frame()


async def test_a_wide_screen_adds_charts_and_the_workers_of_the_pool():
    async with a_stage(TWO_POOLS, WIDE) as stage:
        await stage.press("j")
        assert "QUEUE  compute" in stage.frame()
        assert "DONE/s  compute" in stage.frame()
        assert "compute.4" in stage.frame()
        await stage.press("tab", "j", "K")
        assert "KILL broadcast to compute.2" in stage.frame()


@pytest.mark.parametrize("size", [NARROW, WIDE, (60, 15), (40, 10), (120, 30), (20, 6), (30, 2), (200, 60)])
async def test_no_size_is_refused(size: tuple[int, int]):
    async with a_stage(TWO_POOLS, size) as stage:
        frame = stage.frame()
        assert "compute" in frame
        assert all(cells(line) <= size[0] for line in frame.splitlines())


async def test_a_screen_of_a_line_names_the_pool_that_hurts():
    async with a_stage(TWO_POOLS, (40, 1)) as stage:
        assert stage.frame().strip() == "prime: compute 198 0/s ok"


async def test_every_screen_survives_every_size():
    async with a_stage(TWO_POOLS) as stage:
        for key in ("1", "3", "6", "7"):
            await stage.press(key)
            for width, height in ((10, 3), (160, 50), (60, 15), (1, 1), (80, 24)):
                await stage.resize(width, height)
                assert all(cells(line) <= width for line in stage.frame().splitlines())


async def test_before_any_data_nothing_is_claimed():
    async with a_stage(empty=True) as stage:
        assert "◌ no data" in stage.frame()
        assert "Waiting for the first word" in stage.frame()
        stage.clock.now += 5
        await stage.settle()
        assert "◌ no data 5.0s" in stage.frame()
        assert "No word from the supervisor for 5.0s" in stage.frame()


async def test_an_old_picture_is_not_shown_as_live_and_comes_back_by_itself():
    async with a_stage(TWO_POOLS) as stage:
        live = stage.console.screen.query_one("#pools")._style("plain", False)
        stage.clock.now += 4.1
        await stage.settle()
        assert "◌ stale 4.1s" in stage.line("primectl")
        assert "No word from the supervisor" in stage.frame()
        assert stage.console.screen.query_one("#pools")._style("plain", False).color != live.color
        await stage.show(later(TWO_POOLS, 4.1))
        assert "● live 0.0s" in stage.line("primectl")
        assert stage.console.screen.query_one("#pools")._style("plain", False).color == live.color


async def test_a_snapshot_that_waited_in_a_queue_is_not_shown_as_live():
    async with a_stage(TWO_POOLS) as stage:
        stage.clock.now += 60
        await stage.show(later(TWO_POOLS, 20))
        assert "◌ stale 40.0s" in stage.line("primectl")


async def test_a_cluster_without_pools_is_shown():
    async with a_stage(a_cluster(pools=[], processes=[])) as stage:
        assert "no pools yet" in stage.frame()
        assert "The cluster has no pools." in stage.frame()


async def test_a_cluster_that_starts_says_what_it_waits_for():
    async with a_stage(a_cluster(state=ClusterState.STARTING, progress="compute.3 is not ready")) as stage:
        assert "STARTING" in stage.line("primectl")
        assert "The cluster is starting: compute.3 is not ready" in stage.frame()


async def test_hostile_text_is_shown_and_not_obeyed_on_every_screen():
    evil = a_cluster(a_pool(HOSTILE, queued=9, failed_workers=1), cluster=HOSTILE, progress=HOSTILE)
    async with a_stage(evil) as stage:
        await stage.show(an_event(1, text=HOSTILE, subject=HOSTILE, kind=HOSTILE, operator=HOSTILE))
        views = ["1", "enter", "l", "7", "3", "question_mark", "escape", "1"]
        dialogs = [key for dialog in "sKRX" for key in (dialog, "escape")]
        for key in views + dialogs:
            await stage.press(key)
            assert all(char.isprintable() for char in stage.frame().replace("\n", ""))
        assert stage.said == []
        await stage.press("1")
        assert "␛]52" in stage.frame()
        assert "[/x]" in stage.frame()


async def test_a_thousand_workers_are_counted_and_can_be_walked_through():
    many = a_cluster(a_pool("big", target=1000, workers=1000, busy=600, idle=400, max_workers=4096))
    async with a_stage(many) as stage:
        assert "1000 600b 400i" in stage.frame()
        await stage.press("enter")
        assert "600 busy" in stage.frame()
        await stage.press("G")
        assert "▶ big.1000" in stage.frame()
        assert "┃" in stage.frame()


async def test_without_colour_the_cursor_and_every_state_still_show(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    pool = a_pool(workers=5, busy=1, idle=1, starting=1, draining=1, failed_workers=1)
    async with a_stage(a_cluster(pool)) as stage:
        assert stage.console.no_color
        assert "■□◇▽✗" in stage.frame()
        assert "▶ compute" in stage.frame()
        assert "DEAD1" in stage.frame()


async def test_only_lines_that_changed_are_painted_again():
    async with a_stage(TWO_POOLS) as stage:
        table = stage.console.screen.query_one("#pools")
        painted: list[object] = []
        refresh = table.refresh
        table.refresh = lambda *regions, **how: painted.extend(regions) or refresh(*regions, **how)
        await stage.show(later(TWO_POOLS, 0.25))
        assert painted == []
        changed = a_cluster(a_pool("parse"), a_pool("compute", busy=4, idle=0, queued=7, utilisation=0.99))
        await stage.show(later(changed, 0.5))
        assert [region.y for region in painted] == [2]


async def test_a_notice_is_shown_at_the_start():
    async with a_stage(notice="No cluster was running: started [prime]") as stage:
        assert [n.message for n in stage.console._notifications] == ["No cluster was running: started [prime]"]
