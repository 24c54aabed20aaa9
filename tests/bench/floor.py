"""What hops cost between bare pyzmq processes: a ring of them over ipc, each a blocking recv and a send.

    python -m tests.bench.floor [--hops 3] [--rounds 5000]

A message of the size of a small job leaves this process and comes back after so many hops. Nothing that sends messages
over this transport between that many processes can be faster.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Self

import zmq

from tests.bench.report import percentile, report

MESSAGE = bytes(120)
WARM_UP = 500


class Ring:
    """The processes are there for as long as this is open."""

    def __init__(self, folder: str, hops: int) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._back = self._context.socket(zmq.PULL)
        self._back.bind(f"ipc://{folder}/{hops}")
        self._out = self._context.socket(zmq.PUSH)
        self._out.connect(f"ipc://{folder}/1")
        self._processes = [
            subprocess.Popen([sys.executable, "-m", "tests.bench.floor", "--link", folder, str(number)])
            for number in range(1, hops)
        ]

    def __enter__(self) -> Self:
        self.seconds(WARM_UP)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()
        self._context.destroy(linger=0)

    def seconds(self, rounds: int) -> list[float]:
        """How long each round took."""
        taken = []
        for _ in range(rounds):
            began = perf_counter()
            self._out.send(MESSAGE)
            if not self._back.poll(10_000):
                raise TimeoutError("a message did not come back")
            self._back.recv()
            taken.append(perf_counter() - began)
        return taken


@contextmanager
def ring(hops: int) -> Iterator[Ring]:
    with tempfile.TemporaryDirectory(prefix="pctl-") as folder, Ring(folder, hops) as opened:
        yield opened


def link(folder: str, number: int) -> None:
    """One process of the ring, until it is ended."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    before = context.socket(zmq.PULL)
    before.bind(f"ipc://{folder}/{number}")
    behind = context.socket(zmq.PUSH)
    behind.connect(f"ipc://{folder}/{number + 1}")
    while True:
        behind.send(before.recv())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hops", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--link", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.link:
        link(options.link[0], int(options.link[1]))
    with ring(options.hops) as opened:
        taken = opened.seconds(options.rounds)
    figures = {
        "round_us": round(percentile(taken, 0.5) * 1e6, 1),
        "hop_us": round(percentile(taken, 0.5) * 1e6 / options.hops, 1),
    }
    report("floor", "bare pyzmq", {"hops": options.hops}, figures, n=options.rounds)


if __name__ == "__main__":
    main()
