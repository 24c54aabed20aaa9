"""What the journal costs the two-pool sample: requests a second with it and without it, in alternating rounds.

    python -m tests.bench.journal_cost [--seconds 4] [--connections 64] [--rounds 5]

Both clusters are up all the time, the load goes to one of them; each round asks both, in turns first, and `ratio` is
the median of the rounds' ratios. A round is over when its last row is on disk: what the recorder has put off counts
(`behind_ms` is how long that took, of which `CALM_S` is the way of any row). `cpu_us` is processor time a request of
all processes of the cluster, which shows the cost even where the machine has other things to do; `cpu_us_by_role` says
who takes it.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from statistics import median
from time import perf_counter

import psutil

from tests.bench.report import report
from tests.bench.throughput import PRIME_SAMPLE
from tests.support.cluster import ClusterUnderTest, wait_until
from tests.support.load import closed, primes

WITH = PRIME_SAMPLE.replace("[routes]", "access_log = false\n\n[routes]")
WITHOUT = WITH + "\n[journal]\nenabled = false\n"
WARM_S = 1.0
CALM_S = 0.1
"""Rows gather for a moment at the server and at the recorder, however little there is to do."""


class Subject:
    """One cluster, and its figures round by round."""

    def __init__(self, cluster: ClusterUnderTest) -> None:
        self.cluster = cluster
        self.url = cluster.up().url
        self.processes = {name: psutil.Process(pid) for name, pid in cluster.pids().items() if pid}
        self.rates: list[float] = []
        self.p99_ms: list[float] = []
        self.behind_ms: list[float] = []
        self.cpu_us: Counter[str] = Counter()
        self.requests = 0
        self.asked = 0

    def ask(self, connections: int, seconds: float, *, warm: bool = False) -> None:
        """Every answer is checked."""
        before = self._cpu_s()
        result = asyncio.run(closed(self.url, primes(), connections=connections, seconds=seconds))
        assert (result.wrong, result.failed) == (0, 0), result
        self.asked += result.requests
        began = perf_counter()
        if "recorder" in self.processes:
            wait_until(lambda: self._written() >= self.asked, what="the last row")
        behind_s = perf_counter() - began
        if warm:
            return
        self.rates.append(result.requests / (result.seconds + max(0.0, behind_s - CALM_S)))
        self.behind_ms.append(behind_s * 1000)
        self.p99_ms.append(result.p99_ms)
        self.requests += result.requests
        for name, cpu_s in self._cpu_s().items():
            self.cpu_us[name.partition(".")[0]] += (cpu_s - before[name]) * 1e6

    def _cpu_s(self) -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in self.processes.items()}

    def _written(self) -> int:
        with closing(sqlite3.connect(f"file:{self.cluster.place.journal_file}?mode=ro", uri=True)) as journal:
            return int(journal.execute("SELECT count(*) FROM requests").fetchone()[0])

    def cpu_us_by_role(self) -> dict[str, float]:
        return {role: round(cpu_us / self.requests, 1) for role, cpu_us in sorted(self.cpu_us.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ClusterUnderTest(WITH, name="with") as one, ClusterUnderTest(WITHOUT, name="without") as other:
        on, off = Subject(one), Subject(other)
        for subject in (on, off):
            subject.ask(options.connections, WARM_S, warm=True)
        for number in range(options.rounds):
            for subject in (on, off) if number % 2 else (off, on):
                subject.ask(options.connections, options.seconds)
        figures = {
            "rate_on": round(median(on.rates), 1),
            "rate_off": round(median(off.rates), 1),
            "ratio": round(median(a / b for a, b in zip(on.rates, off.rates, strict=True)), 3),
            "behind_ms": round(median(on.behind_ms), 1),
            "p99_ms_on": round(median(on.p99_ms), 3),
            "p99_ms_off": round(median(off.p99_ms), 3),
            "cpu_us_on": round(sum(on.cpu_us.values()) / on.requests, 1),
            "cpu_us_off": round(sum(off.cpu_us.values()) / off.requests, 1),
            "cpu_us_by_role_on": on.cpu_us_by_role(),
            "cpu_us_by_role_off": off.cpu_us_by_role(),
            "requests_on": on.requests,
        }
        parameters = {"connections": options.connections, "seconds": options.seconds}
        report("journal_cost", "two_pools", parameters, figures, n=options.rounds)


if __name__ == "__main__":
    main()
