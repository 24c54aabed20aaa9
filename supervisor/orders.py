"""What an order comes to: the operation that it begins and what is done at once, or a refusal in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, assert_never

from primectl.wire.control import (
    ALL,
    DrainOrder,
    DumpOrder,
    Kill,
    KillNow,
    Refusal,
    ReloadOrder,
    ReopenOrder,
    Restart,
    ResumeOrder,
    Scale,
)
from primectl.wire.stats import ClusterState
from supervisor import plan
from supervisor.applying import Applying, planned
from supervisor.books import Books
from supervisor.drains import Draining, PoolDrain, Resuming
from supervisor.dumps import Dumping
from supervisor.events import SUPERVISOR, Action, ApplyOrder, Asked, Broadcast, Kind, Tell
from supervisor.lifecycle import ProcessState as S
from supervisor.memory import Sized
from supervisor.operations import Killing, Operation, Rolling, Scaling
from supervisor.plan import Dismiss, Force, Revive, Step
from supervisor.process import Process
from supervisor.reload import Reloading, ReloadingAll
from supervisor.reopening import Reopening
from supervisor.serverroll import Restarting
from supervisor.words import counted, processes


class Accepted(NamedTuple):
    """`actions` and then `steps` are what comes of it at once; the rest is the operation's."""

    operation: Operation
    actions: list[Action]
    steps: list[Step]


class Refused(NamedTuple):
    """`status` as in HTTP."""

    status: int
    refusal: Refusal


TakesTime = Scale | Kill | Restart | ReloadOrder | DrainOrder | ResumeOrder | DumpOrder | ApplyOrder | ReopenOrder


def accept(order: TakesTime, asked: Asked, books: Books, command: Callable[[], int], now: float) -> Accepted | Refused:
    """Begin `order`, as `asked`; `command` numbers what is broadcast. The books get the new size, the new drain.

    An order whose operation occupies pools may have to wait, and is then accepted once more when its turn comes: it
    changes nothing here, but by its actions and steps.
    """
    match order:
        case Scale():
            return _scale(order, asked, books, now)
        case Kill():
            return _kill(order, asked, books, command, now)
        case Restart():
            return _restart(order, asked, books, now)
        case ReloadOrder():
            return _reload(order, asked, books, now)
        case ApplyOrder():
            return _apply(order, asked, books, now)
        case DrainOrder():
            return _drain(order, asked, books, now)
        case ResumeOrder():
            return _resume(order, asked, books, now)
        case DumpOrder():
            return _dump(order, asked, books, command, now)
        case ReopenOrder():
            return _reopen(order, asked, books, command, now)
        case _:
            assert_never(order)


def _scale(order: Scale, asked: Asked, books: Books, now: float) -> Accepted | Refused:
    pool = order.pool
    if pool not in books.targets:
        return Refused(404, plan.unknown_pool(pool, books.targets))
    before = books.targets[pool]
    target = plan.size(order.workers, before, books.config.pools[pool].max_workers, pool)
    if isinstance(target, Refusal):
        return Refused(400, target)
    books.size(pool, Sized(target, asked.operator, asked.at))
    zygote = [process for process in books.processes.values() if process.id == books.zygotes.get(pool)]
    return Accepted(
        Scaling(pool, before, target, now, order.timeout_s),
        [Tell("scale", pool, f"scale {pool} from {before} to {target}", asked.operator, str(before), str(target))],
        [Revive(process.id) for process in (*books.workers(pool), *zygote) if process.state is S.FAILED],
    )


def _kill(order: Kill, asked: Asked, books: Books, command: Callable[[], int], now: float) -> Accepted | Refused:
    target = _addressed(order.target, books, now)
    if isinstance(target, Refused):
        return target
    victims = [books.processes[name] for name in target.processes if books.processes[name].alive]
    deaf = [process.id for process in victims if process.state is S.STARTING]
    operation = Killing(
        order.target,
        {process.id: process.incarnation for process in victims},
        deaf,
        sum(books.held_jobs(process, now) for process in victims),
        now,
        order.grace_s,
        order.timeout_s,
    )
    kill = KillNow(command())
    text = f"KILL to {order.target}: {processes(len(victims))}"
    return Accepted(
        operation,
        [
            Tell("kill", order.target, text, asked.operator),
            *(Broadcast(topic, kill) for topic in target.topics),
        ],
        [Force(process.id) if process.id in deaf else Dismiss(process.id) for process in victims],
    )


def _restart(order: Restart, asked: Asked, books: Books, now: float) -> Accepted | Refused:
    target = _addressed(order.target, books, now)
    if isinstance(target, Refused):
        return target
    members = [books.processes[name] for name in target.processes]
    servers = bool(members) and all(process.kind is Kind.SERVER for process in members)
    return Accepted(
        Restarting(order.target, members, books, now)
        if servers
        else Rolling(order.target, members, now, order.timeout_s),
        [Tell("restart", order.target, f"restart {order.target}: {processes(len(members))}", asked.operator)],
        [],
    )


def _dump(order: DumpOrder, asked: Asked, books: Books, command: Callable[[], int], now: float) -> Accepted | Refused:
    found = _dumpable(order.target, books, now)
    if isinstance(found, Refused):
        return found
    dumping = Dumping(order.target, found, command(), now, order.timeout_s)
    text = f"the stacks of {order.target} are asked for"
    return Accepted(dumping, [Tell("dump", order.target, text, asked.operator), *dumping.ask()], [])


