"""How long the commands take that operators wait for, each with the start of its own interpreter.

python -m tests.bench.commands
"""

from __future__ import annotations

import os
import signal
import time
from statistics import median

from tests.bench.report import report
from tests.support.cluster import PRIME, ClusterUnderTest, alive, wait_until

ROUNDS = 5


def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), what="its end")


def main() -> None:
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        with ClusterUnderTest(PRIME.replace("workers = 2", "workers = 1")) as cluster:
            for name, words in {
                "up": ("up", "-d"),
                "ps": ("ps",),
                "up -d after SIGKILL": ("up", "-d"),
                "scale 1 to 64": ("scale", "compute=64"),
                "scale 64 to 1": ("scale", "compute=1"),
                "kill": ("kill", "compute", "--yes"),
                "down": ("down",),
            }.items():
                if name == "up -d after SIGKILL":
                    killed(cluster.pids()["supervisor"])
                began = time.perf_counter()
                cluster.cli(*words)
                seconds.setdefault(name, []).append(time.perf_counter() - began)
    for name, taken in seconds.items():
        figures = {"seconds": round(median(taken), 3), "least_s": round(min(taken), 3), "most_s": round(max(taken), 3)}
        report("commands", name, {}, figures, n=ROUNDS)


if __name__ == "__main__":
    main()
