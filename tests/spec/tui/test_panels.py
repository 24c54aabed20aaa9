"""The lines around the tables, the charts, and the picture behind them."""

from __future__ import annotations

import pytest

from primectl.wire.stats import ClusterState, EventPublished, JournalSnapshot, LogLine, Role, SnapshotPublished
from tests.support.snapshots import NOON, a_cluster, a_pool, a_process, an_event
from tui.present.advice import Advice
from tui.present.charts import chart, round_up
from tui.present.clean import cells
from tui.present.panels import (
    advice_lines,
    alarms,
    event_lines,
    freshness,
    front_lines,
    one_line,
    rule,
    spread,
    status_line,
    worker_lines,
    wrap,
)
from tui.present.picture import Picture
from tui.present.tables import Part, Tone, plain
from tui.present.tail import join, level_tone, mark, matches, names, row
from tui.present.units import count


def a_picture(*messages: SnapshotPublished | EventPublished) -> Picture:
    picture = Picture()
    for message in messages or (SnapshotPublished(a_cluster()),):
        picture.fold(message, now=10.0, wall=NOON)
    return picture


# --- the picture ------------------------------------------------------------------------------------------------------


def test_a_picture_without_data_is_stale_and_has_no_age():
    assert (Picture().age_s(5.0), Picture().stale(5.0), Picture().known) == (None, True, False)


def test_a_picture_grows_stale_two_seconds_after_its_snapshot():
    picture = a_picture()
    assert picture.age_s(10.3) == pytest.approx(0.3)
    assert not picture.stale(11.9)
    assert picture.stale(12.1)


def test_a_snapshot_that_waited_in_a_queue_is_as_old_as_it_says():
    picture = Picture()
    picture.fold(SnapshotPublished(a_cluster(time=NOON - 9)), now=10.0, wall=NOON)
    assert picture.stale(10.0)


def test_events_are_kept_once_newest_first():
    picture = a_picture(EventPublished(an_event(2)))
    picture.add_events([an_event(1), an_event(2)])
    picture.fold(EventPublished(an_event(3)), 10.0, NOON)
    assert [event.number for event in picture.events] == [3, 2, 1]


# --- status -----------------------------------------------------------------------------------------------------------


def test_freshness_cannot_be_mistaken():
    assert freshness(0.34, 9.0) == Part("● live 0.3s", Tone.GOOD)
    assert freshness(4.12, 9.0) == Part("◌ stale 4.1s", Tone.BAD)
    assert freshness(None, 0.5).text == "◌ no data 0.5s"


def test_the_status_line_names_cluster_age_state_and_alarms():
    picture = a_picture(SnapshotPublished(a_cluster(a_pool(failed_workers=1), state=ClusterState.STOPPING)))
    line = plain(status_line(picture, "prime", 0.3, 9.0, NOON, 80))
    assert line.startswith(" primectl  prime  ● live 0.3s  STOPPING  up 4d02h")
    assert "▲ 1 alarm" in line
    assert cells(line) == 80


def test_alarms_count_pools_and_other_processes_that_failed():
    picture = a_picture(
        SnapshotPublished(
            a_cluster(a_pool("a", failed_workers=2), a_pool("b"), processes=[a_process("server.1", state="failed")])
        )
    )
    assert alarms(picture) == 2


def test_a_journal_that_is_stopped_is_an_alarm_and_a_fact_once():
    journal = JournalSnapshot(state="stopped", trouble="the recorder has failed", dropped=1204)
    recorder = a_process("recorder", role=Role.RECORDER, pool="", state="failed")
    picture = a_picture(SnapshotPublished(a_cluster(a_pool(), processes=[recorder], journal=journal)))
    assert alarms(picture) == 1
    line = plain(front_lines(picture, 120)[1])
    assert "journal stopped" in line
    assert "rows dropped 1204" in line


def test_a_journal_that_is_well_is_no_fact_of_the_servers():
    picture = a_picture(SnapshotPublished(a_cluster(a_pool(), journal=JournalSnapshot(state="recording", rows=9))))
    assert alarms(picture) == 0
    assert "journal" not in plain(front_lines(picture, 160)[1])


def test_before_any_data_no_figure_is_shown():
    assert not any(char.isdigit() for line in front_lines(Picture(), 80) for char in plain(line))


@pytest.mark.parametrize("width", [20, 60, 80, 160])
def test_facts_about_the_servers_are_left_out_whole(width: int):
    second = plain(front_lines(a_picture(), width)[1])
    assert cells(second) <= max(width, cells(" SERVER http://127.0.0.1:8002"))
    assert "…" not in second


