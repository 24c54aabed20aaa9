"""What should be there, against what is there: which processes to start, to retire and to forget.

`reconcile` is one pure function, asked again after everything that happens. It never remembers an intention, so a
process that dies while it is being replaced, or a size that changes while it is being reached, need no rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches

from msgspec import Struct, structs

from primectl.config.model import Config
from primectl.config.topology import RECORDER, proxy_id, server_id, worker_id
from primectl.wire.control import ALL, Refusal, process_topic, role_topic
from supervisor.events import Kind
from supervisor.lifecycle import ProcessState as S


class Wanted(Struct, frozen=True):
    """The cluster as it should be: the number of workers by pool, and of extra ones above that (`surge`); the pool of
    each zygote by its id."""

    servers: int = 0
    proxies: tuple[str, ...] = ()
    zygotes: Mapping[str, str] = {}
    targets: Mapping[str, int] = {}
    surge: Mapping[str, int] = {}
    spare_servers: tuple[int, ...] = ()
    """Numbers of further servers, which stand in for others."""
    recorder: bool = False


class Seen(Struct, frozen=True):
    """A process as it is. `leaving`: it was retired for good; `retry_at`: when a process that has ended may start;
    `drained`: an operator has set this worker aside; `extra`: it is above the pool's size, for the time of a reload."""

    id: str
    kind: Kind
    pool: str
    number: int
    state: S
    busy: bool = False
    leaving: bool = False
    retry_at: float | None = None
    drained: bool = False
    extra: bool = False


class Start(Struct, frozen=True):
    """Give this id a (new) life."""

    id: str
    kind: Kind
    pool: str
    number: int
    extra: bool = False


class Promote(Struct, frozen=True):
    """An extra worker becomes one of the pool, which has grown."""

    id: str


class Retire(Struct, frozen=True):
    """It finishes what it has and leaves, for good."""

    id: str


class Recycle(Struct, frozen=True):
    """It finishes what it has and leaves; `reconcile` starts it again."""

    id: str


class Revive(Struct, frozen=True):
    """Start what waits in backoff or has failed; its crashes are forgiven."""

    id: str


class Dismiss(Struct, frozen=True):
    """It has been told to leave at once; `reconcile` starts it again if it is wanted."""

    id: str


class Force(Struct, frozen=True):
    """SIGKILL."""

    id: str


class Forget(Struct, frozen=True):
    """It is gone and not wanted."""

    id: str


Step = Start | Promote | Retire | Recycle | Revive | Dismiss | Force | Forget


def full(config: Config, targets: Mapping[str, int], zygotes: Mapping[str, str], surge: Mapping[str, int]) -> Wanted:
    """A whole cluster, with these sizes of its pools."""
    pools = tuple(config.pools)
    return Wanted(config.server.processes, pools, zygotes, targets, surge, recorder=config.journal.enabled)


def reconcile(wanted: Wanted, observed: Sequence[Seen], now: float) -> list[Step]:
    """The steps from `observed` to `wanted`; starts first: the recorder, servers, proxies, zygotes, workers."""
    promoted = _promoted(wanted, observed)
    observed = [structs.replace(seen, extra=False) if seen.id in promoted else seen for seen in observed]
    present = {seen.id: seen for seen in observed}
    starts: list[Step] = [Promote(worker) for worker in promoted]
    kept: set[str] = set()
    for start in _members(wanted, observed):
        kept.add(start.id)
        seen = present.get(start.id)
        if seen is None or _may_start(seen, now):
            starts.append(start)
    ends: list[Step] = []
    for seen in observed:
        if seen.id in kept:
            continue
        if seen.state in (S.EXITED, S.BACKOFF, S.FAILED):
            ends.append(Forget(seen.id))
        elif not seen.leaving:
            ends.append(Retire(seen.id))
    return starts + ends


def _may_start(seen: Seen, now: float) -> bool:
    if seen.state is S.BACKOFF:
        return seen.retry_at is not None and now >= seen.retry_at
    return seen.state is S.EXITED and (seen.retry_at is None or now >= seen.retry_at)


def _members(wanted: Wanted, observed: Sequence[Seen]) -> list[Start]:
    members = [Start(RECORDER, Kind.RECORDER, "", 0)] if wanted.recorder else []
    members += [Start(server_id(n), Kind.SERVER, "", n) for n in (*range(1, wanted.servers + 1), *wanted.spare_servers)]
    members += [Start(proxy_id(pool), Kind.PROXY, pool, 0) for pool in wanted.proxies]
    members += [Start(zygote, Kind.ZYGOTE, pool, 0) for zygote, pool in wanted.zygotes.items()]
    for pool, target in wanted.targets.items():
        workers = _workers(observed, pool)
        members += [
            Start(worker_id(pool, number), Kind.WORKER, pool, number) for number in worker_numbers(target, workers)
        ]
        members += [
            Start(worker_id(pool, number), Kind.WORKER, pool, number, extra=True)
            for number in extra_numbers(wanted.surge.get(pool, 0), target, workers)
        ]
    return members


def _workers(observed: Sequence[Seen], pool: str) -> list[Seen]:
    return [seen for seen in observed if seen.kind is Kind.WORKER and seen.pool == pool]


