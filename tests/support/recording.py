"""A recorder under test, and the test in the place of its servers and its supervisor."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator

import msgspec
import zmq
from msgspec import Struct, structs

from primectl.config.model import ClusterConfig, Config, JournalConfig
from primectl.config.topology import RECORDER, ClusterFile, loopback
from primectl.journal.entry import row_of
from primectl.journal.store import open_reader
from primectl.wire import frames
from primectl.wire.control import Reply, Request
from primectl.wire.journal import Record, Records, Row, Written
from primectl.wire.stats import RecorderSample
from tests.support.plane import Plane, a_plane, wait_for
from tests.support.records import a_record

CLOCK = 1.7e9


class Server:
    """What the recorder sees of a server's run: numbered records, and an ear for what is written."""

    def __init__(self, plane: Plane, name: str = "server.1", incarnation: int = 9) -> None:
        self._name = name
        self._incarnation = incarnation
        self._next = 1
        self._plane = plane
        self._loopback = plane.bind(zmq.PULL, loopback(name))
        self.out = plane.connect(zmq.PUSH, RECORDER)
        self.written = 0

    def link_anew(self, start: Callable[[], object]) -> None:
        """To the next recorder, once it is there, without what the last one has not read."""
        self.out.close(linger=0)
        start()
        self.out = self._plane.connect(zmq.PUSH, RECORDER)

    def say(self, *records: Record, first: int | None = None, dropped: int = 0) -> None:
        number = self._next if first is None else first
        self._next = max(self._next, number + len(records))
        self.out.send(frames.encode(Records(self._name, self._incarnation, number, CLOCK, dropped, list(records))))

    def hear(self, last: int) -> None:
        """Until it is told that its records up to this number are written."""
        wait_for(lambda: self._listen() >= last, f"Written up to {last}, is {self.written}")

    def _listen(self) -> int:
        while self._loopback.poll(0):
            said = frames.to_server(self._loopback.recv())
            assert isinstance(said, Written)
            assert said.incarnation == self._incarnation
            self.written = max(self.written, said.last)
        return self.written


class Recording:
    """A recorder's process, with the journal in the plane's folder."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.incarnation = 0
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self.incarnation += 1
        self.process = self.plane.start("primectl.recorder", RECORDER, self.incarnation)
        return self.process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def path(self) -> str:
        return self.plane.place.journal_file

    def rows(self) -> list[Row]:
        reader = open_reader(self.path)
        try:
            return [row_of(columns) for columns in reader.execute("SELECT * FROM requests ORDER BY number")]
        finally:
            reader.close()

    def ids(self) -> list[int]:
        return [int(row.id, 16) for row in self.rows()]

    def sample(self, fits: Callable[[RecorderSample], bool], what: str) -> RecorderSample:
        """The first one that fits."""
        fitting: list[RecorderSample] = []

        def look() -> bool:
            samples = [
                each.report for each in self.plane.reports(wait_ms=20) if isinstance(each.report, RecorderSample)
            ]
            fitting.extend(sample for sample in samples if fits(sample))
            return bool(fitting)

        wait_for(look, what)
        return fitting[0]

    def ask(self, path: str, body: Struct) -> Reply:
        """As the supervisor asks."""
        asker = self.plane.connect(zmq.DEALER, "journal")
        asker.send(frames.encode(Request(1, "GET", path, frames.raw(body))))
        assert asker.poll(10_000), f"no answer to {path}"
        reply: Reply = frames.control_reply(asker.recv())
        return reply


@contextlib.contextmanager
def a_recording(
    settings: JournalConfig | None = None, prepare: Callable[[Plane], object] | None = None
) -> Iterator[Recording]:
    """With a recorder that is READY; `prepare` sees the folder before it starts."""
    config = Config(cluster=ClusterConfig(name="test"), journal=settings or JournalConfig())
    with a_plane(config) as plane:
        if prepare is not None:
            prepare(plane)
        yield Recording(plane)


def records(first: int, last: int) -> list[Record]:
    return [a_record(number) for number in range(first, last + 1)]


def reconfigure(plane: Plane, **changes: object) -> None:
    """Other settings in cluster.json."""
    path = plane.place.cluster_file
    with open(path, "rb") as file:
        cluster = msgspec.json.decode(file.read(), type=ClusterFile)
    config = structs.replace(cluster.config, journal=structs.replace(cluster.config.journal, **changes))
    with open(path, "wb") as file:
        file.write(msgspec.json.encode(structs.replace(cluster, config=config)))
