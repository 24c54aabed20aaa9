"""Stands in for the command line where the console starts a replay: tells progress as it does, and then a report.

    python -m tests.screens.fake_replay replay -c CLUSTER --json --progress json [--dry-run] … ID…

What it was given is written to the file FAKE_REPLAY_ARGV names. While the file FAKE_REPLAY_HOLD exists it does not
come to its end; SIGINT ends it with the report so far. FAKE_REPLAY_FAILS makes it fail.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path


def result(request: str, number: int) -> dict[str, object]:
    """The first one has changed, the others are the same."""
    changed = number == 0
    hops = [{"pool": "route", "worker": "route.1", "queued_ms": 1.0, "served_ms": 22.0}]
    differences = [{"what": "body", "before": '{"error":"no path"}', "after": "\x1b]52;c;ZXZpbA==\x07\u202etrip"}]
    return {
        "id": request,
        "replay_id": f"9{number:012x}",
        "method": "POST" if changed else "GET",
        "path": "/optimize" if changed else "/route",
        "outcome": "changed" if changed else "same",
        "why": "",
        "status": {"before": 500 if changed else 200, "after": 200},
        "ms": {"before": 31.0, "after": 1402.0 if changed else 30.0},
        "hops": {"before": hops, "after": hops},
        "differences": differences if changed else [],
    }


def main() -> int:
    stopped = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    arguments = sys.argv[1:]
    if place := os.environ.get("FAKE_REPLAY_ARGV"):
        Path(place).write_text(json.dumps({"argv": arguments, "pid": os.getpid(), "session": os.getsid(0)}))
    if os.environ.get("FAKE_REPLAY_FAILS"):
        print("Error: there is no request 1a2f", file=sys.stderr)
        return 3
    ids = [word for word in arguments[arguments.index("replay") :] if word.startswith("1a2f")]
    if "--dry-run" in arguments:
        print(json.dumps({"count": len(ids), "bytes": 2048, "seconds": 1.5, "skipped": 0}))
        return 0
    told = {"sent": 1, "total": len(ids), "same": 0, "changed": 1, "failed": 0, "skipped": 0, "waiting": 0, "lag_ms": 0}
    print(json.dumps(told), file=sys.stderr, flush=True)
    hold = os.environ.get("FAKE_REPLAY_HOLD")
    while hold and Path(hold).exists() and not stopped.wait(0.01):
        pass
    sent = ids[:1] if stopped.is_set() else ids
    rest = len(ids) - len(sent)
    report = {
        "run": "1234abcd", "target": "http://127.0.0.1:8002", "sent": len(sent), "same": len(sent) - 1, "changed": 1,
        "failed": 0, "skipped": 0, "new_errors": 0, "fixed": 1, "slower": 1, "not_sent": rest, "seconds": 1.0,
        "rate": 3.0, "lag_ms": {"p50": 0.1, "p99": 0.2, "max": 0.3}, "stopped": "interrupted" if rest else "",
        "requests": [result(request, number) for number, request in enumerate(sent)],
    }  # fmt: skip
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
