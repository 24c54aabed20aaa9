"""Chaos as a command: load with checked answers while processes are killed and stopped at random; nobody may notice.

    python -m tests.support.chaos [--seconds 60] [--seed N]
    python -m tests.support.chaos --supervisor-killed [--seconds 20] [--seed N]
    python -m tests.support.chaos --supervisors-killed [--seconds 60] [--seed N]

The two-pool sample and a third pool that keeps count of what it ran, in folders and on a port of their own. 64
keep-alive connections ask for primes; four more POST, where a request that may not be run twice may be lost with its
worker and must be answered so (502, 503 or 504).

Every 0.3 to 1 s a random worker, proxy or the recorder gets SIGKILL, or a worker is stopped for 0.1 to 1 s. With
--supervisor-killed the supervisor is the first to go, then half of the workers of each pool one after the other, with
nobody to tell of it or to replace them: the other half has to serve everything.

With --supervisors-killed a supervisor is killed every few seconds, and up to two of the others while there is
none; `up -d` makes the next one, which has to go on with all that still runs.

Prints the seed first and a report last, as lines of JSON. Exits 1 when a request failed, an answer was wrong, a POST
ran twice, or the cluster was not whole again at the end. The same seed strikes in the same order and at the same
intervals.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvloop

from primectl.control.client import ControlClient
from primectl.errors import PrimectlError
from primectl.wire.stats import ClusterSnapshot, Role
from tests.support.cluster import PRIME, ClusterUnderTest, wait_until
from tests.support.load import Ask, Result, closed, post, primes

CONNECTIONS = 64
POSTERS = 4
SHORTEST_S, LONGEST_S = 0.3, 1.0
SHORTEST_STOP_S, LONGEST_STOP_S = 0.1, 1.0
SHORTEST_REIGN_S, LONGEST_REIGN_S = 1.0, 4.0
STOPS = 0.2
"""The share of strikes that stop a worker instead of killing one or a proxy."""
MAY_BE_LOST = frozenset({502, 503, 504})
"""What may become of a request that must not be run twice when its worker is lost."""
SLACK_S = 60.0
"""How much longer than its load a run may take, whatever happens."""

CONFIG = (
    PRIME.replace(':parse"\nworkers = 1', ':parse"\nworkers = 2')
    .replace(':compute"\nworkers = 2', ':compute"\nworkers = 4')
    .replace('= "parse"', '= "parse"\n"POST /count" = "count"')
    + """
