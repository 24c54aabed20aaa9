"""§ A pool's zygote: imports the handler once and forks a worker for each wish.

A fork shares what was imported, so it costs a millisecond and a few megabytes where an interpreter costs a tenth of a
second. Workers are forked by an intermediate child that leaves at once: they become children of the supervisor (a
child subreaper), which watches and reaps them, and this process never has to. No thread and no socket exists here
before a fork.

When the supervisor dies, this process lives on like all others, though it cannot fork any more: its workers would be
nobody's children, and nobody would learn how they end. The next supervisor starts another and ends this one.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import sys
from typing import NoReturn

import msgspec
from msgspec import structs

from primectl.config.entry import HandlerFault, own_traceback
from primectl.config.identity import IdentityFault
from primectl.config.topology import ClusterFile
from primectl.control import child
from primectl.control.log import reopen_own, tend_own
from primectl.wire.zygote import (
    PACKET_LIMIT,
    Birth,
    Forked,
    FromZygote,
    Imported,
    ImportFailed,
    Leave,
    Reopen,
    ToZygote,
    Wish,
    encode,
)
from primectl.wire.zygote import to_zygote as decode
from primectl.worker import run
from primectl.worker.bytecode import forget_young
from primectl.worker.handler import Handler
from primectl.worker.settle import settle_in


def _worker(cluster: ClusterFile, wish: Wish, handler: Handler) -> NoReturn:
    """In the grandchild: never returns to the zygote's frames."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    run.serve(cluster, wish.worker, wish.incarnation, handler)


def _as_it_is_now(cluster: ClusterFile, pool: str) -> ClusterFile:
    """What may change while the handler stays the same, for workers that are forked later."""
    try:
        now = child.read_cluster_file(cluster.place.cluster_file)
    except (OSError, msgspec.MsgspecError):
        return cluster
    # Its folders as this process reaches them, which may be another user's by now.
    return structs.replace(now, place=cluster.place) if pool in now.config.pools else cluster


def _fork_all(cluster: ClusterFile, wishes: list[Wish], handler: Handler, channel: socket.socket) -> None:
    """In the intermediate child: fork every worker, tell their pids, leave."""
    births: list[Birth] = []
    error = ""
    for wish in wishes:
        try:
            pid = os.fork()
        except OSError as refused:
            error = f"fork: {refused.strerror}"
            break
        if pid == 0:
            channel.close()
            _worker(cluster, wish, handler)
        births.append(Birth(wish.worker, wish.incarnation, pid))
    if not _say(channel, Forked(births, error)):
        # Nobody will ever know of them. They are our children still, so their pids are theirs.
        for birth in births:
            os.kill(birth.pid, signal.SIGKILL)
    os._exit(0)


def _say(channel: socket.socket, message: FromZygote) -> bool:
    """False when the supervisor is gone."""
    try:
        channel.send(encode(message))
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _hear(channel: socket.socket) -> ToZygote | None:
    """What the supervisor says next; None when it is gone."""
    try:
        packet = channel.recv(PACKET_LIMIT)
    except ConnectionResetError:  # it is gone, and had not read all that we said
        return None
    return decode(packet) if packet else None


def serve(cluster: ClusterFile, pool: str, channel: socket.socket) -> int:
    """Import, then fork on demand until told to leave. Returns the exit status; without a supervisor it never does."""
    sys.path.insert(0, cluster.import_path)
    try:
        cluster = settle_in(cluster, pool)
        handler = Handler(cluster.config.pools[pool].handler)
    except (HandlerFault, IdentityFault) as fault:
        _say(channel, ImportFailed(str(fault)))
        return 1
    except BaseException as error:
        _say(channel, ImportFailed(own_traceback(error)[-PACKET_LIMIT // 4 :]))
        return 1
    finally:
        forget_young(cluster.import_path)
    gc.collect()
    gc.freeze()
    _say(channel, Imported())
    while (command := _hear(channel)) is not None:
        if isinstance(command, Leave):
            return 0
        if isinstance(command, Reopen):
            reopen_own(rotate=command.rotate)
            continue
        tend_own()
        pid = os.fork()
        if pid == 0:
            _fork_all(_as_it_is_now(cluster, pool), command.wishes, handler, channel)
        os.waitpid(pid, 0)
    while True:
        signal.pause()


def main() -> None:
    options: argparse.Namespace = child.arguments("primectl.worker.zygote", ("--id", "--pool", "--fd"))
    cluster = child.read_cluster_file(options.cluster_file)
    child.become(cluster, options.id, 0)
    with socket.socket(fileno=int(options.fd)) as channel:
        channel.set_inheritable(False)
        sys.exit(serve(cluster, options.pool, channel))


if __name__ == "__main__":
    main()
