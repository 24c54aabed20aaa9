"""What processes report to the supervisor on `stats`, and what the supervisor shows to operators on `feed`.

Figures in a sample are totals since the process began, so a lost sample loses nothing: rates and percentiles come
from the difference of two. Seconds and bytes unless a name says otherwise.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    """What a process is for."""

    SUPERVISOR = "supervisor"
    SERVER = "server"
    PROXY = "proxy"
    WORKER = "worker"
    RECORDER = "recorder"


class ClusterState(StrEnum):
    """The cluster as a whole: `running` once every process has said READY."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


class Ready(Struct, frozen=True, tag=True):
    """The answer to HELLO: this process is set up and hears the supervisor."""

    pid: int


class Acknowledged(Struct, frozen=True, tag=True):
    """A process has received the command with this number."""

    command: int


class Dumped(Struct, frozen=True, tag=True):
    """The answer to the DUMP with this number: where each thread of the process is, at most 64 KiB of text."""

    command: int
    text: str


class WorkerStuck(Struct, frozen=True, tag=True):
    """From a proxy: nobody waits for `request` any more, and the worker has not let go of it within `kill_after`."""

    worker: str
    incarnation: int
    request: str
    """Its X-Request-Id."""


class WorkerSample(Struct, frozen=True, tag=True):
    """A worker, from its watchdog thread. `job_s` is how long the running job has run, 0 when idle."""

    jobs: int
    failed: int
    busy: bool
    job_s: float = 0.0
    counters: dict[str, int] = {}
    request: str = ""
    """X-Request-Id of the running job."""
    pulse_s: float = 0.0
    """For how long the main thread, between jobs, has not answered the watchdog."""


class WorkerLoad(Struct, array_like=True, frozen=True):
    """One worker as its proxy sees it."""

    worker: str
    incarnation: int
    holding: int
    busy_s: float = 0.0
    draining: bool = False


class ProxySample(Struct, frozen=True, tag=True):
    """A pool, from its proxy. `latency` counts finished jobs by time spent here (queued and served), as `Histogram`."""

    queued: int
    in_flight: int
    oldest_wait_s: float
    arrived: int
    done: int
    failed: int
    retried: int
    service_s: float
    latency: list[int]
    workers: list[WorkerLoad]
    counters: dict[str, int] = {}
    draining: bool = False
    """The pool takes no more jobs."""


class ServerSample(Struct, frozen=True, tag=True):
    """An HTTP server. `classes` counts answers by status class, index 1 to 5; `latency` is a `Histogram` as a list."""

    connections: int
    in_flight: int
    requests: int
    classes: list[int]
    latency: list[int]
    draining: bool = False
    counters: dict[str, int] = {}
    last: bool = False
    """Nothing comes after it: the server leaves, and its counts are whole."""


class RecorderSample(Struct, frozen=True, tag=True):
    """The recorder. `rows` it has written since it began, `size` bytes that the journal takes on disk.

    `lost` rows never reached it, as gaps in the servers' numbers tell, and are none that a server says to have dropped;
    `left_out` were sampled out; `refused` could not be written. `trouble` says why it does not record now, empty when
    it does.
    """

    rows: int
    size: int
    kept: int = 0
    """Rows in the journal."""
    oldest: float = 0.0
    """Unix seconds of the oldest row, 0 without any."""
    lost: int = 0
    left_out: int = 0
    refused: int = 0
    trouble: str = ""
    counters: dict[str, int] = {}


Report = Ready | Acknowledged | Dumped | WorkerStuck | WorkerSample | ProxySample | ServerSample | RecorderSample


class ReportEnvelope(Struct, frozen=True):
    """A report with its sender. `sequence` counts the sender's reports from 1, so that losses are seen."""

    sender: str
    incarnation: int
    sequence: int
    report: Report


class PoolSnapshot(Struct, frozen=True, kw_only=True):
    """A pool at one moment; `rate` (done) and `arrival_rate` per second, percentiles over the last ten seconds."""

    name: str
    target: int = 0
    workers: int = 0
    busy: int = 0
    idle: int = 0
    starting: int = 0
    draining: int = 0
    failed_workers: int = 0
    queued: int = 0
    in_flight: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    rate: float = 0.0
    arrival_rate: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    oldest_wait_ms: float = 0.0
    service_ms: float = 0.0
    """Mean time of a job in the handler, over the same ten seconds."""
    utilisation: float = 0.0
    """Share of the workers' time spent in the handler, 0 to 1."""
    max_workers: int = 0
    max_queue: int = 0
    state: str = "running"
    """`running`, or `draining` when the pool takes no more jobs."""
    trouble: str = ""
    """Why the pool gets no new workers although those that live go on; empty when it does."""
    configured: int | None = None
    """Workers that the config file has; an operator's `scale` makes `target` another."""


