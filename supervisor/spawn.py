"""§ Processes begin, get signals, end. Every child is known by a pidfd, so a number that was used again is never hit.

Children live in sessions of their own (a terminal's signals are the supervisor's alone), with stdin closed off and
their log as stdout and stderr, so that an interpreter's last words are kept.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from primectl.config.topology import ClusterFile, server_number
from primectl.control.begun import last_life
from primectl.control.log import ProcessLog
from primectl.errors import ConfigError, StartFailed
from supervisor import kernel, sharing
from supervisor.adopt import Alive, is_of_cluster
from supervisor.doors import Doors
from supervisor.events import Event, Exec, Exited, Kind, Spawned
from supervisor.leftbehind import LeftBehind
from supervisor.logread import lines_of_life, size
from supervisor.oom import OomKills

INHERITED_FD = 7
"""Where a server finds its listening socket, and a zygote its end of the channel."""
TAIL_LINES = 20
TAIL_BYTES = 16 << 10
"""Of a log, looked at when its process has ended: neighbours wait to hear of that end."""
REAP_LOOK_S = 0.01
REAP_LOOKS = 100
"""For a worker that ended at once to become our child; after that its exit status is taken for lost."""
ARENAS: Mapping[str, str] = {"MALLOC_ARENA_MAX": "2"}
"""glibc's malloc (mallopt(3)): not a heap of its own for each thread that ever allocated."""
THRESHOLDS: Mapping[str, str] = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(2 << 20)}
"""For those that hold bodies, so that their memory goes back to the system. By itself malloc raises these to the
largest block that was ever freed, and then one small survivor holds a heap of large ones in place. After bodies of 1 kB
to 2 MB came and went by hundreds, a server kept 46 MB instead of 70 and a proxy 45 instead of 60; bodies below 1 MiB
cost the same, 2 MB there and back 40 ms of processor time in three processes instead of 26. Handlers may count on large
blocks being fast and keep malloc's own way."""

Programs = Mapping[Kind, tuple[str, ...]]
"""What the interpreter is given to run, before our own options."""
PROGRAMS: Programs = {
    Kind.SERVER: ("-m", "primectl.server"),
    Kind.PROXY: ("-m", "primectl.proxy"),
    Kind.WORKER: ("-m", "primectl.worker"),
    Kind.RECORDER: ("-m", "primectl.recorder"),
    Kind.ZYGOTE: ("-m", "primectl.worker.zygote"),
}
_DEFAULT_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD]


class Child(NamedTuple):
    """One life of a process. `log_from` is where its log stood when it began."""

    process: str
    incarnation: int
    kind: Kind
    pool: str
    pid: int
    pidfd: int
    log_from: int
    start_ticks: int
    adopted: bool = False
    """An earlier supervisor has started it: it is no child of ours."""


