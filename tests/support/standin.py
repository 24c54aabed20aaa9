"""Stand-ins for the data plane's processes: they speak the wire protocol and do no work, or misbehave as told.

A server tells every client its pid and hangs up. A proxy acknowledges drains and reports them. A recorder has no
request, and says so: the filter that it was asked with is the problem of the one row in its list.

    python standin.py ROLE --cluster-file … --id … --incarnation … [--listen-fd 7]
    python standin.py zygote --cluster-file … --pool … --fd 7

$STANDIN (from the pool's env), else the file `fault` (or `fault.ROLE`) in the working folder as it is when the
interpreter starts, is what goes wrong: `deaf` obeys nothing, `mute` never says READY, `dies` ends at once with status
3, `import-fails` is a zygote that cannot import, `spawns` starts a child of its own and forgets it, `idle` is a worker
that has done no jobs, `dumb` is a recorder that answers no question, `full` one that cannot write.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import zmq

from primectl.config.topology import JOURNAL, ClusterFile
from primectl.control.report import Reporter
from primectl.control.sockets import open_socket, receive
from primectl.server.lend import lend
from primectl.wire import frames
from primectl.wire.control import Drain, KillNow, Lend, Refusal, Reply, Reread, Resume, Retire
from primectl.wire.journal import EntryQuery, Requests, RequestsQuery, Row
from primectl.wire.stats import (
    Acknowledged,
    ProxySample,
    RecorderSample,
    Role,
    ServerSample,
    WorkerLoad,
    WorkerSample,
)
from primectl.wire.zygote import PACKET_LIMIT, Birth, Forked, Imported, ImportFailed, Leave, encode, to_zygote

SAMPLE_S = 0.25


_FAULTS = [file for file in (Path("fault"), Path(f"fault.{sys.argv[1]}")) if file.exists()]
_FROM_THE_START = _FAULTS[0].read_text() if _FAULTS else ""


def fault() -> str:
    return os.environ.get("STANDIN") or _FROM_THE_START


class Drains:
    """What a proxy has been told to drain."""

    def __init__(self) -> None:
        self.whole = False
        self.workers: set[str] = set()

    def obey(self, command: Drain | Resume) -> None:
        drains = isinstance(command, Drain)
        if not command.workers:
            self.whole = drains
        elif drains:
            self.workers.update(command.workers)
        else:
            self.workers.difference_update(command.workers)


def live(
    cluster: ClusterFile, role: Role, process: str, incarnation: int, listener: socket.socket | None = None
) -> None:
    if fault() == "dies":
        print("StandinError: told to die", file=sys.stderr)
        sys.exit(3)
    if fault() == "spawns":
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    if fault() == "orphans":
        leave_orphans(100)
    asked = os.eventfd(0)
    if fault() == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os.eventfd_write(asked, 1))
    pool = process.removeprefix("proxy.") if role is Role.PROXY else process.rpartition(".")[0]
    context = zmq.Context()
    reporter = Reporter(context, cluster.place, process, incarnation, role, pool)
    poller = zmq.Poller()
    poller.register(reporter.commands, zmq.POLLIN)
    poller.register(asked, zmq.POLLIN)
    drains = Drains()
    archive = None
    if role is Role.RECORDER:
        archive = open_socket(context, zmq.ROUTER, queue=100)
        archive.bind(cluster.place.endpoint(JOURNAL))
        poller.register(archive, zmq.POLLIN)
    if listener is not None:
        listener.listen()
        poller.register(listener, zmq.POLLIN)
    while True:
        ready = dict(poller.poll(int(SAMPLE_S * 1000)))
        if fault() == "mute":
            continue
        if listener is not None:
            answer(listener)
        if archive is not None and fault() != "dumb":
            look_up(archive)
        for command in reporter.receive():
            if fault() == "deaf":
                continue
            if isinstance(command, KillNow):
                os._exit(0)
            if isinstance(command, Retire):
                reporter.publish(Acknowledged(command.command))
                ready[asked] = zmq.POLLIN
            if isinstance(command, Lend) and listener is not None:
                lend(listener, cluster.place, process, incarnation)
            if isinstance(command, Reread):
                reporter.publish(Acknowledged(command.command))
            if isinstance(command, Drain | Resume) and role is Role.PROXY:
                drains.obey(command)
                reporter.publish(Acknowledged(command.command))
        if asked in ready:
            leave(reporter, role)
        reporter.publish(sample(role, drains))


def leave_orphans(number: int) -> None:
    """They end when we, their parent, have been gone for a moment: whoever has them then has to reap them."""
    parent = os.fork()
    if parent == 0:
        reader, writer = os.pipe()
        for _ in range(number):
            if os.fork() == 0:
                os.close(writer)
                os.read(reader, 1)  # until the last that has the other end is gone
                os._exit(0)
        os._exit(0)
    os.waitpid(parent, 0)


def answer(listener: socket.socket) -> None:
    """Tell who waits our pid."""
    while True:
        try:
            client = listener.accept()[0]
        except BlockingIOError:
            return
        with client:
            client.sendall(f"{os.getpid()}\n".encode())


def look_up(archive: zmq.Socket[bytes]) -> None:
    """Answer what is asked of the journal."""
    for address, frame in receive(archive, 100):
        asked = frames.control_request(frame)
        if asked.path == "/requests":
            query = frames.body(asked.body, RequestsQuery)
            row = Row(id="0" * 16, time=1.0, method="GET", path="/", status=0, ms=1.0, problem=query.where)
            reply = Reply(asked.id, 200, frames.raw(Requests([row] * query.last, 7)))
        else:
            what = f"no request {frames.body(asked.body, EntryQuery).id}"
            reply = Reply(asked.id, 404, frames.raw(Refusal(what)))
        archive.send_multipart([address, frames.encode(reply)])


def leave(reporter: Reporter, role: Role) -> None:
    if role is Role.SERVER:
        reporter.publish(ServerSample(0, 0, 7, [0] * 6, [], True, {"finished": 4, "cancelled": 2}, True))
    reporter.close()
    zmq.Context.instance().term()
    sys.exit(0)


def sample(role: Role, drains: Drains) -> ServerSample | ProxySample | WorkerSample | RecorderSample:
    if role is Role.SERVER:
        return ServerSample(1, 0, 7, [0, 0, 7, 0, 0, 0], [])
    if role is Role.PROXY:
        loads = [WorkerLoad(worker, 0, 0, draining=True) for worker in sorted(drains.workers)]
        return ProxySample(0, 0, 0.0, 7, 7, 0, 0, 0.1, [7], loads, {"handed_back": 3, "expired": 0}, drains.whole)
    if role is Role.RECORDER:
        trouble = "the disk is full" if fault() == "full" else ""
        return RecorderSample(7, 4096, 7, 1.0, trouble=trouble, counters={"commits": 2})
    return WorkerSample(0 if fault() == "idle" else 7, 0, False)


def zygote(cluster: ClusterFile, pool: str, channel: socket.socket) -> None:
    if fault() == "import-fails":
        channel.send(encode(ImportFailed("Traceback (most recent call last):\nModuleNotFoundError: No module 'gone'")))
        sys.exit(1)
    channel.send(encode(Imported()))
    while packet := channel.recv(PACKET_LIMIT):
        command = to_zygote(packet)
        if isinstance(command, Leave):
            sys.exit(0)
        if os.fork() == 0:
            births = []
            for wish in command.wishes:
                pid = os.fork()
                if pid == 0:
                    channel.close()
                    os.setsid()
                    live(cluster, Role.WORKER, wish.worker, wish.incarnation)
                births.append(Birth(wish.worker, wish.incarnation, pid))
            channel.send(encode(Forked(births)))
            os._exit(0)
        os.wait()
    while True:
        signal.pause()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role")
    for option in ("--cluster-file", "--id", "--incarnation", "--listen-fd", "--pool", "--fd"):
        parser.add_argument(option)
    options = parser.parse_args()
    cluster = msgspec.json.decode(Path(options.cluster_file).read_bytes(), type=ClusterFile)
    if options.role == "zygote":
        zygote(cluster, options.pool, socket.socket(fileno=int(options.fd)))
        return
    listener = None if options.listen_fd is None else socket.socket(fileno=int(options.listen_fd))
    live(cluster, Role(options.role), options.id, int(options.incarnation), listener)


if __name__ == "__main__":
    main()