class ProcessSnapshot(Struct, frozen=True, kw_only=True):
    """A process at one moment. `pool` is "" for a server, the supervisor and the recorder."""

    id: str
    role: Role
    pool: str = ""
    pid: int = 0
    state: str = "starting"
    busy: bool = False
    uptime_s: float = 0.0
    restarts: int = 0
    jobs: int = 0
    cpu_percent: float = 0.0
    rss_bytes: int = 0
    job_s: float = 0.0
    heartbeat_age_s: float = 0.0
    cause: str = ""
    """Why it last ended or failed, empty when it never did."""
    counters: dict[str, int] = {}
    """What this life of it has counted beside its jobs: handed back, cancelled, dropped …; those above 0."""
    generation: int = 0
    """Of a worker: after which reload of its pool it was started, the first being 1; higher ones may have failed."""
    request: str = ""
    """X-Request-Id of the job that it runs, as far as it is known."""
    crashes: int = 0
    """How often in a row it has ended by itself; 0 again once it has been READY for `supervisor.healthy_after`."""
    retry_in_s: float = 0.0
    """Of one in `backoff`: until it is tried again."""
    last_lines: list[str] = []
    """Of one that is `failed`: the end of its log."""


class FrontSnapshot(Struct, frozen=True, kw_only=True):
    """All servers together, as clients see the cluster."""

    listen: str = ""
    connections: int = 0
    in_flight: int = 0
    requests: int = 0
    rate: float = 0.0
    error_rate: float = 0.0
    """5xx answers per second."""
    classes: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
    """Answers so far by status class, index 1 to 5."""
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    dead_letters: int = 0
    """Requests that could not be answered (502), each kept in the dead letters file."""


class JournalSnapshot(Struct, frozen=True, kw_only=True):
    """The journal: `state` is `off`, `starting`, `recording` or `stopped`, and then `trouble` says why.

    `rows` are kept, `rate` come in a second; `dropped` is what servers had no room for, what never arrived and what
    could not be written, since the cluster's start.
    """

    state: str = "off"
    trouble: str = ""
    rows: int = 0
    rate: float = 0.0
    size: int = 0
    """Bytes on disk."""
    oldest: float = 0.0
    """Unix seconds of the oldest row, 0 without any."""
    dropped: int = 0
    left_out: int = 0
    """Sampled out, since the cluster's start."""


class Event(Struct, frozen=True, kw_only=True):
    """Something an operator would want to know happened. `time` is Unix seconds, `number` counts from 1.

    Kind STATE is a process's change of state, from `before` to `after`. An order's event has what was before and what
    is asked for, the events of one order its number (`operation`). A death has its `cause` and the last `lines` of the
    process's log: at most 20, 8 KiB.
    """

    number: int
    time: float
    kind: str
    subject: str
    text: str
    operator: str = ""
    before: str = ""
    after: str = ""
    cause: str = ""
    lines: list[str] = []
    operation: int = 0


STATE = "state"
"""The kind of an event that tells of a process's change of state; there are many, and most readers leave them out."""


class OperationSnapshot(Struct, frozen=True, kw_only=True):
    """An order under way: `done` of `total` parts, and what is happening (`text`)."""

    number: int
    kind: str
    """The verb: `scale`, `kill`, `restart` …"""
    target: str
    operator: str = ""
    text: str = ""
    done: int = 0
    total: int = 0
    since_s: float = 0.0
    state: str = "running"
    """`running`, or `queued` while others that take turns in the same pool are before it."""
    wish: str = ""
    """What the target shall be, where the verb needs it: the size of a `scale`."""


class LogLine(Struct, array_like=True, frozen=True):
    """A line of a process's log, without its line end. `process` is empty for a note of the supervisor's own."""

    process: str
    text: str


class ClusterSnapshot(Struct, frozen=True, kw_only=True):
    """Everything an operator sees of a cluster, at one moment (`time`, Unix seconds)."""

    cluster: str = ""
    state: ClusterState = ClusterState.STARTING
    uptime_s: float = 0.0
    time: float = 0.0
    config: str = ""
    """Path of the config file, or the name of the built-in sample."""
    pools: list[PoolSnapshot] = []
    processes: list[ProcessSnapshot] = []
    front: FrontSnapshot = FrontSnapshot()
    progress: str = ""
    """What the cluster is waiting for while it starts or stops."""
    counters: dict[str, int] = {}
    """What the supervisor itself dropped or refused, by name."""
    operations: list[OperationSnapshot] = []
    """Orders under way, by number."""
    journal: JournalSnapshot = JournalSnapshot()


class EventPublished(Struct, frozen=True, tag=True):
    """Events as the feed carries them: `event`, and in `also` what happened after it in the same turn."""

    event: Event
    also: list[Event] = []

    @property
    def events(self) -> list[Event]:
        return [self.event, *self.also]


class LogsPublished(Struct, frozen=True, tag=True):
    """New log lines in the order they were read; `skipped` lines came faster than the feed carries."""

    lines: list[LogLine]
    skipped: int = 0


class SnapshotPublished(Struct, frozen=True, tag=True):
    """The tick's snapshot, as the feed carries it."""

    snapshot: ClusterSnapshot


FeedMessage = SnapshotPublished | EventPublished | LogsPublished
