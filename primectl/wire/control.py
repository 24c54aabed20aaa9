"""What the supervisor broadcasts on `commands`, and what consoles ask on `control`.

Commands are sent to a topic: `all`, `role.worker`, `pool.compute`, `proc.compute.3`. ZeroMQ matches topics by prefix,
so `proc.compute.1` would also reach `proc.compute.10`: receivers compare the whole topic.

The control API is requests and replies in the shape of HTTP (method, path, body). A long request is answered by any
number of `Reply` with status 102 (progress) and then one final `Reply`. Every order that is taken has a number
(`operation` in what is answered), under which it is also shown in the snapshot and told of in the events.

    GET  /cluster                                   -> stats.ClusterSnapshot
    GET  /events  EventsQuery                       -> Events
    GET  /logs    LogsQuery                         -> Logs
    GET  /requests, /requests/entry                 see wire.journal
    POST /scale   Scale      (102: Progress)        -> Scaled
    POST /kill    Kill       (102: Progress)        -> Killed
    POST /restart Restart    (102: Progress)        -> Restarted
    POST /reload  ReloadOrder (102: Progress)       -> Reloaded
    POST /apply   Apply      (102: Progress)        -> Applied
    POST /drain   DrainOrder (102: Progress)        -> Drained
    POST /resume  ResumeOrder                       -> Resumed
    POST /dump    DumpOrder  (102: Progress)        -> Dumps
    POST /reopen  ReopenOrder (102: Progress)       -> Reopened
    POST /stop    Stop       (102: Progress)        -> Stopped
"""

from __future__ import annotations

from msgspec import Raw, Struct

from primectl.wire.stats import Event, LogLine

# --- commands ---------------------------------------------------------------------------------------------------------


class Hello(Struct, frozen=True, tag=True):
    """Say READY once you are set up: repeated until the process does."""


class KillNow(Struct, frozen=True, tag=True):
    """KILL: leave at once, whatever you are doing. A process that cannot obey is sent SIGKILL."""

    command: int


class Retire(Struct, frozen=True, tag=True):
    """Finish what you have, then leave. A server stops accepting, and after `timeout_s` answers what is left 503."""

    command: int
    timeout_s: float | None = None
    """None: as long as a request may take."""


class Drain(Struct, frozen=True, tag=True):
    """To a proxy: deal no more to these workers; with none named, take no more jobs into the pool (503)."""

    command: int
    workers: list[str] = []


class Resume(Struct, frozen=True, tag=True):
    """To a proxy: the end of a `Drain` of the same workers, or of the pool."""

    command: int
    workers: list[str] = []


class Roster(Struct, frozen=True, tag=True):
    """To a proxy that has just said READY: the workers (id, incarnation) that its predecessor served. It waits for
    them to announce what they hold before it deals."""

    workers: list[tuple[str, int]]


class ProcessGone(Struct, frozen=True, tag=True):
    """A process has ended: a proxy takes back what this worker held. To `pool.<name>` and `role.server`."""

    process: str
    incarnation: int


class ProcessReady(Struct, frozen=True, tag=True):
    """A process has (re)started: workers announce themselves to a new proxy at once."""

    process: str
    incarnation: int


class Readiness(Struct, frozen=True, tag=True):
    """To servers: what `ready_path` shall say. `reason` is empty when ready."""

    ready: bool
    reason: str = ""


class Dump(Struct, frozen=True, tag=True):
    """Say where each of your threads is: `stats.Dumped`."""

    command: int


class Reopen(Struct, frozen=True, tag=True):
    """Open your log by its name, since somebody has renamed the file; with `rotate`, rotate it yourself."""

    command: int
    rotate: bool = False


class Lend(Struct, frozen=True, tag=True):
    """To a server that an earlier supervisor has started: hand over your listening socket, as a `Loan`, to the UNIX
    socket `listeners`. So a successor can take up the connections that wait in it."""

    command: int


class Reread(Struct, frozen=True, tag=True):
    """`cluster.json` has changed: take from it what can be taken while running, and acknowledge.

    Servers take routes, pools, key functions and what is recorded; proxies their pool's settings; workers the pools,
    their bounds and key functions. All else is for processes that start later.
    """

    command: int


class Loan(Struct, frozen=True):
    """The datagram that carries a server's listening socket (SCM_RIGHTS, unix(7))."""

    server: str
    incarnation: int


Command = (
    Hello
    | KillNow
    | Retire
    | Drain
    | Resume
    | Roster
    | ProcessGone
    | ProcessReady
    | Readiness
    | Dump
    | Lend
    | Reread
    | Reopen
)

ALL = "all"


def role_topic(role: str) -> str:
    return f"role.{role}"


def pool_topic(pool: str) -> str:
    return f"pool.{pool}"


def process_topic(process: str) -> str:
    return f"proc.{process}"


# --- the control API --------------------------------------------------------------------------------------------------


class Request(Struct, array_like=True, frozen=True):
    """A question or an order. `id` is the asker's own number, given back in every reply; `operator` is a login name."""

    id: int
    method: str
    path: str
    body: Raw = Raw(b"\xc0")
    operator: str = ""


class Reply(Struct, array_like=True, frozen=True):
    """`status` as in HTTP: 102 progress, 200 done, 400 wrong, 404 not found, 409 not now, 500 failed, 504 timed out."""

    id: int
    status: int
    body: Raw = Raw(b"\xc0")


