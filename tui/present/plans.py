"""What an order would do, before it is given, and what it did: the texts of the dialogs."""

from __future__ import annotations

from msgspec import Struct

from primectl.wire.control import Drained, Killed, Reloaded, Restarted, Resumed, Scaled, Stopped
from primectl.wire.stats import ClusterSnapshot, PoolSnapshot, ProcessSnapshot, Role
from tui.present import units
from tui.present.advice import AIM, estimate
from tui.present.clean import clean
from tui.present.tables import Line, Part, Tone

DRAINING = "draining"


class Hit(Struct, frozen=True):
    """What KILL or restart of a target reaches. `jobs` would lose their worker; `queued` stay with the proxy."""

    target: str
    processes: tuple[ProcessSnapshot, ...]
    jobs: int
    queued: int

    @property
    def exists(self) -> bool:
        return bool(self.processes)


def hit(snapshot: ClusterSnapshot, target: str) -> Hit:
    """What `target` (all workers, a pool, a process) names in this snapshot."""
    pools = {pool.name: pool for pool in snapshot.pools}
    if target == "all":
        reached = [process for process in snapshot.processes if process.role is Role.WORKER]
        return Hit(
            target,
            tuple(reached),
            max(sum(pool.in_flight for pool in snapshot.pools), sum(process.busy for process in reached)),
            sum(pool.queued for pool in snapshot.pools),
        )
    if target in pools:
        reached = [p for p in snapshot.processes if p.pool == target and p.role is Role.WORKER]
        pool = pools[target]
        return Hit(target, tuple(reached), max(pool.in_flight, sum(p.busy for p in reached)), pool.queued)
    reached = [process for process in snapshot.processes if process.id == target]
    queued = sum(pools[process.pool].queued for process in reached if process.pool in pools)
    return Hit(target, tuple(reached), sum(process.busy for process in reached), queued)


def kill_lines(plan: Hit) -> list[Line]:
    """What a KILL reaches and loses, and what comes after it."""
    number = len(plan.processes)
    first = plan.processes[0]
    who = units.plural(number, "process", "processes")
    if first.role is Role.WORKER:
        who = units.plural(number, "worker")
    running = f"{units.plural(plan.jobs, 'running job')}: safe ones run again, others are answered 502"
    return [
        _fact("reaches", f"{who}: {_some([process.id for process in plan.processes])}"),
        _fact("loses", running if plan.jobs else "nothing: no job is running", Tone.WARN if plan.jobs else Tone.PLAIN),
        _fact("keeps", f"{units.plural(plan.queued, 'queued job')}, they wait in the proxy" if plan.queued else ""),
        _fact("after", "the supervisor starts new ones in their place"),
        _fact("instead", "R restarts them one by one, each after its job"),
    ]


def restart_lines(plan: Hit) -> list[Line]:
    """What a restart does."""
    names = _some([process.id for process in plan.processes])
    return [
        _fact("reaches", f"{units.plural(len(plan.processes), 'process', 'processes')}: {names}"),
        _fact("loses", "nothing: each finishes what it has, leaves, and is started again"),
        _fact("running", units.plural(plan.jobs, "job") if plan.jobs else ""),
    ]


def reload_lines(plan: Hit) -> list[Line]:
    """What a reload does, and what if the new code is no good."""
    workers = units.plural(len(plan.processes), "worker")
    return [
        _fact("imports", "the code as it is now"),
        _fact("replaces", f"{workers}, each after its job" if plan.processes else "nobody: no worker runs"),
        _fact("loses", "nothing: new workers are ready before an old one leaves"),
        _fact("if not", "the old code stays, and the error is shown"),
    ]


class Aside(Struct, frozen=True):
    """What a drain or its end is about: a pool, or one worker of it. `others` of the pool would go on taking jobs."""

    target: str
    pool: PoolSnapshot
    worker: ProcessSnapshot | None
    others: int

    @property
    def draining(self) -> bool:
        """It takes no more jobs already."""
        return self.pool.state == DRAINING or (self.worker is not None and self.worker.state == DRAINING)


