"""What can happen to a cluster (past tense), and what its supervisor may be asked to do in answer (imperative).

An incarnation numbers one life of a process: it grows with every start, across supervisors too, so that word from an
earlier life is recognised. Process ids are those of `primectl.config.topology`; a pool's zygote is `zygote.<pool>` or,
since a reload has two for a while, `zygote.<pool>.next`.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from primectl.config.model import Config
from primectl.wire import control
from primectl.wire.stats import ReportEnvelope, Role
from supervisor.lifecycle import ProcessState
from supervisor.memory import Memory


class Kind(StrEnum):
    """What a supervised process is for: the roles that operators see, and the zygotes that they do not."""

    SERVER = "server"
    PROXY = "proxy"
    WORKER = "worker"
    RECORDER = "recorder"
    ZYGOTE = "zygote"

    @property
    def role(self) -> Role:
        """Raises ValueError for a zygote, which has none."""
        return Role(self.value)


SUPERVISOR = "supervisor"
"""The id of the supervisor itself."""


def zygote_ids(pool: str) -> tuple[str, str]:
    """The two names that a pool's zygotes take in turns; `Books.zygotes` has the current one."""
    return f"zygote.{pool}", f"zygote.{pool}.next"


# --- what can happen --------------------------------------------------------------------------------------------------


class Begun(Struct, frozen=True):
    """The listening sockets are bound; `listen` is where clients really connect."""

    listen: str


class Survivor(Struct, frozen=True):
    """A process that an earlier supervisor has started and that still runs; all as that supervisor knew it last.

    `began_at` is monotonic seconds; `leaving`: it was retired for good.
    """

    process: str
    kind: Kind
    pool: str
    incarnation: int
    pid: int
    began_at: float
    restarts: int
    state: ProcessState
    leaving: bool


class Fallen(Struct, frozen=True):
    """One that ended while nobody watched."""

    process: str
    kind: Kind
    pool: str
    incarnation: int
    restarts: int


class TookOver(Struct, frozen=True):
    """In place of `Begun`: an earlier supervisor has died, and its cluster goes on with this one.

    `listen` is where clients connect, `began_at` when the cluster began, in monotonic seconds.
    """

    listen: str
    began_at: float
    survivors: tuple[Survivor, ...] = ()
    fallen: tuple[Fallen, ...] = ()
    memory: Memory = Memory()


class Lent(Struct, frozen=True):
    """An adopted server has handed us its listening socket."""

    process: str
    incarnation: int


class Ticked(Struct, frozen=True):
    """A deadline has come."""


class Spawned(Struct, frozen=True):
    """A process exists."""

    process: str
    incarnation: int
    pid: int


class Exited(Struct, frozen=True):
    """A process is gone, or never came to be: `status` is its exit status, minus the signal's number, None if unknown.

    `tail` holds the last lines of its log, of this life only. `oom`: it got a SIGKILL that we did not send, and the
    kernel has just ended somebody for want of memory. `job`: of a worker, the one that it had begun and not finished,
    by its own notes; 0 for none.
    """

    process: str
    incarnation: int
    status: int | None
    tail: tuple[str, ...] = ()
    oom: bool = False
    job: int = 0


class HandlerImported(Struct, frozen=True):
    """A zygote is ready to fork."""

    process: str
    incarnation: int


class HandlerFailed(Struct, frozen=True):
    """A zygote could not import its handler; it leaves by itself."""

    process: str
    incarnation: int
    traceback: str


class Subscribed(Struct, frozen=True):
    """A process listens on `commands`."""

    process: str


class Heard(Struct, frozen=True):
    """A report came by `stats`."""

    envelope: ReportEnvelope


class Probed(Struct, frozen=True):
    """What the operating system says of a process; `process` may be "supervisor"."""

    process: str
    incarnation: int
    cpu_percent: float
    rss_bytes: int
    stopped: bool = False
    """By SIGSTOP or its like."""


class Asker(Struct, frozen=True):
    """Who waits for an answer: a console's address on `control` and its number for the request."""

    address: bytes
    request: int


class Looked(Struct, frozen=True):
    """What `Look` has shown: whether the process has worked since the look before, None at the first; the request that
    a worker runs by its notes, "" for none, None where it keeps no notes."""

    process: str
    incarnation: int
    works: bool | None
    request: str | None


class DumpTaken(Struct, frozen=True):
    """What came of `TakeDump`: `how` is "asked" for the supervisor's own, "signal", or "none": `text` says why."""

    process: str
    incarnation: int
    text: str
    how: str


class ApplyOrder(Struct, frozen=True):
    """`control.Apply`, its config decoded and checked."""

    config: Config
    config_path: str
    import_path: str
    dry_run: bool = False
    timeout_s: float = 300.0
    keep_sizes: bool = False


Order = (
    control.Scale
    | control.Kill
    | control.Restart
    | control.ReloadOrder
    | control.DrainOrder
    | control.ResumeOrder
    | control.DumpOrder
    | ApplyOrder
    | control.ReopenOrder
    | control.Stop
)


class Asked(Struct, frozen=True):
    """An operator has given an order; `asker` is None when nobody waits for the answer (a signal)."""

    order: Order
    operator: str
    asker: Asker | None = None
    at: float = 0.0
    """Unix seconds."""


class ListenersBound(Struct, frozen=True):
    """`BindListeners` is done; `listen` is where clients will connect."""

    listen: str


class ListenersRefused(Struct, frozen=True):
    """`BindListeners` cannot be done; nothing has changed."""

    refusal: control.Refusal


class ConfigNotWritten(Struct, frozen=True):
    """`WriteConfig` has failed: cluster.json is as it was before."""

    why: str


