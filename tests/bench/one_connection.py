"""How long one client waits who asks one thing at a time, against what the hops between bare processes cost.

    python -m tests.bench.one_connection [--seconds 3]

One pool makes three hops over ipc (server, proxy, worker, server), two pools make five. The floor is a ring of bare
pyzmq processes with as many (`floor`); besides, a client needs a round to the HTTP server over TCP, which is what the
bare inline server (`bare_http`) takes. The rounds alternate; `hop_ratio` is the median of p50 to the hops alone,
`ratio` to hops and TCP round together.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import ExitStack
from statistics import median

from tests.bench.floor import ring
from tests.bench.report import percentile, report
from tests.bench.throughput import ONE_POOL, TWO_POOLS, bare, measure, running

ROUNDS = 3
HOPS = {"one_pool": 3, "two_pools": 5}


def p50_us(url: str, seconds: float) -> float:
    return asyncio.run(measure(url, 1, seconds))["p50_ms"] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each of the measurements")
    parser.add_argument("--rounds", type=int, default=2000, help="of messages in a ring")
    options = parser.parse_args()
    with ExitStack() as stack:
        tcp = stack.enter_context(bare())
        urls = {
            name: stack.enter_context(running(config))
            for name, config in (("one_pool", ONE_POOL), ("two_pools", TWO_POOLS))
        }
        rings = {name: stack.enter_context(ring(hops)) for name, hops in HOPS.items()}
        for url in (tcp, *urls.values()):  # warm up
            p50_us(url, 0.5)
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in urls}
        for _ in range(ROUNDS):
            for name, url in urls.items():
                hops = percentile(rings[name].seconds(options.rounds), 0.5) * 1e6
                figures[name].append((p50_us(url, options.seconds), hops, p50_us(tcp, options.seconds / 3)))
    for name, rounds in figures.items():
        told = {
            "p50_us": round(median(own for own, _, _ in rounds), 1),
            "hops_us": round(median(hops for _, hops, _ in rounds), 1),
            "tcp_us": round(median(http for _, _, http in rounds), 1),
            "hop_ratio": round(median(own / hops for own, hops, _ in rounds), 2),
            "ratio": round(median(own / (hops + http) for own, hops, http in rounds), 2),
        }
        report("one_connection", name, {"hops": HOPS[name], "seconds": options.seconds}, told, n=ROUNDS)


if __name__ == "__main__":
    main()