def aside(snapshot: ClusterSnapshot, target: str) -> Aside | None:
    """The pool or worker of that name in this snapshot; None for anything else."""
    pools = {pool.name: pool for pool in snapshot.pools}
    if target in pools:
        return Aside(target, pools[target], None, 0)
    worker = next((p for p in snapshot.processes if p.id == target and p.role is Role.WORKER and p.pool in pools), None)
    if worker is None:
        return None
    neighbours = [p for p in snapshot.processes if p.pool == worker.pool and p.role is Role.WORKER and p is not worker]
    return Aside(target, pools[worker.pool], worker, sum(neighbour.state == "running" for neighbour in neighbours))


def drain_lines(plan: Aside) -> list[Line]:
    """What a drain finishes, and who takes the jobs that come."""
    pool = plan.pool
    if plan.worker is None:
        running = f"{units.plural(pool.in_flight, 'running job')} and {units.count(pool.queued)} queued"
        refused = "what comes is answered 503, with Retry-After, until it is resumed"
        return [
            _fact("finishes", running if pool.in_flight or pool.queued else "nothing: it is empty"),
            _fact("refuses", refused, Tone.WARN),
            _fact("keeps", f"its {units.plural(pool.workers, 'worker')}, which take nothing more"),
            _fact("ends", f"with D, or primectl resume {clean(plan.target)}"),
        ]
    name = clean(pool.name)
    alone = f"nobody: the jobs of {name} wait, and are answered 503 in the end"
    others = f"the {units.plural(plan.others, 'other worker')} of {name}"
    return [
        _fact("finishes", "the job that it runs" if plan.worker.busy else "nothing: it is idle"),
        _fact("instead", others if plan.others else alone, Tone.PLAIN if plan.others else Tone.WARN),
        _fact("stays so", "over its restarts; a pool that shrinks gives it up first"),
        _fact("ends", f"with D, or primectl resume {clean(plan.target)}"),
    ]


def resume_lines(plan: Aside) -> list[Line]:
    """What the end of a drain does."""
    if plan.worker is None:
        return [_fact("takes jobs", f"the pool, and each of its {units.plural(plan.pool.workers, 'worker')}")]
    return [_fact("takes jobs", clean(plan.target))]


def scale_lines(pool: PoolSnapshot, workers: int, workers_of_pool: list[ProcessSnapshot]) -> list[Line]:
    """Now against after: utilisation, queue, memory; what happens to busy workers when it shrinks."""
    now, then = pool.utilisation, estimate(pool, workers)
    changed = workers != pool.target
    after = "-" if then.utilisation is None else units.share(then.utilisation)
    if not pool.queued:
        wait = "empty"
    elif then.drain_s is None:
        wait = "grows on" if then.utilisation is not None else "not known yet"
    else:
        wait = f"gone in ~{units.duration(then.drain_s)}"
    resident = [process.rss_bytes for process in workers_of_pool if process.rss_bytes]
    each = sum(resident) / len(resident) if resident else 0.0
    more = (workers - pool.workers) * each
    memory = "" if not each else f"{'+' if more >= 0 else '-'}{units.size(abs(more))}"
    lines = [
        _compare("", "now", "after (estimate)" if changed else "", Tone.DIM),
        _compare(
            "utilisation",
            units.share(now),
            after if changed else "",
            Tone.WARN if then.utilisation is not None and then.utilisation > AIM else Tone.GOOD,
        ),
        _compare("queue", f"{units.count(pool.queued)} jobs", wait if changed else ""),
        _compare("memory", f"{pool.workers} × {units.size(each)}" if each else "-", memory if changed else ""),
    ]
    if workers < pool.workers:
        lines.append((Part("a busy worker leaves after its job: nothing is lost", Tone.DIM),))
    elif workers == 0 and changed:
        lines.append((Part("with no workers its jobs wait until they time out", Tone.WARN),))
    else:
        lines.append((Part(" "),))
    return lines


