"""What the dialogs say before an order, and what is said after it."""

from __future__ import annotations

from primectl.wire.control import Drained, Killed, Restarted, Resumed, Scaled, Stopped
from tests.support.snapshots import a_cluster, a_pool, a_process, workers_of
from tui.present.plans import (
    aside,
    drain_lines,
    drained_text,
    hit,
    kill_lines,
    killed_text,
    restarted_text,
    resume_lines,
    resumed_text,
    scale_lines,
    scaled_text,
    stop_lines,
    stopped_lines,
)
from tui.present.tables import Line, plain

CLUSTER = a_cluster(a_pool("parse"), a_pool("compute", busy=2, idle=2, in_flight=5, queued=7))


def text(lines: list[Line]) -> str:
    return "\n".join(plain(line) for line in lines)


def test_kill_of_a_pool_reaches_its_workers_and_loses_what_is_in_flight():
    plan = hit(CLUSTER, "compute")
    assert ([process.id for process in plan.processes], plan.jobs, plan.queued) == (
        ["compute.1", "compute.2", "compute.3", "compute.4"], 5, 7,
    )  # fmt: skip


def test_kill_of_all_reaches_workers_only():
    assert {process.role for process in hit(CLUSTER, "all").processes} == {"worker"}
    assert len(hit(CLUSTER, "all").processes) == 8


def test_kill_of_a_process_loses_its_job_only():
    assert (hit(CLUSTER, "compute.1").jobs, hit(CLUSTER, "compute.3").jobs) == (1, 0)
    assert not hit(CLUSTER, "compute.99").exists


def test_the_kill_dialog_says_what_it_reaches_loses_and_keeps():
    said = text(kill_lines(hit(CLUSTER, "compute")))
    assert "4 workers: compute.1, compute.2, compute.3, compute.4" in said
    assert "5 running jobs" in said
    assert "7 queued jobs" in said
    assert "nothing: no job is running" in text(kill_lines(hit(CLUSTER, "compute.3")))


def test_the_scale_dialog_compares_now_and_after():
    pool = a_pool(workers=8, target=8, queued=198, arrival_rate=118.0, service_ms=76.0, utilisation=0.99)
    said = text(scale_lines(pool, 11, workers_of(a_pool(busy=8, idle=0))))
    assert "99%           82%" in said
    assert "198 jobs      gone in ~7.4s" in said
    assert "8 × 20M" in said
    assert "+60M" in said
    assert "a busy worker leaves after its job" in text(scale_lines(pool, 3, []))
    assert "grows on" in text(scale_lines(pool, 3, []))


def test_the_stop_dialog_says_what_is_open():
    assert "all 12 processes, 8 workers" in text(stop_lines(CLUSTER))
    assert "3 requests, 7 queued jobs" in text(stop_lines(CLUSTER))


def test_a_receipt_says_who_obeyed_and_who_did_not():
    done = Killed("compute", ["a", "b", "c"], ["a", "b"], ["b"], 1, 0.25)
    assert killed_text(done) == (
        "KILL acknowledged by 2 of 3 in 250ms, 1 took SIGKILL, 1 job lost their worker; still there: c"
    )
    assert scaled_text(Scaled("compute", 4, 8, 0.1)) == "compute 4 → 8 workers in 100ms"
    assert restarted_text(Restarted("all", ["a", "b"], 2.0)) == "restarted all: 2 processes in 2.0s"


def test_the_report_of_a_stop_is_complete():
    said = text(stopped_lines(Stopped("prime", 3, 0, 7, ["a\x1b.1"], 1.5)))
    assert said.splitlines() == [
        "prime is stopped after 1.5s", "finished   3 requests", "cancelled  0 requests", "ended      7 processes",
        "by force   a␛.1",
    ]  # fmt: skip


def test_a_process_without_a_pool_can_be_reached_too():
    plan = hit(a_cluster(processes=[a_process("server.1")]), "server.1")
    assert "1 process: server.1" in text(kill_lines(plan))


# --- drain ------------------------------------------------------------------------------------------------------------


def plan(cluster, target):
    found = aside(cluster, target)
    assert found is not None
    return found


def test_a_drain_of_a_pool_says_what_it_finishes_and_what_clients_get():
    said = text(drain_lines(plan(CLUSTER, "compute")))
    assert "5 running jobs and 7 queued" in said
    assert "answered 503, with Retry-After" in said
    assert "primectl resume compute" in said


def test_a_drain_of_a_worker_says_who_takes_its_jobs():
    said = text(drain_lines(plan(CLUSTER, "compute.1")))
    assert "the job that it runs" in said
    assert "the 3 other workers of compute" in said
    assert "nothing: it is idle" in text(drain_lines(plan(CLUSTER, "compute.3")))


def test_a_drain_of_the_last_worker_that_takes_jobs_warns():
    cluster = a_cluster(a_pool("compute", busy=1, idle=0, draining=3, workers=4))
    assert "nobody: the jobs of compute wait" in text(drain_lines(plan(cluster, "compute.1")))


def test_only_pools_and_workers_are_set_aside():
    assert [aside(CLUSTER, name) for name in ("server.1", "proxy.compute", "all", "nobody")] == [None] * 4


def test_what_drains_already_is_known():
    cluster = a_cluster(a_pool("parse", state="draining"), a_pool("compute", idle=2, draining=1))
    drains = {name: plan(cluster, name).draining for name in ("parse", "parse.1", "compute", "compute.1", "compute.4")}
    assert drains == {"parse": True, "parse.1": True, "compute": False, "compute.1": False, "compute.4": True}


def test_a_resume_says_who_takes_jobs_again():
    assert "the pool, and each of its 4 workers" in text(resume_lines(plan(CLUSTER, "compute")))
    assert "compute.1" in text(resume_lines(plan(CLUSTER, "compute.1")))


def test_the_receipts_of_drain_and_resume():
    assert drained_text(Drained("compute", ["compute.1"], 0.25)) == (
        "compute is drained: it holds nothing any more, after 250ms"
    )
    assert resumed_text(Resumed("compute", [])) == "compute takes jobs again"
