"""§ `python -m supervisor --notify-fd N`: a supervisor behind the terminal.

Reads a ClusterFile as JSON from stdin, and writes to the notify descriptor one JSON object a line:

    {"progress": "…"}
    {"ready": true, "listen": "http://…", "pid": 4242, "adopted": 0, "started": 0, "failing": [], "applied": "",
     "unrecorded": ""}
    {"failed": "one line", "detail": "its log's last lines", "exit_code": 1}

The last two are the last ones; then the descriptor is closed. Everything else goes to the supervisor's log.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import msgspec

from primectl.config.topology import ClusterFile
from primectl.errors import PrimectlError
from primectl.wire.stats import ClusterSnapshot
from supervisor.events import CameUp
from supervisor.run import ClusterFailed, serve
from supervisor.spawn import PROGRAMS, Programs


class Notifier:
    """The one who started us, as long as it listens."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def progress(self, text: str) -> None:
        self._say(progress=text)

    def ready(self, snapshot: ClusterSnapshot, how: CameUp) -> None:
        self._say(
            ready=True,
            listen=snapshot.front.listen,
            pid=os.getpid(),
            adopted=how.adopted,
            started=how.started,
            failing=how.failing,
            applied=how.applied,
            unrecorded=how.unrecorded,
        )
        self._close()

    def failed(self, error: PrimectlError) -> None:
        detail = error.detail if isinstance(error, ClusterFailed) else ()
        self._say(failed=str(error), detail="\n".join(detail), exit_code=error.exit_code)
        self._close()

    def _say(self, **notice: Any) -> None:
        if self._fd >= 0:
            # Whoever started us may have been interrupted; the cluster comes up all the same.
            with suppress(BrokenPipeError):
                os.write(self._fd, msgspec.json.encode(notice) + b"\n")

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def detach() -> None:
    """Leave the terminal: a session of our own, no stdin, deaf to its end."""
    with suppress(PermissionError):  # a session leader already
        os.setsid()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def main(programs: Programs = PROGRAMS) -> int:
    parser = argparse.ArgumentParser(prog="python -m supervisor", description="Started by `primectl up -d`.")
    parser.add_argument("--notify-fd", type=int, required=True)
    parser.add_argument("--watch", action="store_true", help="reload changed code")
    options = parser.parse_args()
    fd = options.notify_fd
    os.set_inheritable(fd, False)
    notifier = Notifier(fd)
    cluster = msgspec.json.decode(sys.stdin.buffer.read(), type=ClusterFile)
    detach()
    try:
        return serve(
            cluster.config,
            cluster.place,
            cluster.config_path,
            cluster.import_path,
            on_progress=notifier.progress,
            on_ready=notifier.ready,
            capture=True,
            programs=programs,
            watch=options.watch,
        )
    except PrimectlError as error:
        notifier.failed(error)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