def stop_lines(snapshot: ClusterSnapshot) -> list[Line]:
    """What a clean stop does."""
    workers = sum(process.role is Role.WORKER for process in snapshot.processes)
    queued = sum(pool.queued for pool in snapshot.pools)
    return [
        _fact("reaches", f"all {units.plural(len(snapshot.processes), 'process', 'processes')}, {workers} workers"),
        _fact("open", f"{units.plural(snapshot.front.in_flight, 'request')}, {units.plural(queued, 'queued job')}"),
        _fact("loses", "nothing: what is open is finished, new requests are refused"),
        _fact("then", "every process leaves, clients find nobody"),
    ]


def stopping_lines(snapshot: ClusterSnapshot) -> list[Line]:
    """How far a clean stop has come, from the live picture."""
    left = [process for process in snapshot.processes if process.state not in ("exited", "stopped")]
    return [
        _fact("open", units.plural(snapshot.front.in_flight, "request")),
        _fact("queued", units.plural(sum(pool.queued for pool in snapshot.pools), "job")),
        _fact("left", f"{units.plural(len(left), 'process', 'processes')}: {_some([p.id for p in left])}"),
    ]


# --- receipts ---------------------------------------------------------------------------------------------------------


def killed_text(done: Killed) -> str:
    """The receipt of a KILL."""
    missing = [process for process in done.addressed if process not in done.acknowledged]
    text = f"KILL acknowledged by {len(done.acknowledged)} of {len(done.addressed)} in {units.duration(done.seconds)}"
    if done.forced:
        text += f", {len(done.forced)} took SIGKILL"
    if done.lost_jobs:
        text += f", {units.plural(done.lost_jobs, 'job')} lost their worker"
    if missing:
        text += f"; still there: {_some(missing)}"
    return text


def scaled_text(done: Scaled) -> str:
    return f"{clean(done.pool)} {done.before} → {done.after} workers in {units.duration(done.seconds)}"


def restarted_text(done: Restarted) -> str:
    number = units.plural(len(done.processes), "process", "processes")
    return f"restarted {clean(done.target)}: {number} in {units.duration(done.seconds)}"


def reloaded_text(done: Reloaded) -> str:
    who = "every pool" if done.target == "all" else clean(done.target)
    number = units.plural(len(done.processes), "worker")
    return f"{who} runs the new code: {number} in {units.duration(done.seconds)}"


def drained_text(done: Drained) -> str:
    return f"{clean(done.target)} is drained: it holds nothing any more, after {units.duration(done.seconds)}"


def resumed_text(done: Resumed) -> str:
    return f"{clean(done.target)} takes jobs again"


def stopped_lines(done: Stopped) -> list[Line]:
    """The report of a clean stop."""
    forced = Tone.WARN if done.killed else Tone.GOOD
    return [
        (Part(f"{clean(done.cluster)} is stopped", Tone.STRONG), Part(f" after {units.duration(done.seconds)}")),
        _fact("finished", units.plural(done.finished, "request"), Tone.GOOD),
        _fact("cancelled", units.plural(done.cancelled, "request"), Tone.WARN if done.cancelled else Tone.GOOD),
        _fact("ended", units.plural(done.processes, "process", "processes")),
        _fact("by force", _some(done.killed) if done.killed else "none", forced),
    ]


def _fact(name: str, text: str, tone: Tone = Tone.PLAIN) -> Line:
    return (Part(f"{name:<11}", Tone.DIM), Part(text, tone)) if text else ()


def _compare(name: str, now: str, after: str, tone: Tone = Tone.PLAIN) -> Line:
    return (Part(f"{name:<14}", Tone.DIM), Part(f"{now:<14}", Tone.DIM if not name else Tone.PLAIN), Part(after, tone))


def _some(names: list[str], most: int = 4) -> str:
    shown = ", ".join(clean(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
