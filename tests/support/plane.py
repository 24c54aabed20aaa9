"""A place for data-plane processes under test: the test plays whatever is not the process itself."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import zmq

from primectl.config.model import ClusterConfig, Config
from primectl.config.topology import COMMANDS, STATS, ClusterFile, Place
from primectl.control.sockets import open_socket
from primectl.wire import frames
from primectl.wire.control import Hello, process_topic
from primectl.wire.stats import Ready, ReportEnvelope
from supervisor.spawn import THRESHOLDS

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
"""How long a test waits for a condition before it fails."""


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Poll a condition that nothing announces."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"waited {timeout_s} s for {what}"
        time.sleep(0.005)


class Plane:
    """A cluster's folders, and the supervisor's two sockets for its processes."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.place = Place(config.cluster.name, str(folder), str(folder), str(folder))
        Path(self.place.logs).mkdir()
        file = ClusterFile(self.place, config, "test.toml", str(ROOT))
        Path(self.place.cluster_file).write_bytes(msgspec.json.encode(file))
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.sockets: list[zmq.Socket[bytes]] = []
        self.commands = self.bind(zmq.PUB, COMMANDS)
        self.stats = self.bind(zmq.SUB, STATS)
        self.stats.subscribe(b"")
        self.processes: list[subprocess.Popen[bytes]] = []

    def bind(self, kind: int, name: str) -> zmq.Socket[bytes]:
        socket = open_socket(self.context, kind, queue=1000)
        self.sockets.append(socket)
        socket.bind(self.place.endpoint(name))
        return socket

    def connect(self, kind: int, name: str, identity: bytes = b"") -> zmq.Socket[bytes]:
        socket = open_socket(self.context, kind, queue=1000, identity=identity)
        self.sockets.append(socket)
        socket.connect(self.place.endpoint(name))
        return socket

    def start(
        self, module: str, process: str, incarnation: int = 1, *, extra: tuple[str, ...] = (), fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a process of ours and wait until it has said READY."""
        options = ("--cluster-file", self.place.cluster_file, "--id", process, "--incarnation", str(incarnation))
        started = subprocess.Popen(
            [sys.executable, "-m", module, *options, *extra],
            cwd=ROOT,
            env={**os.environ, **THRESHOLDS},
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
        )
        self.processes.append(started)
        wait_for(lambda: self._is_ready(process, incarnation, started), f"READY of {process}")
        return started

    def _is_ready(self, process: str, incarnation: int, started: subprocess.Popen[bytes]) -> bool:
        assert started.poll() is None, f"{process} left with {started.returncode}:\n{self.log(process)}"
        self.tell(process_topic(process), Hello())
        return any(
            (envelope.sender, envelope.incarnation) == (process, incarnation) and isinstance(envelope.report, Ready)
            for envelope in self.reports(wait_ms=20)
        )

    def tell(self, topic: str, command: object) -> None:
        self.commands.send_multipart([topic.encode(), frames.encode(command)])

    def reports(self, wait_ms: int = 0) -> Iterator[ReportEnvelope]:
        while self.stats.poll(wait_ms):
            yield frames.report(self.stats.recv_multipart()[1])

    def log(self, process: str) -> str:
        path = Path(self.place.log_file(process))
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        for started in self.processes:
            if started.poll() is None:
                started.send_signal(signal.SIGKILL)
            started.wait()
        for socket in self.sockets:
            socket.close(linger=0)
        self.context.term()


@contextlib.contextmanager
def a_plane(config: Config | None = None) -> Iterator[Plane]:
    """In a folder whose path is short enough for sockets, whatever pytest's own are called."""
    with tempfile.TemporaryDirectory(prefix="pct-") as folder:
        plane = Plane(Path(folder), config or Config(cluster=ClusterConfig(name="test")))
        try:
            yield plane
        finally:
            plane.close()


def exit_status(started: subprocess.Popen[bytes]) -> int:
    return started.wait(PATIENCE_S)


def random_frames(count: int = 200, seed: int = 7) -> list[list[bytes]]:
    """Messages that are none of ours: of one or many frames, empty, long, and nearly right."""
    chance = random.Random(seed)
    sizes = [0, 1, 2, 9, 100, 5000, 200_000]
    made: list[list[bytes]] = []
    for _ in range(count):
        starts = [chance.choice([b"", frames.VERSION]) for _ in range(chance.choice([1, 1, 2, 2, 3, 5, 40]))]
        made.append([start + chance.randbytes(chance.choice(sizes)) for start in starts])
    nearly = [[b""], [b"", b"", b""], [frames.VERSION], [frames.VERSION + b"\xdd\xff\xff\xff\xff"]]
    return [*made, *nearly, [chance.randbytes(1 << 22)]]
