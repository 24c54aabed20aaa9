"""A history of snapshots as points."""

from __future__ import annotations

import msgspec

from primectl.wire.stats import ClusterSnapshot
from tests.support.snapshots import NOON, a_cluster, a_pool
from tui.present.trends import KEPT_S, Trends, levels, spark


def at(second: float, queued: int) -> ClusterSnapshot:
    return a_cluster(a_pool(queued=queued), time=NOON + second)


def test_a_second_is_one_point_and_its_newest_snapshot_wins():
    trends = Trends()
    for second, queued in ((0.0, 1), (0.25, 2), (0.5, 3), (1.0, 4)):
        trends.fold(at(second, queued))
    assert [point.queued for point in trends.pool("compute")] == [3, 4]


def test_growth_is_measured_over_the_last_five_seconds():
    trends = Trends()
    for second in range(20):
        trends.fold(at(second, 0 if second < 10 else (second - 10) * 14))
    assert trends.growth("compute") == 14.0


def test_a_queue_that_is_known_for_a_moment_does_not_grow_yet():
    trends = Trends()
    trends.fold(at(0, 500))
    assert trends.growth("compute") == 0.0
    assert trends.growth("no such pool") == 0.0


def test_a_clock_that_steps_back_does_not_make_growth():
    trends = Trends()
    trends.fold(at(100, 5))
    trends.fold(at(10, 900))
    assert trends.growth("compute") == 0.0


def test_history_is_bounded_and_pools_that_left_are_forgotten():
    trends = Trends()
    for second in range(KEPT_S + 50):
        trends.fold(at(second, second))
    assert len(trends.pool("compute")) == KEPT_S
    trends.fold(msgspec.structs.replace(at(KEPT_S + 60, 0), pools=[]))
    assert trends.pool("compute") == ()
    assert trends.all_growth() == {}


def test_levels_scale_to_the_largest_and_nothing_is_told_from_little():
    assert levels([0, 1, 50, 100], 4) == [0, 1, 4, 8]
    assert levels([2], 3) == [-1, -1, 8]
    assert levels([1, 1], 2, floor=8) == [1, 1]
    assert levels([], 0) == []


def test_a_spark_is_as_wide_as_asked_and_missing_history_is_blank():
    assert spark([0, 4, 8], 5) == "  ▁▄█"
