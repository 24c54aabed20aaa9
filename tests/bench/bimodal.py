"""Do short jobs suffer from standing in a batch behind a long one? `prefetch = "auto"` against `prefetch = 1`.

    python -m tests.bench.bimodal [--seconds 10]

Four workers; one job in a hundred takes 100 ms, the others next to nothing. First the ceiling of both with short jobs
only, 64 connections in a closed loop. Then jobs arrive at half of what the workers can do (`CAPACITY`), or half of the
lower ceiling if that is less, whatever the answers do: `even` with the long ones spread evenly, `random` with any job
long by chance, so that now and then all four workers are busy with long ones. Latencies are those of the short jobs,
counted from when each was due. The rounds alternate; `p99_ratio` and `ceiling_ratio` are medians of auto to 1.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from tests.bench.report import report
from tests.support.cluster import ClusterUnderTest
from tests.support.load import Result, closed, get, paced

ROUNDS = 3
WORKERS = 4
LONG_S = 0.1
LONG_SHARE = 0.01
CAPACITY = WORKERS / (LONG_S * LONG_SHARE)
"""Jobs a second that the workers can do, where nothing but the long ones counts: one millisecond a job on average."""
LOAD = 0.5

CONFIG = f"""
[cluster]
name = "{{name}}"

[server]
listen = "http://127.0.0.1:0"
access_log = false

[routes]
"/*" = "mixed"

[pools.mixed]
handler = "mixed:mixed"
workers = {WORKERS}
prefetch = PREFETCH
"""
MIXED = """
import time

from primectl import Response

ANSWER = Response.text("done")


def mixed(request, job):
    if request.target == "/long":
        time.sleep(0.1)
    return ANSWER
"""
SHORT = get("/short", b"done")
LONG = get("/long", b"done")


def arrivals(kind: str, rate: float, seconds: float, seed: int) -> tuple[list[float], list[float]]:
    """When the short jobs arrive, and when the long ones."""
    chance = random.Random(seed)
    every = int(1 / LONG_SHARE)
    short: list[float] = []
    long: list[float] = []
    for number in range(int(rate * seconds)):
        is_long = chance.random() < LONG_SHARE if kind == "random" else number % every == 0
        (long if is_long else short).append(number / rate)
    return short, long


async def mixed(url: str, kind: str, rate: float, seconds: float, seed: int) -> Result:
    """What the short jobs saw."""
    short, long = arrivals(kind, rate, seconds, seed)
    result, others = await asyncio.gather(
        paced(url, itertools.repeat(SHORT), arrivals=short, connections=64),
        paced(url, itertools.repeat(LONG), arrivals=long, connections=64),
    )
    checked(others)
    return checked(result)


async def ceiling(url: str, seconds: float) -> float:
    return checked(await closed(url, itertools.repeat(SHORT), connections=64, seconds=seconds)).rate


def checked(result: Result) -> Result:
    assert (result.wrong, result.failed) == (0, 0), result
    return result


def sides(stack: ExitStack) -> Iterator[tuple[str, str]]:
    """A cluster each; its URL."""
    for name, prefetch in (("auto", '"auto"'), ("one", "1")):
        cluster = ClusterUnderTest(CONFIG.replace("PREFETCH", prefetch), files={"mixed.py": MIXED})
        yield name, stack.enter_context(cluster).up().url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of arrivals in each round")
    options = parser.parse_args()
    with ExitStack() as stack:
        urls = dict(sides(stack))
        ceilings: dict[str, list[float]] = {name: [] for name in urls}
        for _ in range(ROUNDS):
            for name, url in urls.items():
                ceilings[name].append(asyncio.run(ceiling(url, options.seconds / 5)))
        ratio = median(auto / one for auto, one in zip(ceilings["auto"], ceilings["one"], strict=True))
        told = {f"{name}_rate": round(median(rates)) for name, rates in ceilings.items()}
        report("bimodal", "ceiling", {"workers": WORKERS}, {**told, "ceiling_ratio": round(ratio, 2)}, n=ROUNDS)
        rate = round(LOAD * min(CAPACITY, *told.values()))
        for kind in ("even", "random"):
            rounds: dict[str, list[Result]] = {name: [] for name in urls}
            for number in range(ROUNDS):
                for name, url in urls.items():
                    rounds[name].append(asyncio.run(mixed(url, kind, rate, options.seconds, number)))
            ratio = median(auto.p99_ms / one.p99_ms for auto, one in zip(rounds["auto"], rounds["one"], strict=True))
            told = {
                f"{name}_{figure}": round(median(getattr(result, figure) for result in results), 3)
                for name, results in rounds.items()
                for figure in ("p50_ms", "p99_ms", "max_ms")
            }
            figures = {**told, "p99_ratio": round(ratio, 2)}
            report("bimodal", kind, {"rate": rate, "workers": WORKERS, "seconds": options.seconds}, figures, n=ROUNDS)


if __name__ == "__main__":
    main()
