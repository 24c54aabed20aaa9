"""The console on its stage in a real terminal: run by test_pty.py and by the benchmark, in a process of its own.

    python -m tests.screens.pty_console MODE [WORKERS]

MODE is calm, busy (every figure changes), hostile, crash (ctrl+l raises) or once (one snapshot, then silence).
"""

from __future__ import annotations

import itertools
import sys
import threading
import time

import msgspec

from primectl.clock import SystemClock
from primectl.wire.journal import HopTimes, Requests
from primectl.wire.stats import ClusterSnapshot, JournalSnapshot, LogLine
from tests.screens.stage import FAKE_REPLAY, StageChannel
from tests.support.recorded import a_row, an_entry
from tests.support.snapshots import a_cluster, a_pool, an_event
from tui.app import Console, operate

HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[31;41;5mEVIL\x1b[2J\x9b5n\x1bP1$r\x1b\\\r\n\x08[/x][b]\u202e日本"


def snapshot(mode: str, workers: int, turn: int) -> ClusterSnapshot:
    """The cluster at one tick."""
    if mode == "hostile":
        return a_cluster(
            a_pool(HOSTILE, queued=turn, failed_workers=1), cluster=HOSTILE, progress=HOSTILE, time=time.time(),
            journal=JournalSnapshot(state="stopped", trouble=HOSTILE),
        )  # fmt: skip
    changing = turn if mode == "busy" else 0
    busy = workers // 2 + changing % 7
    pool = a_pool(
        workers=workers, target=workers, busy=busy, idle=workers - busy, queued=changing % 90, rate=100.0 + changing,
        utilisation=0.5 + changing % 10 / 40, p99_ms=1.0 + changing % 30, done=turn * 100,
    )  # fmt: skip
    cluster = a_cluster(a_pool("parse", done=turn * 100), pool, time=time.time(), uptime_s=float(turn))
    moved = [
        msgspec.structs.replace(process, jobs=turn + number, cpu_percent=float((turn + number) % 100))
        if mode == "busy" and (turn + number) % 5 == 0
        else process
        for number, process in enumerate(cluster.processes)
    ]
    return msgspec.structs.replace(cluster, processes=moved)


def publish(channel: StageChannel, mode: str, workers: int) -> None:
    """Four snapshots a second, and in a hostile world whatever else a stranger can write."""
    for turn in itertools.count():
        channel.publish(snapshot(mode, workers, turn))
        if mode == "hostile":
            channel.publish(an_event(turn, text=HOSTILE, subject=HOSTILE, kind=HOSTILE, operator=HOSTILE))
            channel.publish([LogLine(HOSTILE, HOSTILE)])
        if mode == "once":
            return
        time.sleep(0.25)


def record_hostile(channel: StageChannel) -> None:
    """Answer questions about recorded requests with whatever a client can send."""
    hops = [HopTimes(HOSTILE, HOSTILE, 1.0, 2.0)]
    row = a_row(1, id=HOSTILE, path=HOSTILE, query=HOSTILE, client=HOSTILE, problem=HOSTILE, hops=hops)
    body = HOSTILE.encode()
    channel.answers["/requests"] = Requests([row], 1, 1)
    channel.answers["/requests/entry"] = an_entry(
        row, fields=((HOSTILE, HOSTILE),), body=body, answer_fields=((HOSTILE, HOSTILE),), answer_body=body
    )


def crash(self: Console) -> None:
    raise RuntimeError("on purpose")


def main() -> int:
    mode, workers = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8
    channel = StageChannel()
    if mode == "crash":
        Console.on_redraw_requested = crash  # type: ignore[method-assign]
    if mode == "hostile":
        record_hostile(channel)
    threading.Thread(target=publish, args=(channel, mode, workers), daemon=True).start()
    return operate(Console(channel, "prime", clock=SystemClock(), command=FAKE_REPLAY))


if __name__ == "__main__":
    sys.exit(main())