Event = (
    Begun
    | TookOver
    | Lent
    | Ticked
    | Spawned
    | Exited
    | HandlerImported
    | HandlerFailed
    | Subscribed
    | Heard
    | Probed
    | Looked
    | DumpTaken
    | Asked
    | ListenersBound
    | ListenersRefused
    | ConfigNotWritten
)


# --- what may be asked ------------------------------------------------------------------------------------------------


class Exec(Struct, frozen=True):
    """Start a process with an interpreter of its own."""

    process: str
    kind: Kind
    pool: str
    incarnation: int


class Birthright(Struct, frozen=True):
    """A worker to be forked."""

    process: str
    incarnation: int


class Fork(Struct, frozen=True):
    """Let one of the pool's zygotes fork these workers."""

    pool: str
    zygote: str
    workers: tuple[Birthright, ...]


class Signal(Struct, frozen=True):
    """Send a signal to this life of a process, never to a later owner of its pid."""

    process: str
    incarnation: int
    number: int


class SignalStray(Struct, frozen=True):
    """SIGKILL a process of the cluster that is not in the books: a worker that was forked, and whoever should have told
    or written that down has died before. `process` is the id that it goes by, "" where that is not known."""

    pid: int
    process: str = ""


class Look(Struct, frozen=True):
    """Look closely at a process that is silent; `Looked` follows."""

    process: str
    incarnation: int


class TakeDump(Struct, frozen=True):
    """Get the stacks of a process that does not answer, or of the supervisor itself; `DumpTaken` follows."""

    process: str
    incarnation: int


class ReopenLog(Struct, frozen=True):
    """Have a zygote, or the supervisor itself, open its log by name, or rotate it."""

    process: str
    incarnation: int
    rotate: bool


class CloseZygote(Struct, frozen=True):
    """Tell a zygote that has imported to leave."""

    process: str
    incarnation: int


class CloseListeners(Struct, frozen=True):
    """Let no further connection begin, and give our copies of the listening sockets up: whoever has been let in by the
    kernel is the servers' to answer. Who waits for one of the `unserved`, which does not run, is answered 503."""

    unserved: tuple[str, ...] = ()


class BindListeners(Struct, frozen=True):
    """Bind sockets for so many servers, at this address or, if it is the one of now, beside those there are.

    Answered by `ListenersBound` or `ListenersRefused`. What is new stands aside until `UseListeners`.
    """

    listen: str
    processes: int


class UseListeners(Struct, frozen=True):
    """Servers that start from now on get what `BindListeners` has bound; the former sockets stay open."""


class DropListeners(Struct, frozen=True):
    """Back to the former sockets: what `BindListeners` has bound is closed."""


class CloseFormerListeners(Struct, frozen=True):
    """Close our copies of the former sockets: the servers that have theirs take in who waits there, and close them."""


class KeepListeners(Struct, frozen=True):
    """There are only so many servers any more: close our copies of the sockets of the others."""

    processes: int


class WriteConfig(Struct, frozen=True):
    """Put this config into cluster.json, for processes that start from now on or are told to `Reread`."""

    config: Config
    config_path: str
    import_path: str


class RemovePool(Struct, frozen=True):
    """Nothing is left of this pool: remove its files."""

    pool: str


class Broadcast(Struct, frozen=True):
    """Publish on `commands`."""

    topic: str
    command: control.Command


Answerable = (
    control.Progress
    | control.Refusal
    | control.Scaled
    | control.Killed
    | control.Restarted
    | control.Reloaded
    | control.Applied
    | control.Drained
    | control.Resumed
    | control.Dumps
    | control.Reopened
    | control.Stopped
)


class Answer(Struct, frozen=True):
    """Reply to an operator; status 102 is progress, anything else the end."""

    asker: Asker
    status: int
    body: Answerable


class Tell(Struct, frozen=True):
    """Something worth knowing happened: for the event log, the feed and the supervisor's own log.

    Fields as in `primectl.wire.stats.Event`.
    """

    kind: str
    subject: str
    text: str
    operator: str = ""
    before: str = ""
    after: str = ""
    cause: str = ""
    lines: tuple[str, ...] = ()
    operation: int = 0


class ShowProgress(Struct, frozen=True):
    """What the start or the stop waits for has changed."""

    text: str


class CameUp(Struct, frozen=True):
    """Every process has said READY for the first time.

    After an adoption: so many processes were `adopted`, so many `started` beside them; what is `failing`, in
    words, ends no cluster that serves. `applied` says what came of the config that had changed meanwhile.
    `unrecorded` says why requests are not recorded, empty where they are, or shall not be.
    """

    adopted: int = 0
    started: int = 0
    failing: tuple[str, ...] = ()
    applied: str = ""
    unrecorded: str = ""


class StartFailure(Struct, frozen=True):
    """Why the cluster did not come up: `what` in one line, `process` whose fault it was, the last lines of its log."""

    process: str
    what: str
    detail: tuple[str, ...]


class EssentialFailure(Struct, frozen=True):
    """Why the cluster has ended itself after it was up; fields as those of `StartFailure`."""

    process: str
    what: str
    detail: tuple[str, ...]


class Leave(Struct, frozen=True):
    """Nothing is left to supervise: end the loop."""

    outcome: control.Stopped | StartFailure | EssentialFailure


Action = (
    Exec
    | Fork
    | Signal
    | SignalStray
    | Look
    | TakeDump
    | ReopenLog
    | CloseZygote
    | CloseListeners
    | BindListeners
    | UseListeners
    | DropListeners
    | CloseFormerListeners
    | KeepListeners
    | WriteConfig
    | RemovePool
    | Broadcast
    | Answer
    | Tell
    | ShowProgress
    | CameUp
    | Leave
)
