"""Samples to rates and percentiles, across restarts."""

import pytest
from msgspec import structs

from primectl.wire.histogram import Histogram
from primectl.wire.stats import PoolSnapshot, ProxySample, ServerSample, WorkerLoad
from supervisor.aggregate import FrontFigures, PoolFigures, is_sound

BASE = PoolSnapshot(name="compute", target=2, workers=2)


def proxy(done=0, *, arrived=0, service_s=0.0, latency=(), queued=0, failed=0, loads=()):
    return ProxySample(queued, 0, 0.5, arrived, done, failed, 0, service_s, list(latency), list(loads))


def server(requests=0, *, classes=(0,) * 6, latency=(), in_flight=0):
    return ServerSample(3, in_flight, requests, list(classes), list(latency))


def latencies(*seconds):
    histogram = Histogram()
    for duration in seconds:
        histogram.add(duration)
    return histogram.to_list()


def test_a_rate_is_the_difference_of_two_samples_over_the_time_between():
    figures = PoolFigures()
    for quarter in range(9):
        figures.add(1, proxy(done=10 * quarter, arrived=20 * quarter), now=quarter / 4)
    shown = figures.snapshot(BASE, now=2.0)
    assert (shown.done, shown.rate, shown.arrival_rate) == (80, 40.0, 80.0)


def test_a_rate_looks_back_two_seconds_only():
    figures = PoolFigures()
    for second, done in enumerate([0, 1000, 1000, 1000, 1010]):
        figures.add(1, proxy(done=done), now=float(second))
    assert figures.snapshot(BASE, now=4.0).rate == 5.0


def test_one_sample_makes_no_rate():
    figures = PoolFigures()
    figures.add(1, proxy(done=500), now=1.0)
    assert figures.snapshot(BASE, now=1.0).rate == 0.0


def test_without_news_there_is_no_rate():
    figures = PoolFigures()
    figures.add(1, proxy(done=0), now=0.0)
    figures.add(1, proxy(done=100), now=1.0)
    assert figures.snapshot(BASE, now=3.5).rate == 0.0


def test_done_never_steps_back_because_a_proxy_was_restarted():
    figures = PoolFigures()
    figures.add(1, proxy(done=100, failed=3), now=0.0)
    figures.proxy_gone()
    assert figures.snapshot(BASE, now=0.5).done == 100
    figures.add(2, proxy(done=5, failed=1), now=1.0)
    shown = figures.snapshot(BASE, now=1.0)
    assert (shown.done, shown.failed, shown.rate) == (105, 4, 0.0)


def test_percentiles_are_of_the_last_ten_seconds():
    figures = PoolFigures()
    slow, both = latencies(1.0), latencies(1.0, *[0.001] * 99)
    figures.add(1, proxy(latency=slow), now=0.0)
    figures.add(1, proxy(latency=both), now=10.0)
    figures.add(1, proxy(latency=both), now=10.5)
    shown = figures.snapshot(BASE, now=10.5)
    assert shown.p50_ms == pytest.approx(1.0, rel=0.05)
    assert shown.p99_ms == pytest.approx(1.0, rel=0.05)


def test_service_time_and_utilisation_are_of_the_same_window():
    figures = PoolFigures()
    figures.add(1, proxy(done=0, service_s=0.0), now=0.0)
    figures.add(1, proxy(done=10, service_s=5.0), now=5.0)
    shown = figures.snapshot(BASE, now=5.0)
    assert (shown.service_ms, shown.utilisation, shown.oldest_wait_ms) == (500.0, 0.5, 500.0)


def test_a_load_counts_for_the_life_it_was_told_of_and_while_it_is_fresh():
    figures = PoolFigures()
    load = WorkerLoad("compute.1", 7, 2)
    figures.add(1, proxy(loads=[load]), now=0.0)
    assert figures.load("compute.1", 7, now=1.0) == load
    assert figures.load("compute.1", 8, now=1.0) is None
    assert figures.load("compute.2", 7, now=1.0) is None
    assert figures.load("compute.1", 7, now=2.5) is None


def test_the_front_is_all_servers_together():
    figures = FrontFigures()
    for second in (0, 1):
        figures.add("server.1", 1, server(100 * second, classes=(0, 0, 90 * second, 0, 0, 10 * second)), now=second)
        figures.add("server.2", 1, server(50 * second, in_flight=4), now=second)
    shown = figures.snapshot("http://x", now=1.0)
    assert (shown.requests, shown.rate, shown.error_rate, shown.in_flight) == (150, 150.0, 10.0, 4)
    assert (shown.connections, shown.classes, shown.listen) == (6, (0, 0, 90, 0, 0, 10), "http://x")


def test_the_front_keeps_its_totals_when_a_server_is_replaced():
    figures = FrontFigures()
    figures.add("server.1", 1, server(100, classes=(0, 0, 100), in_flight=5), now=0.0)
    assert figures.in_flight("server.1") == 5
    figures.server_gone("server.1")
    figures.add("server.1", 2, server(1, classes=(0, 0, 0, 0, 1)), now=1.0)
    shown = figures.snapshot("", now=1.0)
    assert (shown.requests, shown.classes, shown.in_flight) == (101, (0, 0, 100, 0, 1, 0), 0)


@pytest.mark.parametrize(
    "change",
    [
        {"latency": [1, -1]},
        {"latency": [0] * 1000},
        {"service_s": float("inf")},
        {"oldest_wait_s": float("nan")},
    ],
)
def test_nonsense_of_the_right_type_is_told_apart(change):
    assert is_sound(proxy())
    assert not is_sound(structs.replace(proxy(), **change))


def test_negative_classes_are_nonsense():
    assert not is_sound(server(classes=(0, -1)))