class Refusal(Struct, frozen=True):
    """The body of every reply from 400 up. `operation` is the number of an order that was begun, else 0."""

    what: str
    where: str = ""
    mend: str = ""
    operation: int = 0
    lines: list[str] = []
    """The end of a traceback or of a log that tells why."""


class Progress(Struct, frozen=True):
    """The body of a 102: `done` of `total` parts, and what is happening."""

    text: str
    done: int = 0
    total: int = 0
    operation: int = 0


class Scale(Struct, frozen=True):
    """`workers` is "8" (to this size), "+2" or "-1" (by so many)."""

    pool: str
    workers: str
    timeout_s: float = 60.0


class Scaled(Struct, frozen=True):
    pool: str
    before: int
    after: int
    seconds: float
    operation: int = 0


class Kill(Struct, frozen=True):
    """`target` is `all` (every worker), a pool, or a process id; SIGKILL follows after `grace_s`."""

    target: str
    grace_s: float = 1.0
    timeout_s: float = 10.0


class Killed(Struct, frozen=True):
    """Processes addressed, those that have gone (`acknowledged`), and those of them that took SIGKILL (`forced`)."""

    target: str
    addressed: list[str]
    acknowledged: list[str]
    forced: list[str]
    lost_jobs: int
    seconds: float
    operation: int = 0


class Restart(Struct, frozen=True):
    """`target` as for `Kill`; each process finishes what it has, leaves, and is started again."""

    target: str
    timeout_s: float = 60.0


class Restarted(Struct, frozen=True):
    target: str
    processes: list[str]
    seconds: float
    operation: int = 0


class ReloadOrder(Struct, frozen=True):
    """`target` is `all` or a pool: new workers of the code as it is now come up READY, then the old ones leave."""

    target: str
    timeout_s: float = 120.0


class Reloaded(Struct, frozen=True):
    """`processes` run the new code. Where it could not be imported, or a worker of it did not come up or ended by
    itself, the answer is 500: the old code stays."""

    target: str
    processes: list[str]
    seconds: float
    operation: int = 0


class Apply(Struct, frozen=True):
    """Make the running cluster that of another config.

    `config` is a `config.model.Config` as JSON, checked by the asker, who has seen the file and imported the handlers;
    it is checked again as far as no file is needed. `keep_sizes`: a pool keeps the size that an operator gave it,
    unless its `workers` in the file is another than before.
    """

    config: bytes
    config_path: str
    import_path: str
    dry_run: bool = False
    timeout_s: float = 300.0
    keep_sizes: bool = False


class PlannedChange(Struct, frozen=True):
    """One key whose value changes, as the file would write both values ("" for none), and what that does."""

    key: str
    before: str
    after: str
    effect: str


class Applied(Struct, frozen=True):
    """`applied` is False for a dry run, and where there was nothing to change."""

    changes: list[PlannedChange]
    applied: bool
    seconds: float
    operation: int = 0


class DrainOrder(Struct, frozen=True):
    """`target` is a pool or a worker: it takes no more and finishes what it has; done when it holds nothing."""

    target: str
    timeout_s: float = 60.0


class Drained(Struct, frozen=True):
    """`processes` are the workers that hold nothing now and get nothing until `resume`."""

    target: str
    processes: list[str]
    seconds: float
    operation: int = 0


class ResumeOrder(Struct, frozen=True):
    """`target` as for `DrainOrder`."""

    target: str


class Resumed(Struct, frozen=True):
    target: str
    processes: list[str]
    operation: int = 0


class Stop(Struct, frozen=True):
    """The clean stop; after `timeout_s` whatever is left gets SIGTERM, then SIGKILL. 0 kills at once."""

    timeout_s: float = 30.0


class Stopped(Struct, frozen=True):
    """The clean stop: requests `finished` since it began, `cancelled` at its end, processes `killed` by force."""

    cluster: str
    finished: int
    cancelled: int
    processes: int
    killed: list[str]
    seconds: float
    operation: int = 0


class DumpOrder(Struct, frozen=True):
    """Where the threads of processes are. `target` as for `Kill`, or `supervisor`, or a pool's zygote."""

    target: str
    timeout_s: float = 5.0


class ProcessDump(Struct, frozen=True):
    """`text` has a block for each thread, newest frame last. `how` it was got: `asked`, `signal` (the process did not
    answer, faulthandler wrote it), or `none`, and then `text` says why."""

    process: str
    text: str
    how: str


class Dumps(Struct, frozen=True):
    target: str
    dumps: list[ProcessDump]
    seconds: float = 0.0
    operation: int = 0


class ReopenOrder(Struct, frozen=True):
    """Logs are opened by their names, or rotated. `target` is `all` (the supervisor and zygotes too), a pool with its
    proxy and zygotes, or a process."""

    target: str = "all"
    rotate: bool = False
    timeout_s: float = 5.0


class Reopened(Struct, frozen=True):
    """`processes` have done so."""

    target: str
    processes: list[str]
    seconds: float = 0.0
    operation: int = 0


class EventsQuery(Struct, frozen=True):
    """The `last` events; with `since`, the first `last` after the one of that number. An answer has at most 1000, and
    the supervisor remembers the recent ones only: the rest is in its files."""

    last: int = 100
    since: int = 0
    states: bool = False
    """With the changes of state of each process."""


class Events(Struct, frozen=True):
    events: list[Event]


class LogsQuery(Struct, frozen=True):
    """The last lines of the processes that `target` names (as for `Kill`), merged."""

    target: str = "all"
    last: int = 100


class Logs(Struct, frozen=True):
    lines: list[LogLine]