def test_the_smallest_screen_names_the_pool_that_needs_attention():
    cluster = a_cluster(
        a_pool("parse", utilisation=0.9), a_pool("route", queued=198, busy=4, idle=0, utilisation=0.8, arrival_rate=900)
    )
    assert plain(one_line(cluster, {"route": 14.0})) == "prime: route 198 +14/s SLOW"


# --- panels -----------------------------------------------------------------------------------------------------------


def test_both_ends_of_a_line_stay_apart_or_the_right_one_goes():
    assert plain(spread((Part("left"),), (Part("right"),), 12)) == "left   right"
    assert plain(spread((Part("left"),), (Part("right"),), 9)) == "left"


def test_a_rule_is_as_wide_as_asked():
    assert [cells(plain(rule(width, "EVENTS"))) for width in (12, 80)] == [12, 80]


def test_advice_is_wrapped_at_words_and_ends_with_its_remedy():
    lines = [plain(line) for line in advice_lines(Advice("one two three four five six", "s scale"), 30)]
    assert lines == [" ADVICE  one two three four", "         five six     s scale "]


def test_wrapping_never_passes_its_room():
    assert wrap("aaa bbb ccc ddd", 7, 2) == ["aaa bbb", "ccc ddd"]
    assert wrap("unbreakable", 5, 2) == ["unbr…"]


def test_events_are_cut_to_the_width_with_who_asked_for_it_kept():
    line = plain(event_lines([an_event(text="x" * 200)], 60, 3)[0])
    assert cells(line) == 60
    assert line.endswith("… (ana) ")


def test_more_workers_than_room_are_counted():
    lines = worker_lines([a_process(f"c.{number}") for number in range(500)], 80, 3)
    assert len(lines) == 3
    assert plain(lines[1]).endswith(f" +{500 - 148}")
    assert "500 idle" in plain(lines[2])
    assert all(cells(plain(line)) <= 80 for line in lines)


def test_a_chart_has_three_tones_a_scale_and_a_ground_line():
    lines = chart([0, 5, 10], 16, 3, count, least=10)
    assert [plain(line) for line in lines] == ["   10┤         █", "     │        ▄█", "    0┤       ▁██"]
    assert len({line[1].tone for line in lines}) == 3
    assert chart([1], 5, 3, count) == []


def test_scales_are_numbers_that_people_read():
    assert [round_up(value) for value in (0, 0.7, 1, 7, 9, 118, 907)] == [1, 0.8, 1, 8, 10, 200, 1000]


# --- logs -------------------------------------------------------------------------------------------------------------


def a_log(*texts: str) -> list[LogLine]:
    return [LogLine("compute.1", text) for text in texts]


def test_a_tail_and_live_lines_join_without_a_gap_or_a_double():
    assert join(a_log("a", "b", "c"), a_log("b", "c", "d")) == a_log("a", "b", "c", "d")
    assert join(a_log("a"), a_log("b")) == a_log("a", "b")
    assert join([], a_log("b")) == a_log("b")
    assert join(a_log("a", "a"), a_log("a", "a", "a")) == a_log("a", "a", "a")


def test_a_target_names_all_a_pool_or_a_process():
    assert [names(target, "compute.1") for target in ("", "all", "compute", "compute.1", "compute.10", "comp")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


def test_a_log_line_is_cleaned_and_bounded():
    text = plain(row(LogLine("a\x1b", "\x1b[31mred" + "x" * 9000), 6))
    assert text.startswith("a␛     │ ␛[31mred")
    assert len(text) < 4100


def test_small_letters_find_both_and_capitals_only_themselves():
    line = LogLine("compute.1", "Timeout after 30 s")
    assert [matches(line, wanted) for wanted in ("timeout", "Timeout", "TIMEOUT", "compute.1", "")] == [
        True, True, False, True, False,
    ]  # fmt: skip


def test_matches_are_marked_where_they_are():
    assert mark((Part("a Timeout b", Tone.BAD),), "timeout") == (
        Part("a ", Tone.BAD), Part("Timeout", Tone.MATCH), Part(" b", Tone.BAD),
    )  # fmt: skip
    assert mark((Part("İx", Tone.BAD),), "x") == (Part("İx", Tone.BAD),)


def test_a_level_is_read_from_the_beginning_of_a_line():
    assert [level_tone(text) for text in ("12:00 ERROR x", "warning: y", "fine")] == [Tone.BAD, Tone.WARN, Tone.PLAIN]
