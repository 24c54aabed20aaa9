"""The bottleneck sentence and the what-if of scaling."""

from __future__ import annotations

from primectl.wire.stats import ClusterState, FrontSnapshot, JournalSnapshot
from tests.support.snapshots import a_cluster, a_pool, a_process
from tui.present.advice import Advice, Estimate, advise, advise_in_silence, estimate, needed

ROUTE = a_pool(
    "route", target=8, workers=8, busy=8, idle=0, queued=198, arrival_rate=118.0, rate=104.0, service_ms=76.0,
    utilisation=0.99, max_queue=1000, max_workers=64,
)  # fmt: skip


def test_workers_needed_follow_from_the_utilisation_law():
    assert needed(ROUTE) == 10
    assert needed(a_pool(arrival_rate=0.0)) == 0
    assert needed(a_pool(arrival_rate=36.0, service_ms=25.0)) == 1


def test_a_bottleneck_is_named_with_what_it_needs_and_when_it_is_full():
    assert advise(a_cluster(a_pool("parse"), ROUTE), {"route": 14.0}) == Advice(
        "route is the bottleneck: 118/s at 76ms needs 10 workers at 90% use, it has 8."
        " Queue grows 14/s and is full (1000) in ~57s.",
        "s scale",
        "route",
        urgent=True,
    )


def test_a_bottleneck_that_may_not_have_what_it_needs_says_so():
    small = a_pool("route", workers=2, busy=2, idle=0, queued=50, arrival_rate=118, service_ms=76, utilisation=1.0,
                   max_workers=4)  # fmt: skip
    assert "(it may have 4)" in advise(a_cluster(small), {}).text


def test_a_backlog_that_shrinks_is_no_bottleneck():
    pool = a_pool(workers=8, busy=8, idle=0, queued=100, arrival_rate=10, service_ms=50, utilisation=1.0)
    assert advise(a_cluster(pool), {"compute": -20.0}) == Advice(
        "compute works off 100 waiting jobs, ~667ms to go.", pool="compute"
    )


def test_a_queue_that_grows_though_it_should_not_is_told_without_a_false_number():
    pool = a_pool(workers=8, busy=8, idle=0, queued=100, arrival_rate=10, service_ms=0, utilisation=0.3)
    assert advise(a_cluster(pool), {"compute": 3.0}).text.startswith("compute falls behind: 100 jobs wait")


def test_a_pool_without_workers_comes_before_everything():
    off = a_pool("off", target=0, workers=0, busy=0, idle=0, queued=12)
    assert advise(a_cluster(ROUTE, off), {"route": 14.0}) == Advice(
        "off is scaled to 0, 12 jobs wait.", "s scale", "off", urgent=True
    )
    down = a_pool("down", workers=0, busy=0, idle=0)
    assert advise(a_cluster(down), {}).text == "down has no working worker."
    starting = a_pool("new", workers=2, busy=0, idle=0, starting=2)
    assert advise(a_cluster(starting), {}).text == "new has no worker yet, 2 are starting."


def test_that_requests_are_not_recorded_comes_before_all_is_well_and_after_what_pools_lack():
    journal = JournalSnapshot(state="stopped", trouble="the disk is full")
    assert advise(a_cluster(a_pool(), journal=journal), {}) == Advice(
        "Requests are not recorded: the disk is full.", urgent=True
    )
    assert advise(a_cluster(ROUTE, journal=journal), {"route": 14.0}).pool == "route"
    assert not advise(a_cluster(a_pool(), journal=JournalSnapshot(state="starting")), {}).urgent


def test_a_failed_worker_is_named_with_its_cause_cleaned():
    pool = a_pool("encode", workers=4, failed_workers=1)
    cluster = a_cluster(pool, processes=[a_process("encode.3", state="failed", cause="crash loop: exit 1\x1b[2J")])
    assert advise(cluster, {}) == Advice("encode.3 failed: crash loop: exit 1␛[2J", "3 workers", "encode", urgent=True)


def test_a_calm_cluster_names_its_busiest_pool_and_an_idle_one_its_address():
    assert advise(a_cluster(a_pool("a"), a_pool("b", utilisation=0.66)), {}).text == (
        "Every pool keeps up; the busiest is b at 66%."
    )
    idle = a_cluster(
        a_pool(utilisation=0.0, arrival_rate=0, busy=0), front=FrontSnapshot(listen="http://127.0.0.1:8002")
    )
    assert advise(idle, {}).text == "Everything is ready and idle. Ask it at http://127.0.0.1:8002"


def test_a_cluster_that_starts_or_stops_says_what_it_waits_for():
    cluster = a_cluster(state=ClusterState.STOPPING, progress="3 requests still open")
    assert advise(cluster, {}).text == "The cluster is stopping: 3 requests still open"


def test_silence_is_explained_once_it_lasts():
    assert not advise_in_silence(known=False, silent_s=0.5).urgent
    assert advise_in_silence(known=True, silent_s=4.0).text == (
        "No word from the supervisor for 4.0s. Servers and workers go on without it; `primectl up -d` starts all anew."
    )


def test_an_estimate_tells_use_and_when_todays_queue_is_gone():
    after = estimate(ROUTE, 11)
    assert after.utilisation is not None
    assert round(after.utilisation, 2) == 0.82
    assert after.drain_s is not None
    assert round(after.drain_s, 1) == 7.4
    assert estimate(ROUTE, 8).drain_s is None
    assert estimate(ROUTE, 0) == Estimate(None, None)
    assert estimate(a_pool(service_ms=0), 4) == Estimate(None, 0.0)
