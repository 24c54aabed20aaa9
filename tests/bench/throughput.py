"""How many requests a second the two-pool sample answers, against a bare server that computes inline, in one run.

    python -m tests.bench.throughput [--seconds 4] [--connections 64]

The floor is `bare_http`: uvloop and httptools, no process in between. Each subject is alone with it, and their rounds
alternate, so that what the machine does besides hits both alike; `ratio` is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.bench.report import report
from tests.support.cluster import PRIME, ClusterUnderTest
from tests.support.load import closed, primes

ROUNDS = 3
INLINE = Path(__file__).with_name("inline.py")
PRIME_SAMPLE = PRIME.replace(':compute"\nworkers = 2', ':compute"\nworkers = 4').replace(
    ':parse"\nworkers = 1', ':parse"\nworkers = 2'
)
TWO_POOLS = PRIME_SAMPLE.replace("[routes]", "access_log = false\n\n[routes]")
ONE_POOL = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"
access_log = false

[routes]
"/is_prime" = "one"

[pools.one]
handler = "inline:is_prime"
workers = 4
"""


@contextmanager
def bare() -> Iterator[str]:
    """The floor; yields its URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bare_http"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


@contextmanager
def running(config: str) -> Iterator[str]:
    with ClusterUnderTest(config, files={"inline.py": INLINE.read_text()}) as cluster:
        yield cluster.up().url


async def measure(url: str, connections: int, seconds: float) -> dict[str, float]:
    """Requests a second and latencies; every answer is checked."""
    result = await closed(url, primes(), connections=connections, seconds=seconds)
    assert (result.wrong, result.failed) == (0, 0), result
    return {"rate": result.rate, "p50_ms": result.p50_ms, "p99_ms": result.p99_ms}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    with_log = ONE_POOL.replace("access_log = false", "access_log = true")
    subjects = {
        "two_pools": TWO_POOLS,
        "two_pools_access_log": PRIME_SAMPLE,
        "one_pool": ONE_POOL,
        "one_pool_access_log": with_log,
    }
    for name, config in subjects.items():
        floors, rounds = [], []
        with bare() as floor, running(config) as url:
            for warm in (floor, url):
                asyncio.run(measure(warm, options.connections, 0.5))
            for _ in range(ROUNDS):
                floors.append(asyncio.run(measure(floor, options.connections, options.seconds)))
                rounds.append(asyncio.run(measure(url, options.connections, options.seconds)))
        told = {key: round(median(figures[key] for figures in rounds), 3) for key in rounds[0]}
        told["bare_rate"] = round(median(figures["rate"] for figures in floors), 1)
        told["ratio"] = round(median(own["rate"] / base["rate"] for own, base in zip(rounds, floors, strict=True)), 3)
        report("throughput", name, {"connections": options.connections, "seconds": options.seconds}, told, n=ROUNDS)


if __name__ == "__main__":
    main()
