"""§ What only Linux offers, behind one seam: pidfds, the subreaper, what the kernel says of a process, its limits.

A pidfd names one life of a process: a signal through it never hits a later owner of the pid.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from primectl.control.child import MARK
from supervisor.vitals import Thread

_PR_SET_CHILD_SUBREAPER = 36
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STAT_BYTES = 4096
_ENDED = frozenset((b"Z", b"X"))
_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2
_WANTS = frozenset((b"R", b"D", b"t"))
"""Running or about to, waiting for a disk, held by a debugger."""


def become_subreaper() -> None:
    """Orphans below this process become its children (prctl(2)). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Standing(NamedTuple):
    """How a process stands, by proc_pid_stat(5). `start_ticks` with the pid is a name for one life."""

    stopped: bool
    """By SIGSTOP or its like. One that a debugger holds (`t`, not `T`) is not: that is somebody's work."""
    cpu_s: float
    start_ticks: int
    rss_bytes: int


def look(pid: int) -> Standing | None:
    """What the kernel says of a process, None when it has ended. 8 µs, a quarter of what psutil needs for the same."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        text = os.read(fd, _STAT_BYTES)
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    # The name before the last ")" may hold anything; behind it begins field 3.
    fields = text[text.rindex(b")") + 2 :].split(b" ", 22)
    if fields[0] in _ENDED:
        return None
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return Standing(fields[0] == b"T", cpu_s, int(fields[19]), int(fields[21]) * _PAGE_BYTES)


def start_ticks(pid: int) -> int | None:
    """When the process began, in the kernel's ticks since boot. None if it has ended."""
    standing = look(pid)
    return None if standing is None else standing.start_ticks


def user_of(pid: int) -> int | None:
    """The real user of a process, None if it has ended."""
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(b"Uid:"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def age_s(ticks: int) -> float:
    """How long ago a process began that has these `start_ticks`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / _TICKS_PER_S


Limit = tuple[int, int]
"""Soft and hard."""


def raise_open_files() -> Limit:
    """Let this process, and those it starts, hold as many descriptors as they may; the limit as it was."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


def limit_open_files(pid: int, limit: Limit) -> None:
    """Give a child of ours this limit."""
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)


def boot_id() -> str:
    """Changes with every boot, so that ticks since boot are not mistaken for those of another."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def is_child(pidfd: int) -> bool:
    """Whether a process that has ended is ours to reap."""
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def reap(pidfd: int) -> int | None:
    """The status of a child that has ended, as in `events.Exited`; None if it is no child of ours."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def send(pidfd: int, number: int) -> bool:
    """False when the process is gone already."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def threads(pid: int) -> dict[int, Thread]:
    """What the threads of a process have done so far; empty when it has ended. Some 50 µs a thread."""
    found: dict[int, Thread] = {}
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            # A thread that ends meanwhile has nothing more to tell.
            with suppress(OSError):
                stat = (task / "stat").read_bytes()
                fields = stat[stat.rindex(b")") + 2 :].split(b" ", 14)
                sleeps = next(
                    int(line.split()[1])
                    for line in (task / "status").read_bytes().splitlines()
                    if line.startswith(b"voluntary_ctxt_switches:")
                )
                cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
                found[int(task.name)] = Thread(cpu_s, sleeps, fields[0] in _WANTS)
    return found


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal (SigCgt of proc_pid_status(5))."""
    with suppress(OSError), open(f"/proc/{pid}/status", "rb") as status:
        for line in status:
            if line.startswith(b"SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def ticks_now() -> int:
    """The present in the kernel's ticks since boot, as `start_ticks`."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_S)


def origins(pid: int) -> Iterator[str]:
    """What a process says of where it comes from: the MARK of its environment, its title."""
    with suppress(OSError):
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            name, _, value = variable.partition(b"=")
            if name == MARK.encode():
                yield os.fsdecode(value)
        yield os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0"))


def await_end(pidfd: int, patience_s: float) -> bool:
    """Wait until a process has ended; False when it has not within that time."""
    poller = select.poll()  # select(2) knows no descriptors above 1023
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(1000 * patience_s))


@contextmanager
def held(pid: int) -> Iterator[int | None]:
    """A pidfd of whoever has this number now, None if nobody."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        yield None
        return
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def everybody() -> set[int]:
    """The pids of all processes that we can see."""
    return {int(entry) for entry in os.listdir("/proc") if entry.isdecimal()}


def end_group(leader: int) -> None:
    """SIGKILL what a process has left in its group. To be called before the leader is reaped: until then, its number
    cannot have gone to anybody else."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def end_foreign_group(pidfd: int, leader: int, start_ticks: int) -> None:
    """SIGKILL what a process that is no child of ours has left in its group: it may have been reaped already.

    The kernel is asked by pidfd, which names this leader's group and no later one of its number. Before Linux 6.9 that
    is unknown to it; then members are looked for: while there is one, the number cannot go to another process, so
    where another process has it, there is none, and each member is checked once more behind a pidfd of its own.
    """
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL, None, _PIDFD_SIGNAL_PROCESS_GROUP)
    except (ProcessLookupError, PermissionError):
        return
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        end_members(leader, start_ticks)


def end_members(leader: int, ticks: int) -> None:
    """The same by looking for who is in the session that the process led."""
    if start_ticks(leader) not in (None, ticks):
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _session(int(entry.name)) == leader:
            with suppress(ProcessLookupError):
                pidfd = os.pidfd_open(int(entry.name))
                if _session(int(entry.name)) == leader:
                    send(pidfd, signal.SIGKILL)
                os.close(pidfd)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def dead_child() -> int | None:
    """The pid of some child that has ended and was not reaped, None if there is none."""
    try:
        result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return result.si_pid if result else None


def children() -> set[int]:
    """The pids of our direct children, threads' included."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        # A thread that ends meanwhile has no children left to list.
        with suppress(FileNotFoundError, ProcessLookupError):
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return found


def end_descendants(patience_s: float) -> int:
    """SIGKILL all children until there is none; orphans of theirs become ours and go the same way. How many there were.

    Only for a subreaper about to leave: it waits, at most `patience_s` for each that does not end at once.
    """
    ended = 0
    while pids := children():
        for pid in pids:
            pidfd = os.pidfd_open(pid)
            send(pidfd, signal.SIGKILL)
            if not await_end(pidfd, patience_s):
                os.close(pidfd)
                return ended
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
            ended += 1
    return ended