[pools.count]
handler = "count:count"
workers = 2
"""
)
COUNT = '''
from pathlib import Path

from primectl import Response

RUNS = Path(__file__).with_name("runs")


def count(request, job):
    """Notes that it ran, in one write, and answers with what it was sent."""
    with open(RUNS, "ab", buffering=0) as runs:
        runs.write(request.body + b"\\n")
    return Response.data(request.body)
'''


# --- what is done, decided by the seed alone --------------------------------------------------------------------------


@dataclass(frozen=True)
class Strike:
    """After `wait_s`, SIGKILL to the victim at `place` (0 to 1) of all workers and proxies in the order of their names;
    with `stop_s` a worker is stopped for so long instead."""

    wait_s: float
    place: float
    stop_s: float | None = None


def strikes(seed: int) -> Iterator[Strike]:
    chance = random.Random(seed)
    while True:
        wait_s, place = chance.uniform(SHORTEST_S, LONGEST_S), chance.random()
        stop_s = chance.uniform(SHORTEST_STOP_S, LONGEST_STOP_S)
        yield Strike(wait_s, place, stop_s if chance.random() < STOPS else None)


def half_of_each(pools: Mapping[str, Sequence[str]], seed: int) -> list[str]:
    """Half of every pool's workers, rounded down so that one is left, in random order."""
    chance = random.Random(seed)
    chosen = [worker for workers in pools.values() for worker in chance.sample(sorted(workers), len(workers) // 2)]
    chance.shuffle(chosen)
    return chosen


# --- who does it ------------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """`load` and `posts` are what clients saw, `twice` the POSTs that ran more than once."""

    seed: int
    supervisor_killed: bool
    kills: dict[str, int] = field(default_factory=dict)
    """By role."""
    stops: int = 0
    adopted: list[int] = field(default_factory=list)
    """The processes that each supervisor took over from the one before."""
    retried: int = 0
    given_up: int = 0
    """Jobs that the pools answered 502, among them every POST that was lost with its worker."""
    counted: dict[str, int] = field(default_factory=dict)
    """What servers and proxies have counted, of those that lived at the end: jobs handed back by workers, spared a
    worker's loss, sent again to a new proxy …"""
    load: Result = field(default_factory=Result)
    posts: Result = field(default_factory=Result)
    twice: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def judge(self) -> None:
        for name, result in (("GET", self.load), ("POST", self.posts)):
            counts = {"failed": result.failed, "wrong": result.wrong, "refused": result.refused}
            self.faults += [f"{name}: {number} {what}" for what, number in counts.items() if number]
            if not result.requests:
                self.faults.append(f"{name}: nothing was answered")
        if self.twice:
            self.faults.append(f"run more than once: POST {', '.join(self.twice[:5])}")
        if not self.kills:
            self.faults.append("nothing was killed")


class Mischief(threading.Thread):
    """Strikes at a cluster until it is told to end; a thread, so that it waits for nothing that the load does."""

    def __init__(self, cluster: ClusterUnderTest, report: Report) -> None:
        super().__init__(name="mischief")
        self.cluster = cluster
        self.report = report
        self.over = threading.Event()

    def run(self) -> None:
        try:
            self.strike()
        except Exception as error:  # a thread's edge: the run has to fail with what it says
            self.report.faults.append(f"the mischief failed: {error!r}")

    def strike(self) -> None:
        raise NotImplementedError

    def kill(self, role: str, pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.owned(pid).kill()
            self.report.kills[role] = self.report.kills.get(role, 0) + 1

    def stop(self, pid: int, seconds: float) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            stopped = self.owned(pid)
            stopped.suspend()
            self.report.stops += 1
            self.over.wait(seconds)
            stopped.resume()

    def owned(self, pid: int) -> psutil.Process:
        """The process, if it is one of the cluster under test; the pid may have passed to another meanwhile."""
        process = psutil.Process(pid)
        if not Path(process.cwd() or "/").is_relative_to(self.cluster.home):
            raise psutil.NoSuchProcess(pid)
        return process


def role_of(process: str) -> Role:
    """By its id."""
    kind = process.partition(".")[0]
    return Role(kind) if kind in set(Role) else Role.WORKER


class Random(Mischief):
    """Strikes anywhere, for ever."""

    def strike(self) -> None:
        with ControlClient(self.cluster.place) as client:
            for strike in strikes(self.report.seed):
                if self.over.wait(strike.wait_s):
                    return
                try:
                    snapshot = client.ask("GET", "/cluster", None, ClusterSnapshot)
                except PrimectlError as error:
                    self.report.faults.append(f"the supervisor does not answer: {error}")
                    return
                roles = (Role.WORKER,) if strike.stop_s else (Role.WORKER, Role.PROXY, Role.RECORDER)
                victims = sorted((p.id, p.role, p.pid) for p in snapshot.processes if p.role in roles and p.pid)
                if victims:
                    _, role, pid = victims[int(strike.place * len(victims))]
                    if strike.stop_s:
                        self.stop(pid, strike.stop_s)
                    else:
                        self.kill(role, pid)


class Unnoticed(Mischief):
    """Half of each pool, spread over the first two thirds of the time, and nobody who would tell of it."""

    def __init__(self, cluster: ClusterUnderTest, report: Report, pids: Mapping[str, int], seconds: float) -> None:
        super().__init__(cluster, report)
        self.pids = pids
        self.seconds = seconds

    def strike(self) -> None:
        workers = sorted(name for name in self.pids if role_of(name) is Role.WORKER)
        pools = {pool: list(of) for pool, of in itertools.groupby(workers, lambda name: name.rpartition(".")[0])}
        victims = half_of_each(pools, self.report.seed)
        for victim in victims:
            if self.over.wait(self.seconds * 2 / 3 / len(victims)):
                return
            self.kill(Role.WORKER, self.pids[victim])


class Successions(Mischief):
    """Supervisors die one after the other, and some of the others between two of them."""

    def strike(self) -> None:
        chance = random.Random(self.report.seed)
        while not self.over.wait(chance.uniform(SHORTEST_REIGN_S, LONGEST_REIGN_S)):
            before = self.cluster.pids()
            self.kill(Role.SUPERVISOR, before.pop("supervisor"))
            mortal = sorted(process for process in before if role_of(process) is not Role.SERVER)
            victims = chance.sample(mortal, chance.randint(0, 2))
            for victim in victims:
                self.kill(role_of(victim), before[victim])
            self.over.wait(chance.uniform(0.0, LONGEST_STOP_S))
            told = self.cluster.json("up", "-d")
            self.report.adopted.append(told["adopted"])
            after = self.cluster.pids()
            restarted = {process for process, pid in before.items() if after.get(process) != pid} - set(victims)
            if restarted:
                self.report.faults.append(f"restarted although they ran: {', '.join(sorted(restarted))}")


# --- the run ----------------------------------------------------------------------------------------------------------


def posts() -> Iterator[Ask]:
    return (post("/count", body, body, MAY_BE_LOST) for body in map(b"%d".__mod__, itertools.count(1)))


async def load(url: str, seconds: float, report: Report) -> None:
    asks = primes()
    report.load, report.posts = await asyncio.gather(
        closed(url, asks, connections=CONNECTIONS, seconds=seconds),
        closed(url, posts(), connections=POSTERS, seconds=seconds),
    )


def whole(cluster: ClusterUnderTest) -> dict[str, Any] | None:
    """What `ps` says once every pool has all its workers again."""
    told = cluster.ps()
    return told if all(pool["workers"] == pool["target"] for pool in told["pools"]) else None


def counted(told: Mapping[str, Any]) -> dict[str, int]:
    """The counters of all servers and proxies together."""
    total: Counter[str] = Counter()
    for process in told["processes"]:
        if process["role"] in (Role.SERVER, Role.PROXY):
            total.update(process["counters"])
    return dict(total)


def run(seconds: float, seed: int, *, supervisor_killed: bool = False, supervisors_killed: bool = False) -> Report:
    """One run from `up` to `down`; raises AssertionError when the cluster cannot be operated or leaves something."""
    report = Report(seed, supervisor_killed)
    with ClusterUnderTest(CONFIG, files={"count.py": COUNT}) as cluster:
        cluster.up()
        url, pids = cluster.url, cluster.pids()
        mischief: Mischief
        if supervisor_killed:
            os.kill(pids["supervisor"], signal.SIGKILL)
            report.kills[Role.SUPERVISOR] = 1
            mischief = Unnoticed(cluster, report, pids, seconds)
        else:
            mischief = Successions(cluster, report) if supervisors_killed else Random(cluster, report)
        mischief.start()
        try:
            uvloop.run(asyncio.wait_for(load(url, seconds, report), seconds + SLACK_S))
        finally:
            mischief.over.set()
            mischief.join()
        if not supervisor_killed:
            told = wait_until(lambda: whole(cluster), what="a cluster that is whole again")
            report.retried = sum(pool["retried"] for pool in told["pools"])
            report.given_up = sum(pool["failed"] for pool in told["pools"])
            report.counted = counted(told)
        runs = Counter((cluster.folder / "runs").read_text().split())
        report.twice = [number for number, times in runs.items() if times > 1]
        cluster.down()
    report.judge()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.chaos", description="Kill and stop processes of a cluster under checked load."
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (60)")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it; else a new one")
    parser.add_argument("--supervisor-killed", action="store_true", help="first the supervisor, then half of each pool")
    parser.add_argument("--supervisors-killed", action="store_true", help="one supervisor after the other")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(json.dumps({"seed": seed, "seconds": options.seconds}), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave by the context managers, which end the cluster
    began = time.monotonic()
    which = {"supervisor_killed": options.supervisor_killed, "supervisors_killed": options.supervisors_killed}
    report = run(options.seconds, seed, **which)
    print(json.dumps({**asdict(report), "took_s": round(time.monotonic() - began, 1)}))
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