def _reopen(
    order: ReopenOrder, asked: Asked, books: Books, command: Callable[[], int], now: float
) -> Accepted | Refused:
    found: list[Process] | Refused
    if order.target == ALL:
        found = [books.myself, *books.processes.values()]
    elif order.target in books.targets:
        found = [process for process in books.processes.values() if process.pool == order.target]
    else:
        found = _dumpable(order.target, books, now)
    if isinstance(found, Refused):
        return found
    reopening = Reopening(order.target, found, command(), order.rotate, now, order.timeout_s)
    asking = reopening.ask()
    text = f"{'rotate' if order.rotate else 'reopen'} the logs of {order.target}: {processes(len(asking))}"
    return Accepted(reopening, [Tell("reopen", order.target, text, asked.operator), *asking], [])


def _dumpable(target: str, books: Books, now: float) -> list[Process] | Refused:
    """More than can be addressed by a command: the supervisor, and zygotes, whose import of a handler may hang."""
    if target == SUPERVISOR:
        return [books.myself]
    named = books.processes.get(target)
    if named is not None and named.kind is Kind.ZYGOTE:
        return [named]
    found = _addressed(target, books, now)
    return found if isinstance(found, Refused) else [books.processes[name] for name in found.processes]


def _apply(order: ApplyOrder, asked: Asked, books: Books, now: float) -> Accepted | Refused:
    """Refused at once is what cannot be by itself; what it comes to is seen when it begins."""
    impossible = planned(order, books).refusal
    if impossible is not None:
        return Refused(409, impossible)
    if books.state is not ClusterState.RUNNING:
        mend = "Apply the file when it is running"
        return Refused(409, Refusal(f"cluster {books.config.cluster.name} is {books.state}", mend=mend))
    told = Tell("apply", books.config.cluster.name, f"apply {order.config_path}", asked.operator)
    return Accepted(Applying(order, books, now), [told], [])


def _addressed(target: str, books: Books, now: float) -> plan.Target | Refused:
    if target == SUPERVISOR:
        return Refused(400, Refusal("the supervisor cannot be addressed", mend="`primectl down` stops the cluster"))
    found = plan.resolve(target, books.targets, books.seen(now))
    return Refused(404, found) if isinstance(found, Refusal) else found


def _reload(order: ReloadOrder, asked: Asked, books: Books, now: float) -> Accepted | Refused:
    pools = list(books.targets) if order.target == ALL else [order.target]
    if pools[0] not in books.targets:
        return _not_reloadable(order.target, books)
    if books.state is ClusterState.STARTING:
        return Refused(409, Refusal("the cluster is starting", mend="Reload it when it is running"))
    workers = sum(books.targets[pool] for pool in pools)
    tell = Tell("reload", order.target, f"reload {order.target}: {counted(workers, 'worker')}", asked.operator)
    if len(pools) == 1:
        return Accepted(Reloading(pools[0], books, now), [tell], [])
    parts = [Reloading(pool, books, now) for pool in pools]
    return Accepted(ReloadingAll(parts, now, asked.operator), [tell], [])


def _not_reloadable(target: str, books: Books) -> Refused:
    process = books.processes.get(target)
    if process is None or process.kind is Kind.ZYGOTE:
        return Refused(404, plan.unknown_pool(target, [*books.targets, ALL]))
    if process.pool:
        mend = f"`primectl reload {process.pool}` does that"
        return Refused(400, Refusal(f"{target} cannot be reloaded by itself, its pool can", mend=mend))
    return Refused(400, Refusal(f"{target} runs no handler: pools are reloaded", mend=plan.nearest("", books.targets)))


def _drain(order: DrainOrder, asked: Asked, books: Books, now: float) -> Accepted | Refused:
    found = _drainable(order.target, books, now)
    if isinstance(found, Refused):
        return found
    drain, worker = found
    text = f"drain {worker or f'pool {drain.pool}'}: no more jobs for it"
    return Accepted(
        Draining(order.target, drain, worker, now, order.timeout_s),
        [Tell("drain", order.target, text, asked.operator), *drain.drain(worker, now)],
        [],
    )


def _resume(order: ResumeOrder, asked: Asked, books: Books, now: float) -> Accepted | Refused:
    found = _drainable(order.target, books, now)
    if isinstance(found, Refused):
        return found
    drain, worker = found
    if worker and drain.whole:
        mend = f"`primectl resume {drain.pool}` ends that"
        return Refused(409, Refusal(f"pool {drain.pool} is draining as a whole", worker, mend))
    resuming = Resuming(order.target, drain, worker, now)
    return Accepted(resuming, [*drain.resume(worker, now)], [])


def _drainable(target: str, books: Books, now: float) -> tuple[PoolDrain, str] | Refused:
    """The drains of the pool that is meant, and the worker of it; "" for the pool."""
    if target in books.drains:
        return books.drains[target], ""
    seen = [process for process in books.seen(now) if process.kind is not Kind.ZYGOTE]
    found = next((process for process in seen if process.id == target), None)
    if found is not None and found.kind is Kind.WORKER:
        return books.drains[found.pool], found.id
    known = [*books.drains, *(process.id for process in seen if process.kind is Kind.WORKER)]
    if found is not None and found.kind is Kind.PROXY:
        return Refused(400, Refusal(f"{target} cannot be drained, its pool can", mend=f'It is called "{found.pool}"'))
    if found is not None or target in (ALL, SUPERVISOR):
        mend = plan.nearest("", known)
        return Refused(400, Refusal(f"{target} cannot be drained: pools and workers can", mend=mend))
    what = f'no pool or worker is called "{plan.printable(target)}"'
    return Refused(404, Refusal(what, mend=plan.nearest(target, known)))
