"""What the console costs: CPU and bytes a tick at 100 workers and 4 snapshots a second, and its first frame.

    python -m tests.bench.console_cpu [--workers 100] [--seconds 20] [--size 160x50]

Runs the console in a pty on a stage without a cluster, where every fifth worker and every pool change at each tick.
The figures include making the snapshots, which a cluster would do elsewhere. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version

from tests.screens.test_pty import Terminal

TICKS_A_SECOND = 4


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system (proc(5), fields 14 and 15)."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_frame_s(size: tuple[int, int], workers: int) -> tuple[float, float]:
    """Wall and CPU seconds from the start of the interpreter to the last line of the first frame."""
    begun = time.perf_counter()
    terminal = Terminal("calm", str(workers), size=size)
    try:
        while b" out " not in terminal.seen:
            terminal.seen += os.read(terminal.main, 1 << 16)
        return time.perf_counter() - begun, cpu_s(terminal.program.pid)
    finally:
        terminal.close()


def load(size: tuple[int, int], workers: int, seconds: float) -> tuple[list[float], float]:
    """CPU percent of each second, and bytes a tick, once the console is at work."""
    terminal = Terminal("busy", str(workers), size=size)
    try:
        terminal.expect("overview", "compute")
        settle = time.monotonic() + 3.0
        while time.monotonic() < settle:
            terminal.read()
        percents: list[float] = []
        written = len(terminal.seen)
        begun = time.monotonic()
        for number in range(1, int(seconds) + 1):
            before, since = cpu_s(terminal.program.pid), time.monotonic()
            while time.monotonic() < begun + number:
                terminal.read()
            percents.append(100 * (cpu_s(terminal.program.pid) - before) / (time.monotonic() - since))
        assert b"live" in terminal.seen[written:], "the console shows live data"
        return percents, (len(terminal.seen) - written) / (seconds * TICKS_A_SECOND)
    finally:
        terminal.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--size", default="160x50")
    asked = parser.parse_args()
    width, _, height = asked.size.partition("x")
    size = int(width), int(height)
    frames = [first_frame_s(size, asked.workers) for _ in range(5)]
    percents, bytes_a_tick = load(size, asked.workers, asked.seconds)
    print(
        json.dumps(
            {
                "bench": "console_cpu",
                "workers": asked.workers,
                "size": asked.size,
                "hz": TICKS_A_SECOND,
                "n": len(percents),
                "cpu_percent": {
                    "min": round(min(percents), 1),
                    "mean": round(statistics.fmean(percents), 1),
                    "max": round(max(percents), 1),
                },
                "bytes_per_tick": round(bytes_a_tick),
                "first_frame_s": {
                    "min": round(min(wall for wall, _ in frames), 3),
                    "median": round(statistics.median(wall for wall, _ in frames), 3),
                    "cpu_median": round(statistics.median(cpu for _, cpu in frames), 3),
                },
                "python": platform.python_version(),
                "textual": version("textual"),
                "cpu": platform.processor() or platform.machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
