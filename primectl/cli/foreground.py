"""§ A cluster in the foreground: the supervisor in this process, the merged log of its processes on stdout."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import TracebackType
from typing import Self

from primectl.cli.loglines import Prefixer
from primectl.cli.render import stopped_text
from primectl.cli.start import CouldNotStart, Started, started_text
from primectl.cli.tail import Follower
from primectl.cli.terminal import has_colour, silence_stdout, tell
from primectl.config.load import Loaded
from primectl.config.topology import Place
from primectl.wire.control import Stopped
from primectl.wire.stats import ClusterSnapshot

LOOK_EVERY_S = 0.1
BEHIND_LIMIT = 4 << 20
"""Bytes of one log that may wait to be shown; beyond that it is skipped, so a slow terminal holds up nobody."""
LAST_WORDS_S = 2.0


class MergedLog:
    """Shows what the processes of a cluster write from now on, from a thread of its own.

    The supervisor never waits for it: the logs are files, the thread reads them, and a terminal that is stopped or gone
    stops only the thread.
    """

    def __init__(self, place: Place) -> None:
        self._follower = Follower(place, behind_limit=BEHIND_LIMIT)
        self._prefixed = Prefixer((), colour=has_colour(sys.stdout), raw=not sys.stdout.isatty())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="merged-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the last words of the processes, unless the terminal takes none."""
        self._ended.set()
        self._thread.join(LAST_WORDS_S)

    def _run(self) -> None:
        try:
            while True:
                ended = self._ended.wait(LOOK_EVERY_S)
                while lines := self._follower.read():
                    _write("".join(f"{self._prefixed(line)}\n" for line in lines).encode())
                if ended:
                    return
        except BrokenPipeError:
            silence_stdout()
        finally:
            self._follower.close()


def heed_sigterm() -> None:
    """Until the supervisor's own handler is there, SIGTERM ends this process. The kernel's default is not enough: it
    does not hold for PID 1 of a container, which `docker stop` would have to wait for."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def run_here(loaded: Loaded, place: Place, *, watch: bool = False) -> int:
    """Run the cluster in this process until it is stopped; its exit code. Raises what `serve` raises."""
    from supervisor.events import CameUp
    from supervisor.run import ClusterFailed, serve

    def ready(snapshot: ClusterSnapshot, how: CameUp) -> None:
        outcome = how.adopted, how.started, how.failing, how.applied, how.unrecorded
        started = Started(place.cluster, snapshot.front.listen, os.getpid(), False, *outcome)
        tell(f"{started_text(started)}; Ctrl-C stops it")
        for trouble in started.troubles:
            tell(trouble)

    stopped: list[Stopped] = []
    try:
        with MergedLog(place):
            code = serve(
                loaded.config,
                place,
                loaded.path,
                loaded.import_path,
                on_ready=ready,
                report=stopped.append,
                watch=watch,
            )
    except ClusterFailed as error:
        raise CouldNotStart(error.what, error.where, "\n".join(error.detail), error.exit_code) from None
    for report in stopped:
        tell(stopped_text(report))
    return code


def _write(data: bytes) -> None:
    # Not through sys.stdout: a thread that waits inside it for a stopped terminal would hold its lock at exit.
    while data:
        data = data[os.write(1, data) :]
