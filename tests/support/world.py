"""A cluster's processes without processes: takes a supervisor core's actions, gives back what would happen.

Events wait in `pending` until a test delivers them, in order or in any other. The world itself checks that no process
id ever lives twice.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NamedTuple

from primectl.config.model import ClusterConfig, Config, JournalConfig, PoolConfig, ServerConfig, SupervisorConfig
from primectl.wire.control import Drain, Hello, KillNow, Lend, Progress, Refusal, Reread, Resume, Retire
from primectl.wire.stats import (
    Acknowledged,
    ProxySample,
    Ready,
    RecorderSample,
    Report,
    ReportEnvelope,
    ServerSample,
    WorkerSample,
)
from supervisor.cluster import Cluster
from supervisor.events import (
    Action,
    Answer,
    Asked,
    Asker,
    Begun,
    BindListeners,
    Broadcast,
    CloseZygote,
    ConfigNotWritten,
    Event,
    Exec,
    Exited,
    Fallen,
    Fork,
    HandlerFailed,
    HandlerImported,
    Heard,
    Kind,
    Leave,
    Lent,
    ListenersBound,
    ListenersRefused,
    Order,
    Signal,
    SignalStray,
    Spawned,
    Subscribed,
    Survivor,
    Tell,
    Ticked,
    TookOver,
    WriteConfig,
)
from supervisor.lifecycle import ProcessState as S
from supervisor.memory import Memory


def a_config(
    compute: int = 2,
    parse: int = 1,
    spawn: str = "fork",
    supervisor: SupervisorConfig | None = None,
    *,
    essential: bool = True,
    journal: bool = False,
) -> Config:
    """`essential`: of server and proxies. Without a `journal` there is no recorder."""

    def pool(name: str, workers: int) -> PoolConfig:
        return PoolConfig(handler=f"m:{name}", workers=workers, spawn=spawn, proxy_essential=essential)  # type: ignore[arg-type]

    return Config(
        cluster=ClusterConfig(name="test"),
        server=ServerConfig(essential=essential),
        pools={"parse": pool("parse", parse), "compute": pool("compute", compute)},
        journal=JournalConfig(enabled=journal),
        supervisor=supervisor or SupervisorConfig(),
    )


class Kept(NamedTuple):
    """What a state file has of a process, as far as it changes."""

    restarts: int
    state: S
    leaving: bool


class Life:
    """One living process."""

    def __init__(self, process: str, incarnation: int, kind: Kind, pool: str, pid: int) -> None:
        self.process, self.incarnation, self.kind, self.pool, self.pid = process, incarnation, kind, pool, pid
        self.deaf = False
        self.code = 1
        """Which code it runs: that of its zygote, else what there was when it began."""
        self.adopted = False
        """It is no child of the supervisor that runs now."""
        self.heard: list[object] = []
        """The commands that have reached it."""
        self.sequence = 0
        self.read: Config | None = None
        """The config that it knows: that of its start, or of the last `Reread`."""
        self.began_with: Config | None = None
        self.handler = ""
        """That of its pool, as it was when it or its zygote began."""
        self.drains: list[Drain | Resume] = []
        """The drains and resumes that a proxy has obeyed."""

    def hears(self, topic: str) -> bool:
        return topic in ("all", f"role.{self.kind}", f"proc.{self.process}", f"pool.{self.pool}")


class World:
    def __init__(self, config: Config | None = None) -> None:
        self.config = config or a_config()
        self.cluster = self._a_cluster(1)
        self.now = 100.0
        self.alive: dict[str, Life] = {}
        self.strays: list[Life] = []
        """Those that no supervisor has written down."""
        self.old_zygotes: list[Life] = []
        self.supervisors = 1
        self._watched: dict[Life, None] = {}
        self._kept: dict[Life, Kept] = {}
        self._memory = Memory()
        self.pending: list[Event] = []
        self.actions: list[Action] = []
        self.outcome: object = None
        self.zygotes_hold_back = False
        """A zygote is told to fork and says nothing."""
        self.imports = True
        self.lends = True
        self.code = 1
        """What whoever imports from now on gets."""
        self.faults: dict[int, str] = {}
        """What is wrong with a code: `import`, or its workers are `mute` (never READY) or `die` at their start."""
        self.doomed: set[str] = set()
        """Processes that end as soon as they begin, with status 1."""
        self.mute: set[str] = set()
        """Processes that hang at their start, in every life."""
        self.broken: set[str] = set()
        """Handlers that cannot be imported."""
        self.recorded = RecorderSample(0, 0)
        """The first word of a recorder."""
        self.taken: set[str] = set()
        """Addresses that somebody else has."""
        self.written = self.config
        """What cluster.json says."""
        self.disk_is_full = False
        self._pid = 100
        self._asked = 0

    # --- driving ------------------------------------------------------------------------------------------------------

    def tell(self, *events: Event) -> list[Action]:
        """Hand events to the core in one turn; what it wants is done at once and returned."""
        wanted = self._think(*events)
        for action in wanted:
            self._do(action)
        self._keep()
        self.actions += wanted
        return wanted

    def _think(self, *events: Event) -> list[Action]:
        """What operators have ordered is written down before anything is done."""
        for event in events:
            if isinstance(event, Spawned) and event.process in self.alive:
                self._watched[self.alive[event.process]] = None
        wanted = self.cluster.handle_all(events, self.now)
        self._memory = self.cluster.memory()
        return wanted

    def _keep(self) -> None:
        """What became of processes is written down after it was told. An end that is not noticed yet is none."""
        ending = {(event.process, event.incarnation) for event in self.pending if isinstance(event, Exited)}
        self._kept = {
            life: Kept(record.restarts, record.state, record.leaving)
            for life in self._watched
            if (self.alive.get(life.process) is life or (life.process, life.incarnation) in ending)
            and (record := self.cluster.record(life.process, life.incarnation)) is not None
        }

    # --- the supervisor's death ---------------------------------------------------------------------------------------

    def supervisor_dies(self, *, amid: Order | None = None) -> None:
        """At any moment, or when it has taken an order and begun nothing of it."""
        if amid is not None:
            self._think(Asked(amid, "alice"))
        self.pending.clear()
        for life in list(self.alive.values()):
            if life.kind is Kind.ZYGOTE:
                self.old_zygotes.append(self.alive.pop(life.process))
            elif life not in self._kept:
                self.strays.append(self.alive.pop(life.process))

    def take_over(self, listen: str = "http://127.0.0.1:8002") -> list[Action]:
        """The next one begins, with what is written down and what still runs of it; all links come back."""
        self.supervisors += 1
        self.cluster = self._a_cluster(self.supervisors)
        self.pending.clear()
        survivors, fallen = [], []
        for life, record in self._kept.items():
            known = life.process, life.kind, life.pool, life.incarnation
            if self.alive.get(life.process) is life:
                life.adopted = True
                survivors.append(Survivor(*known, life.pid, 50.0, record.restarts, record.state, record.leaving))
            elif life not in self.old_zygotes:
                fallen.append(Fallen(*known, record.restarts))
        survivors += [
            Survivor(old.process, old.kind, old.pool, old.incarnation, old.pid, 50.0, 0, S.RUNNING, False)
            for old in self.old_zygotes
        ]
        self._watched = {life: None for life in self._kept if life.adopted}
        self.pending += [Subscribed(life.process) for life in [*self.alive.values(), *self.strays]]
        return self.tell(TookOver(listen, 40.0, tuple(survivors), tuple(fallen), self._memory))

    def strays_report(self) -> None:
        self.pending += [self._heard(life, WorkerSample(0, 0, False)) for life in self.strays]

    def _a_cluster(self, supervisor: int) -> Cluster:
        return Cluster(
            self.config,
            config_path="test.toml",
            dead_letters_file="/state/dead-letters.jsonl",
            incarnation=1000 * supervisor,
            pid=supervisor,
            jitter=lambda: 0.0,
        )

    def settle(self) -> list[Action]:
        """Deliver what is pending, and what follows from it, until nothing is."""
        wanted: list[Action] = []
        while self.pending:
            wanted += self.tell(self.pending.pop(0))
        return wanted

    def pass_time(self, seconds: float) -> list[Action]:
        """Let time pass, with a tick at every deadline on the way."""
        end = self.now + seconds
        wanted: list[Action] = []
        while (deadline := self.cluster.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            wanted += self.tell(Ticked())
            later = self.cluster.next_deadline()
            assert later is None or later > self.now, (
                "a deadline that has come is no longer one, or the loop would spin"
            )
            wanted += self.settle()
        self.now = end
        return wanted

    def start(self) -> list[Action]:
        return self.tell(Begun("http://127.0.0.1:8002")) + self.settle()

    def ask(self, order: Order, operator: str = "alice") -> Asker:
        self._asked += 1
        asker = Asker(b"console", self._asked)
        self.tell(Asked(order, operator, asker))
        return asker

    def do(self, order: Order) -> Answer | None:
        """Ask, let everything happen; the final answer, if there is one yet."""
        asker = self.ask(order)
        self.settle()
        return self.answer(asker)

    def answer(self, asker: Asker) -> Answer | None:
        answers = [a for a in self.actions if isinstance(a, Answer) and a.asker == asker and a.status != 102]
        assert len(answers) <= 1, "an order is answered once"
        return answers[0] if answers else None

    def progress(self, asker: Asker) -> list[Progress]:
        """What an operator was told on the way."""
        return [a.body for a in self.actions if isinstance(a, Answer) and a.asker == asker and a.status == 102]

    def die(self, process: str, status: int = 1, *tail: str) -> list[Action]:
        life = self.alive.pop(process)
        return self.tell(Exited(process, life.incarnation, status, tail))

    def report(self, process: str, report: Report) -> list[Action]:
        return self.tell(self._heard(self.alive[process], report))

    def report_empty(self) -> None:
        """Every proxy says that its pool holds nothing."""
        for life in list(self.alive.values()):
            if life.kind is Kind.PROXY:
                self.pending.append(self._heard(life, ProxySample(0, 0, 0.0, 0, 0, 0, 0, 0.0, [], [])))

    # --- looking ------------------------------------------------------------------------------------------------------

    def state(self, process: str) -> str:
        return next((p.state for p in self.cluster.snapshot().processes if p.id == process), "unknown")

    def workers(self, pool: str) -> list[str]:
        return sorted(life.process for life in self.alive.values() if life.kind is Kind.WORKER and life.pool == pool)

    def codes(self, pool: str) -> dict[str, int]:
        """Which code each worker runs."""
        return {worker: self.alive[worker].code for worker in self.workers(pool)}

    def zygotes(self, pool: str) -> list[str]:
        return sorted(life.process for life in self.alive.values() if life.kind is Kind.ZYGOTE and life.pool == pool)

    def told(self, kind: str) -> list[str]:
        return [action.text for action in self.actions if isinstance(action, Tell) and action.kind == kind]

    def sent(self, actions: Sequence[Action]) -> list[tuple[str, object]]:
        return [(action.topic, action.command) for action in actions if isinstance(action, Broadcast)]

    # --- what the actions do ------------------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        match action:
            case Exec():
                self._bear(action.process, action.incarnation, action.kind, action.pool)
            case Fork():
                zygote = self.alive.get(action.zygote)
                if not self.zygotes_hold_back and zygote is not None:
                    for worker in action.workers:
                        self._bear(worker.process, worker.incarnation, Kind.WORKER, action.pool, zygote)
            case Broadcast():
                for life in [*self.alive.values(), *self.strays]:
                    if life.hears(action.topic):
                        self._obey(life, action.command)
            case Signal() if (old := self._old_zygote(action)) is not None:
                self.old_zygotes.remove(old)
                self.pending.append(Exited(old.process, old.incarnation, None))
            case SignalStray():
                self.strays = [stray for stray in self.strays if stray.pid != action.pid]
            case Signal():
                life = self.alive.get(action.process)
                reached = life is not None and life.incarnation == action.incarnation
                if reached and (action.number == signal.SIGKILL or not life.deaf):
                    self._end(life, -action.number)
            case CloseZygote():
                if action.process in self.alive:
                    self._end(self.alive[action.process], 0)
            case BindListeners():
                refused = Refusal(f"{action.listen} is in use")
                taken = action.listen in self.taken
                self.pending.append(ListenersRefused(refused) if taken else ListenersBound(action.listen))
            case WriteConfig():
                if self.disk_is_full:
                    self.pending.append(ConfigNotWritten("No space left on device"))
                else:
                    self.written = action.config
            case Leave():
                self.outcome = action.outcome

    def _old_zygote(self, action: Signal) -> Life | None:
        return next((old for old in self.old_zygotes if old.incarnation == action.incarnation), None)

    def _bear(self, process: str, incarnation: int, kind: Kind, pool: str, zygote: Life | None = None) -> None:
        assert process not in self.alive, f"{process} lives twice"
        self._pid += 1
        life = self.alive[process] = Life(process, incarnation, kind, pool, self._pid)
        life.code = zygote.code if zygote else self.code
        life.read = life.began_with = self.written
        life.handler = zygote.handler if zygote else self.written.pools[pool].handler if pool else ""
        self.pending.append(Spawned(process, incarnation, self._pid))
        if kind is not Kind.WORKER or zygote is None:
            self._watched[life] = None  # a forked worker is watched once its zygote has told of it
        runs_code = kind in (Kind.WORKER, Kind.ZYGOTE)
        fault = "import" if life.handler in self.broken else self.faults.get(life.code, "")
        if process in self.doomed:
            self._end(life, 1)
        elif kind is Kind.ZYGOTE:
            if fault == "import":
                traceback = f"Traceback …\nNameError: code {life.code}"
                self.pending.append(HandlerFailed(process, incarnation, traceback))
                self._end(life, 1)
            elif self.imports:
                self.pending.append(HandlerImported(process, incarnation))
        elif runs_code and fault in ("import", "die"):
            self._end(life, 1, f"ValueError: code {life.code}")
        elif process not in self.mute and (not runs_code or fault != "mute"):
            self.pending.append(Subscribed(process))

    def _end(self, life: Life, status: int, *tail: str) -> None:
        if self.alive.get(life.process) is life:
            del self.alive[life.process]
            known = None if life.adopted else status
            self.pending.append(Exited(life.process, life.incarnation, known, tail))
        elif life in self.strays:
            self.strays.remove(life)

    def _obey(self, life: Life, command: object) -> None:
        if life.deaf or life.kind is Kind.ZYGOTE:
            return
        life.heard.append(command)
        match command:
            case Hello():
                self.pending.append(self._heard(life, Ready(life.pid)))
                if life.kind is Kind.RECORDER:
                    self.pending.append(self._heard(life, self.recorded))
            case KillNow():
                self._end(life, 0)
            case Lend() if life.kind is Kind.SERVER and self.lends:
                self.pending.append(Lent(life.process, life.incarnation))
            case Reread():
                life.read = self.written
                self.pending.append(self._heard(life, Acknowledged(command.command)))
            case Drain() | Resume() if life.kind is Kind.PROXY:
                life.drains.append(command)
                self.pending.append(self._heard(life, Acknowledged(command.command)))
            case Retire():
                self.pending.append(self._heard(life, Acknowledged(command.command)))
                if life.kind is Kind.SERVER:
                    counted = ServerSample(0, 0, 9, [0] * 6, [], True, {"finished": 3, "cancelled": 1}, True)
                    self.pending.append(self._heard(life, counted))
                self._end(life, 0)

    def _heard(self, life: Life, report: Report) -> Heard:
        life.sequence += 1
        return Heard(ReportEnvelope(life.process, life.incarnation, life.sequence, report))


def a_running_world(config: Config | None = None) -> World:
    world = World(config)
    world.start()
    world.actions.clear()
    return world