class Spawner:
    """The children that run. `emit` takes what happens to them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cluster: ClusterFile,
        doors: Doors,
        emit: Callable[[Event], None],
        programs: Programs,
        open_files: kernel.Limit,
        log: ProcessLog,
    ) -> None:
        """`open_files` is the limit for processes that run handlers; all others get ours."""
        self._loop = loop
        self._open_files = open_files
        self._programs = programs
        self.cluster = cluster
        """What cluster.json says; replaced with it."""
        self._place = cluster.place
        self._doors = doors
        self._emit = emit
        self._children: dict[tuple[str, int], Child] = {}
        self._pids: set[int] = set()
        self._killed: set[tuple[str, int]] = set()
        """Those that have had SIGKILL from us."""
        self._log = log
        self._left_behind = LeftBehind(loop, cluster, lambda: self._pids, log)
        self._oom_kills = OomKills()
        self._noted: dict[str, int] = {}
        """The life of each worker that had noted something when one ended."""
        self.changed = False
        """The children are others than when the state file was written."""

    # --- begin --------------------------------------------------------------------------------------------------------

    def exec(self, order: Exec) -> None:
        """Start a process with an interpreter of its own."""
        options = ["--id", order.process, "--incarnation", str(order.incarnation)]
        inherited = -1
        if order.kind is Kind.SERVER:
            try:
                inherited = self._doors.fd(server_number(order.process))
            except StartFailed as error:
                self._emit(Exited(order.process, order.incarnation, None, (str(error),)))
                return
            options += ["--listen-fd", str(INHERITED_FD)]
        self.launch(order, options, inherited)

    def launch(self, order: Exec, options: list[str], inherited: int) -> None:
        """`inherited` is a descriptor for INHERITED_FD, -1 for none."""
        self.hand_over(order.process, order.kind, order.pool)
        log = self._place.log_file(order.process)
        log_from = size(log)
        program = self._programs[order.kind]
        argv = [sys.executable, *program, "--cluster-file", self._place.cluster_file, *options]
        # A pool's env is for its handler; the proxy runs none.
        runs_handlers = order.kind in (Kind.WORKER, Kind.ZYGOTE)
        pool = self.cluster.config.pools[order.pool] if runs_handlers else None
        env = {} if pool is None else pool.env
        malloc = ARENAS if runs_handlers else {**ARENAS, **THRESHOLDS}
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        if inherited >= 0:
            actions.append((os.POSIX_SPAWN_DUP2, inherited, INHERITED_FD))
        try:
            pid = os.posix_spawn(
                sys.executable,
                argv,
                {**malloc, **os.environ, **env},  # what the operator has set goes first
                file_actions=actions,
                setsid=True,
                setsigmask=[],
                setsigdef=_DEFAULT_SIGNALS,
            )
        except OSError as error:
            self._emit(Exited(order.process, order.incarnation, None, (f"it cannot be started: {error.strerror}",)))
            return
        if pool is not None and "nofile" not in pool.rlimits:
            # A handler may use select(2), which cannot have descriptors above 1023.
            kernel.limit_open_files(pid, self._open_files)
        self.watch(order.process, order.incarnation, order.kind, order.pool, pid, log_from)

    def hand_over(self, process: str, kind: Kind, pool: str) -> None:
        """Before a process starts, which may be another user's. One that then lacks something says so itself."""
        try:
            sharing.hand_over(self.cluster, process, kind, pool)
        except (OSError, ConfigError) as error:
            self._log.warn(f"the files of {process} cannot be given to its user: {error}")

    def can_be(self, pool: str, pid: int) -> bool:
        """Whether a process may be a worker of this pool: another user's zygote is believed of that user's only."""
        uid = sharing.worker_uid(self.cluster, Kind.WORKER, pool)
        return uid is None or kernel.user_of(pid) in (uid, None)

    def watch(self, process: str, incarnation: int, kind: Kind, pool: str, pid: int, log_from: int) -> None:
        """Take a process that exists into the books."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            self._emit(Exited(process, incarnation, None, self._tail(process, log_from)))
            return
        child = Child(process, incarnation, kind, pool, pid, pidfd, log_from, kernel.start_ticks(pid) or 0)
        self._emit(Spawned(process, incarnation, pid))
        self._watch(child)

    def adopt(self, survivor: Alive) -> None:
        """Take a process into the books that an earlier supervisor has started; its pidfd is ours from now on."""
        entry, pidfd = survivor
        self._watch(
            Child(
                entry.id,
                entry.incarnation,
                entry.role,
                entry.pool,
                entry.pid,
                pidfd,
                entry.log_from,
                entry.start_ticks,
                adopted=True,
            )
        )

    def _watch(self, child: Child) -> None:
        self._children[child.process, child.incarnation] = child
        self._pids.add(child.pid)
        self.changed = True
        self._loop.add_reader(child.pidfd, self._ended, child)

    # --- end ----------------------------------------------------------------------------------------------------------

    def signal(self, process: str, incarnation: int, number: int) -> None:
        child = self._children.get((process, incarnation))
        if child is not None:
            if number == signal.SIGKILL:
                self._killed.add((process, incarnation))
            kernel.send(child.pidfd, number)

    def find(self, process: str, incarnation: int) -> Child | None:
        """This life of a process, if it has not ended."""
        return self._children.get((process, incarnation))

    def catches(self, process: str, incarnation: int, number: int) -> bool:
        """Whether this life of a process has a handler for a signal."""
        child = self.find(process, incarnation)
        return child is not None and kernel.catches(child.pid, number)

    def kill_stray(self, pid: int, process: str) -> bool:
        """SIGKILL a process of the cluster that is not in the books: a child of ours, or one that writes the log of the
        id that it goes by. Anybody else's process is left alone."""
        if pid in self._pids or pid <= 0:
            return False
        try:
            pidfd = os.pidfd_open(pid)
        except (OSError, OverflowError):
            return False
        # Looked at behind the pidfd: whoever has the number now is who gets the signal.
        ours = pid in kernel.children() or (process != "" and is_of_cluster(pid, self._place.log_file(process)))
        if ours:
            kernel.send(pidfd, signal.SIGKILL)
        os.close(pidfd)
        return ours

    def _ended(self, child: Child, looked: int = 0) -> None:
        if self._children.get((child.process, child.incarnation)) is not child:
            return  # closed meanwhile
        self._loop.remove_reader(child.pidfd)
        if not child.adopted and looked < REAP_LOOKS and not kernel.is_child(child.pidfd):
            # It ended before the process that forked it, which hands it over to us by leaving.
            self._loop.call_later(REAP_LOOK_S, self._ended, child, looked + 1)
            return
        if child.kind is not Kind.ZYGOTE:
            # What a handler has started and left behind goes with its worker; a zygote's group is empty.
            if child.adopted:
                kernel.end_foreign_group(child.pidfd, child.pid, child.start_ticks)
            else:
                kernel.end_group(child.pid)
            self._left_behind.of(child.process, adopted=child.adopted)
        status = kernel.reap(child.pidfd)
        os.close(child.pidfd)
        del self._children[child.process, child.incarnation]
        self._pids.discard(child.pid)
        self.changed = True
        unasked = status == -signal.SIGKILL and (child.process, child.incarnation) not in self._killed
        self._killed.discard((child.process, child.incarnation))
        tail = self._tail(child.process, child.log_from)
        oom = unasked and self._oom_kills.take_one()
        job = self._job_of(child.process) if child.kind is Kind.WORKER else 0
        self._emit(Exited(child.process, child.incarnation, status, tail, oom, job))

    def _job_of(self, worker: str) -> int:
        """The job that a worker has ended in; 0 when it noted none, or ended before it could and left older notes."""
        noted = last_life(self._place.begun_file(worker))
        if noted is None:
            return 0
        life, job = noted
        before, self._noted[worker] = self._noted.get(worker), life
        return 0 if life == before else job

    def look_for_oom_kills(self) -> None:
        """About once a second, so that a SIGKILL is not put down to what hit somebody else a while ago."""
        self._oom_kills.look()

    def _tail(self, process: str, log_from: int) -> tuple[str, ...]:
        return tuple(lines_of_life(self._place.log_file(process), TAIL_LINES, log_from, most_bytes=TAIL_BYTES))

    def reap_strays(self) -> None:
        """Orphans that came to us (we are the subreaper) and have ended; those in the books have a pidfd for that."""
        while (pid := kernel.dead_child()) is not None and pid not in self._pids:
            os.waitpid(pid, os.WNOHANG)

    # --- the books ----------------------------------------------------------------------------------------------------

    def children(self) -> list[Child]:
        """All that run, in the order in which they came."""
        return list(self._children.values())

    def end_adopted(self, patience_s: float) -> int:
        """SIGKILL those that are no children of ours, and wait for each; how many there were."""
        adopted = [child for child in self._children.values() if child.adopted]
        for child in adopted:
            kernel.send(child.pidfd, signal.SIGKILL)
        for child in adopted:
            kernel.await_end(child.pidfd, patience_s)
        return len(adopted)

    def close(self) -> None:
        """Stop watching; children live on."""
        for child in self._children.values():
            self._loop.remove_reader(child.pidfd)
            os.close(child.pidfd)
        self._children.clear()