def _promoted(wanted: Wanted, observed: Sequence[Seen]) -> list[str]:
    """Extra workers that a pool takes over, which has grown since they came: those with the lowest numbers."""
    promoted: list[str] = []
    for pool in wanted.surge:
        staying = [worker for worker in _workers(observed, pool) if not worker.leaving]
        extras = sorted((worker for worker in staying if worker.extra), key=lambda worker: worker.number)
        lacking = max(0, wanted.targets.get(pool, 0) - (len(staying) - len(extras)))
        promoted += [worker.id for worker in extras[:lacking]]
    return promoted


def extra_numbers(surge: int, target: int, workers: Sequence[Seen]) -> list[int]:
    """Which numbers the extra workers of a pool have: beyond its size, so that they come into nobody's way."""
    numbers = sorted(worker.number for worker in workers if worker.extra and not worker.leaving)[:surge]
    taken = {worker.number for worker in workers}.union(worker_numbers(target, workers))
    candidate = target + 1
    while len(numbers) < surge:
        if candidate not in taken:
            numbers.append(candidate)
        candidate += 1
    return numbers


def worker_numbers(target: int, workers: Sequence[Seen]) -> list[int]:
    """Which numbers a pool of `target` workers has, given those it has now; the extra ones do not count.

    A grown pool adds the lowest free numbers; one that still leaves keeps its number (and its log) until it is gone.
    A shrunk pool gives up what has ended first, then drained workers, then what does not run yet, then idle workers,
    then busy ones; the highest number first.
    """
    staying = [worker for worker in workers if not worker.leaving and not worker.extra]
    if len(staying) > target:
        staying = sorted(staying, key=_worth)[len(staying) - target :]
        return sorted(worker.number for worker in staying)
    taken = {worker.number for worker in workers}
    numbers = [worker.number for worker in staying]
    candidate = 1
    while len(numbers) < target:
        if candidate not in taken:
            numbers.append(candidate)
        candidate += 1
    return sorted(numbers)


_WORTH = {S.FAILED: 0, S.BACKOFF: 0, S.EXITED: 0, S.STOPPING: 0, S.DRAINING: 2, S.STARTING: 2, S.RUNNING: 3}
_WORTH_DRAINED = 1


def _worth(worker: Seen) -> tuple[int, bool, int]:
    """The smaller, the sooner a shrinking pool gives it up."""
    worth = _WORTH[worker.state]
    return min(worth, _WORTH_DRAINED) if worker.drained else worth, worker.busy, -worker.number


class Target(Struct, frozen=True):
    """What an operator's word names: the topics that reach them and nobody else, and the processes."""

    topics: tuple[str, ...]
    processes: tuple[str, ...]


def resolve(target: str, pools: Collection[str], processes: Iterable[Seen]) -> Target | Refusal:
    """`all` (every worker), a pool (its workers), `role.<role>`, or a process id."""
    seen = [process for process in processes if process.kind is not Kind.ZYGOTE]

    def ids(kind: Kind, pool: str | None = None) -> tuple[str, ...]:
        return tuple(process.id for process in seen if process.kind is kind and pool in (None, process.pool))

    if target == ALL:
        return Target((role_topic(Kind.WORKER),), ids(Kind.WORKER))
    for kind in (Kind.WORKER, Kind.PROXY, Kind.SERVER, Kind.RECORDER):
        if target == role_topic(kind):
            return Target((target,), ids(kind))
    if target in pools:
        # `pool.<name>` reaches the pool's proxy too, which shall live.
        workers = ids(Kind.WORKER, target)
        return Target(tuple(process_topic(worker) for worker in workers), workers)
    known = [process.id for process in seen]
    if target in known:
        return Target((process_topic(target),), (target,))
    return Refusal(f'no pool or process is called "{printable(target)}"', mend=nearest(target, [*pools, *known, ALL]))


def size(workers: str, before: int, most: int, pool: str) -> int | Refusal:
    """What "8", "+2" or "-1" makes of a pool of `before` workers."""
    mend = f'Give a number of 0 to {most}, or a change such as "+2" or "-1"'
    digits = workers[1:] if workers[:1] in ("+", "-") else workers
    # isdecimal alone lets other scripts' digits through, and int() of very many digits raises.
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9):
        return Refusal(f'{pool} cannot have "{printable(workers)}" workers', mend=mend)
    by = {"+": 1, "-": -1}.get(workers[:1])
    target = int(digits) if by is None else before + by * int(digits)
    if target < 0:
        return Refusal(f"{pool} has {before} workers, {workers} would leave it {target}", mend=mend)
    if target > most:
        return Refusal(f"{pool} cannot have {target} workers: max_workers is {most}", mend=mend)
    return target


def unknown_pool(pool: str, pools: Collection[str]) -> Refusal:
    return Refusal(f'there is no pool "{printable(pool)}"', mend=nearest(pool, pools))


def nearest(word: str, known: Collection[str]) -> str:
    """What was probably meant, else all that there is (a few of it)."""
    close = get_close_matches(word, known, n=1)
    if close:
        return f'Did you mean "{close[0]}"?'
    names = list(known)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"Known are: {', '.join(names[:8])}{more}" if names else "There is none at all"


def printable(text: str, most: int = 80) -> str:
    """Text from outside, fit for one line of a log or a terminal: of `most` characters."""
    clean = "".join(char if char.isprintable() else "?" for char in text[:most])
    return clean if len(text) <= most else f"{clean}…"
