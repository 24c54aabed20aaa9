"""§ How a process of the cluster starts: its arguments, cluster.json, its log, its title, its signals."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec
import setproctitle
from msgspec import Struct

from primectl.config.model import SupervisorConfig
from primectl.config.topology import ClusterFile
from primectl.control import prints, stacks
from primectl.control.log import ProcessLog, take_own
from primectl.control.rotation import Limits

PRIVATE = 0o077


MARK = "PRIMECTL_PROCESS"
"""In the environment of whatever a handler starts, by which it is known when that has ended."""


def mark(cluster: ClusterFile, process: str) -> str:
    """The value of `MARK`: no process of another cluster of this host has it."""
    return f"{cluster.place.runtime}/{process}"


def title(cluster: ClusterFile, process: str) -> str:
    """What ps(1) shows."""
    return f"primectl: {cluster.config.cluster.name}/{process}"


class Child(Struct, frozen=True):
    """What a process knows of itself when it starts."""

    cluster: ClusterFile
    id: str
    incarnation: int
    log: ProcessLog


def arguments(program: str, extra: Sequence[str] = ()) -> argparse.Namespace:
    """The command line that the supervisor gives every process; `extra` are further required options."""
    prints.install()
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description="Started by the primectl supervisor.")
    for option in ("--cluster-file", *extra):
        parser.add_argument(option, required=True)
    return parser.parse_args()


def read_cluster_file(path: str) -> ClusterFile:
    """cluster.json, as the supervisor wrote it."""
    return msgspec.json.decode(Path(path).read_bytes(), type=ClusterFile)


def reread(me: Child) -> ClusterFile | None:
    """cluster.json as it is now, whose bounds the log takes; None, and the log says why, where it cannot be read."""
    try:
        cluster = read_cluster_file(me.cluster.place.cluster_file)
    except (OSError, msgspec.MsgspecError) as error:
        me.log.error(f"{me.cluster.place.cluster_file} cannot be read: {error}")
        return None
    me.log.configure(log_limits(cluster.config.supervisor))
    return cluster


def become(cluster: ClusterFile, process: str, incarnation: int, umask: int = PRIVATE) -> Child:
    """Take the name, the log file and the signals of a process of the cluster; `umask` is for what a handler makes.

    The terminal's signals are for the supervisor: children live in sessions of their own and ignore SIGINT.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.umask(umask)
    os.environ[MARK] = mark(cluster, process)
    setproctitle.setproctitle(title(cluster, process))
    log = take_own(cluster.place.log_file(process), log_limits(cluster.config.supervisor))
    prints.belong_to(log)
    _do_not_preempt(log)
    try:
        stacks.on_signal(cluster.place.dump_file(process))
    except OSError as refused:
        log.warn(f"no dump while code in C holds the interpreter's lock: {refused.strerror}")
    return Child(cluster, process, incarnation, log)


def leave(status: int = 0) -> NoReturn:
    """End this process now that its work is done: what an interpreter does at its end takes longer than the work of
    leaving, and whoever waits for the cluster to stop waits for it."""
    prints.finish()
    os._exit(status)


def log_limits(config: SupervisorConfig) -> Limits:
    """When the logs of a cluster are rotated."""
    return Limits(config.log_size, config.log_age, config.log_keep)


def _do_not_preempt(log: ProcessLog) -> None:
    """Have the kernel let a neighbour finish its turn when a message wakes us (sched(7), SCHED_BATCH).

    Where there are more processes than cores, each turn then finds more to do: 10 to 20 % more requests, and a lower
    latency, than under the default policy. Threads and forked workers inherit it.
    """
    if hasattr(os, "SCHED_BATCH"):
        try:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        except OSError as refused:
            log.info(f"stays under the default scheduling policy: {refused.strerror}")
