"""Where every socket and file of a cluster is, who binds and who connects, and which processes there are.

    <runtime>/            0700; $XDG_RUNTIME_DIR/primectl/<cluster>, else <temp>/primectl-<uid>/<cluster>
      supervisor.pid      locked by the running supervisor; gone after a clean stop
      cluster.json        what every process of the cluster reads when it starts: the checked config and these folders
      workers.json        the same without any `env`, for workers of other users, where there are such
      state.json          the processes that run: id, pid, kernel start time
      <worker>.begun      which jobs a worker has begun (primectl.control.begun), left there for its pool's proxy
      <id>.dump           where a process wrote its stacks when it was told to by a signal (primectl.control.stacks)
      <socket names>      pool.<name>.in, pool.<name>.out, loopback.<server>, commands, stats, feed, control; listeners;
                          recorder, journal
    <state>/              $XDG_STATE_HOME/primectl/<cluster>, else ~/.local/state/primectl/<cluster>
      logs/<id>.log       one a process, written by the process itself; <id>.log.1, .2, … are the ones before it
      events.jsonl        what happened, bounded; events.jsonl.1, .2, .3 are the ones before it
      journal.db          recorded requests (SQLite, with journal.db-wal and -shm), bounded; journal.db.damaged-<time>
                          is one that could not be read
      journal.key         what redacted values are hashed with, 0600
      replays/<run>.jsonl what a replay has sent, so that it can be resumed, 0600; the newest 20
      dead-letters.jsonl  requests that could not be answered, bounded; dead-letters.jsonl.1 is the one before it

Sockets live in <runtime> unless a path would pass the 107 bytes that the OS allows; then all of them live in a short
private folder, whose name is a digest of <runtime>.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from msgspec import Struct

from primectl.config.model import Config

SOCKET_PATH_LIMIT = 107
BEGUN = ".begun"
"""What the name of a worker's file of begun jobs ends in."""
DUMP = ".dump"
"""What the name of a process's file of stacks ends in."""
WORKERS_JSON = "workers.json"
LONGEST_SOCKET_NAME = 48
"""pool.<31 letters>.out, with room to spare; pools added later must fit too."""

SERVICES: Mapping[str, str] = {"XDG_RUNTIME_DIR": "/run", "XDG_STATE_HOME": "/var/lib"}
"""The environment of clusters that are services of the system (`primectl unit`)."""


class Place(Struct, frozen=True):
    """The folders of one cluster, as absolute paths."""

    cluster: str
    runtime: str
    state: str
    sockets: str
    cluster_json: str = "cluster.json"
    """Or WORKERS_JSON, for a process that may read no other."""

    def endpoint(self, name: str) -> str:
        """The ZeroMQ endpoint of a socket by its name, such as `pool.compute.in`."""
        return f"ipc://{self.sockets}/{name}"

    @property
    def pid_file(self) -> str:
        return f"{self.runtime}/supervisor.pid"

    @property
    def cluster_file(self) -> str:
        return f"{self.runtime}/{self.cluster_json}"

    @property
    def state_file(self) -> str:
        return f"{self.runtime}/state.json"

    @property
    def logs(self) -> str:
        return f"{self.state}/logs"

    @property
    def events_file(self) -> str:
        return f"{self.state}/events.jsonl"

    @property
    def dead_letters_file(self) -> str:
        return f"{self.state}/dead-letters.jsonl"

    @property
    def journal_file(self) -> str:
        return f"{self.state}/journal.db"

    @property
    def journal_key_file(self) -> str:
        return f"{self.state}/journal.key"

    @property
    def replays(self) -> str:
        return f"{self.state}/replays"

    def log_file(self, process: str) -> str:
        return f"{self.logs}/{process}.log"

    def begun_file(self, worker: str) -> str:
        return f"{self.runtime}/{worker}{BEGUN}"

    def dump_file(self, process: str) -> str:
        return f"{self.runtime}/{process}{DUMP}"


class ClusterFile(Struct, frozen=True):
    """`cluster.json`: all that a process needs beside its id and incarnation on the command line."""

    place: Place
    config: Config
    config_path: str
    """Absolute path of the TOML file, or "prime (built in)"."""
    import_path: str
    """Folder put first on the import path for handlers: that of the config file."""


COMMANDS = "commands"
STATS = "stats"
FEED = "feed"
CONTROL = "control"
RECORDER = "recorder"
"""Bound by the recorder (PULL); servers connect (PUSH), say what became of requests. Also the recorder's id."""
JOURNAL = "journal"
"""Bound by the recorder (ROUTER): it answers what consoles ask about the journal; the supervisor connects (DEALER)."""
LISTENERS = "listeners"
"""A datagram socket: servers hand their listening sockets to a supervisor that has none (`wire.control.Lend`)."""


def pool_in(pool: str) -> str:
    """Bound by the pool's proxy (ROUTER); servers and forwarding workers connect (DEALER)."""
    return f"pool.{pool}.in"


def pool_out(pool: str) -> str:
    """Bound by the pool's proxy (ROUTER); its workers connect (DEALER, a work lane and an urgent lane each)."""
    return f"pool.{pool}.out"


def loopback(server: str) -> str:
    """Bound by a server (PULL); workers and proxies connect (PUSH)."""
    return f"loopback.{server}"


def server_id(number: int) -> str:
    return f"server.{number}"


def server_number(server: str) -> int:
    """The other way round. Raises ValueError for what is no server's id."""
    number = int(server.removeprefix("server."))
    if server != server_id(number):
        raise ValueError(f"{server!r} is no server")
    return number


def proxy_id(pool: str) -> str:
    return f"proxy.{pool}"


def worker_id(pool: str, number: int) -> str:
    return f"{pool}.{number}"


def server_ids(config: Config) -> list[str]:
    return [server_id(number) for number in range(1, config.server.processes + 1)]


def runtime_base(environ: Mapping[str, str], temp: str, uid: int) -> str:
    """The folder that holds the runtime folders of all clusters of this user."""
    given = environ.get("XDG_RUNTIME_DIR")
    return str(PurePosixPath(given, "primectl")) if given else str(PurePosixPath(temp, f"primectl-{uid}"))


def place(cluster: str, environ: Mapping[str, str], temp: str, uid: int) -> Place:
    """The folders of a cluster. `temp` is the user's folder for temporary files; nothing is created."""
    runtime = str(PurePosixPath(runtime_base(environ, temp, uid), cluster))
    state_home = environ.get("XDG_STATE_HOME") or str(PurePosixPath(environ.get("HOME") or temp, ".local", "state"))
    sockets = runtime
    if len(runtime.encode()) + 1 + LONGEST_SOCKET_NAME > SOCKET_PATH_LIMIT:
        digest = hashlib.blake2s(runtime.encode(), digest_size=6).hexdigest()
        sockets = f"/tmp/primectl-{uid}-{digest}"  # noqa: S108  private: made 0700 and checked for its owner
    return Place(
        cluster=cluster, runtime=runtime, state=str(PurePosixPath(state_home, "primectl", cluster)), sockets=sockets
    )
