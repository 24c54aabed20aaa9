"""All that the supervisor knows of a cluster at this moment, and the questions that everybody asks of it.

`cluster` and its parts (`lives`, `hearing`) write in it; `picture` shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from msgspec import structs

from primectl.config.model import Config
from primectl.config.topology import RECORDER
from primectl.wire.control import Readiness
from primectl.wire.stats import ClusterState
from supervisor import plan
from supervisor.aggregate import FrontFigures, JournalFigures, PoolFigures
from supervisor.desk import Desk
from supervisor.drains import PoolDrain
from supervisor.events import SUPERVISOR, EssentialFailure, Kind, ListenersBound, ListenersRefused, StartFailure
from supervisor.generations import Generations
from supervisor.lifecycle import READY, ProcessState
from supervisor.memory import Memory, PoolMemory, Sized
from supervisor.process import Moved, Process
from supervisor.restart import DeadlyRequests
from supervisor.stopping import Stopping


class Closing(IntEnum):
    """How much of a pool that ends is to leave."""

    WORKERS = 0
    """Those who work; the proxy waits for them."""
    WHOLE = 1


class Books:
    """Processes by id, for each pool its size, its figures and its drains, and what is under way."""

    def __init__(
        self,
        config: Config,
        pid: int,
        next_command: Callable[[], int],
        first_operation: int = 1,
        config_path: str = "",
        import_path: str = "",
    ) -> None:
        """`pid` is the supervisor's own; `first_operation` numbers the first order."""
        self.config = config
        """The one that counts; `adopt` puts another in its place, and nobody else keeps one."""
        self.config_path = config_path
        self.import_path = import_path
        self.next_command = next_command
        self.state = ClusterState.STARTING
        self.began_at = 0.0
        self.listen = ""
        self.desk = Desk(first_operation)
        self.stopping: Stopping | None = None
        """The operation that stops the cluster."""
        self.failure: StartFailure | EssentialFailure | None = None
        """Why the cluster is being ended by itself."""
        self.told_readiness: Readiness | None = None
        """What servers were told last; None when they shall be told again."""
        self.myself = Process(SUPERVISOR, Kind.SERVER, "", 0)
        self.myself.pid = pid
        self.processes: dict[str, Process] = {}
        self.moves: list[Moved] = []
        """The changes of state in this turn."""
        self.targets = {pool: settings.workers for pool, settings in config.pools.items()}
        self.sized: dict[str, Sized] = {}
        """The pools that an operator has given another size than the config file has."""
        self.pools = {pool: PoolFigures() for pool in config.pools}
        self.generations = {
            pool: Generations(pool, forks=settings.spawn == "fork") for pool, settings in config.pools.items()
        }
        self.drains = {pool: PoolDrain(pool, next_command) for pool in config.pools}
        self.front = FrontFigures()
        self.journal = JournalFigures()
        self.recorder_stays = False
        """The config has no journal any more, and the servers have not all heard of that."""
        self.deadly = DeadlyRequests()
        self.spare_servers: set[int] = set()
        """Numbers of servers that stand in while others are replaced."""
        self.closing: dict[str, Closing] = {}
        """Pools on their way out; they stay in the config until nothing is left of them."""
        self.binding: ListenersBound | ListenersRefused | None = None
        """What came of the last wish for listening sockets."""
        self.not_written = ""
        """Why cluster.json could not be written the last time; empty when it could."""

    def adopt(self, config: Config) -> None:
        """From now on this config counts. A pool that is no longer in it must have no process left."""
        self.config = config
        for pool, settings in config.pools.items():
            if pool not in self.targets:
                self.targets[pool] = settings.workers
                self.pools[pool] = PoolFigures()
                self.generations[pool] = Generations(pool, forks=settings.spawn == "fork")
                self.drains[pool] = PoolDrain(pool, self.next_command)
        for pool in [pool for pool in self.targets if pool not in config.pools]:
            del self.targets[pool], self.pools[pool], self.generations[pool], self.drains[pool]
            self.closing.pop(pool, None)
            self.sized.pop(pool, None)

    def enrol(self, process: str, kind: Kind, pool: str, number: int) -> Process:
        """A record for a process that has none."""
        record = self.processes[process] = Process(process, kind, pool, number, self.moves)
        return record

    def memory(self) -> Memory:
        """What the next supervisor has to know, should this one die."""
        pools = {
            pool: PoolMemory(self.sized.get(pool), drain.whole, sorted(drain.workers))
            for pool, drain in self.drains.items()
        }
        return Memory({pool: changed for pool, changed in pools.items() if changed != PoolMemory()})

    def restore(self, memory: Memory) -> None:
        """Take over what an earlier supervisor has left; of a pool that is no more there is nothing to take."""
        for pool, changed in memory.pools.items():
            if pool not in self.drains:
                continue
            if changed.sized is not None:
                self.sized[pool] = changed.sized
                self.targets[pool] = changed.sized.workers
            self.drains[pool].whole = changed.draining
            self.drains[pool].workers.update(changed.drained_workers)

    def size(self, pool: str, sized: Sized) -> None:
        """An operator wants a pool to have so many workers."""
        self.targets[pool] = sized.workers
        self.sized[pool] = sized
        if sized.workers == self.config.pools[pool].workers:
            del self.sized[pool]

    def current(self, process: str, incarnation: int) -> Process | None:
        """The record of a process, if this word is of its present life."""
        record = self.processes.get(process)
        return record if record is not None and record.incarnation == incarnation else None

    @property
    def zygotes(self) -> dict[str, str]:
        """The current zygote of each forking pool."""
        current = {pool: generations.current.zygote for pool, generations in self.generations.items()}
        return {pool: zygote for pool, zygote in current.items() if zygote}

    def wanted(self) -> plan.Wanted:
        """The whole cluster as operators want it, but for what is on its way out of the config."""
        working = {pool: generations for pool, generations in self.generations.items() if pool not in self.closing}
        zygotes = {zygote: pool for pool, generations in working.items() for zygote in generations.zygotes}
        surge = {pool: generations.surge for pool, generations in working.items() if generations.surge}
        whole = plan.full(self.config, {**self.targets, **dict.fromkeys(self.closing, 0)}, zygotes, surge)
        proxies = tuple(pool for pool in whole.proxies if self.closing.get(pool) is not Closing.WHOLE)
        spare_servers, recorder = tuple(sorted(self.spare_servers)), whole.recorder or self.recorder_stays
        return structs.replace(whole, proxies=proxies, spare_servers=spare_servers, recorder=recorder)

    @property
    def recorder(self) -> Process | None:
        return self.processes.get(RECORDER)

    def workers(self, pool: str) -> list[Process]:
        return [process for process in self.processes.values() if process.kind is Kind.WORKER and process.pool == pool]

    def seen(self, now: float) -> list[plan.Seen]:
        return [
            process.seen(self.is_busy(process, now), self.is_drained(process)) for process in self.processes.values()
        ]

    def is_busy(self, process: Process, now: float) -> bool:
        if process.kind is not Kind.WORKER or process.state not in READY:
            return False
        load = self.pools[process.pool].load(process.id, process.incarnation, now)
        return process.busy if load is None else load.holding > 0

    def held_jobs(self, process: Process, now: float) -> int:
        if process.kind is not Kind.WORKER:
            return 0
        load = self.pools[process.pool].load(process.id, process.incarnation, now)
        return int(process.busy) if load is None else max(0, load.holding)

    def held_s(self, process: Process, now: float) -> float:
        """For how long a worker has held what it runs, as its proxy says; by its own last word where that is silent."""
        if process.kind is not Kind.WORKER:
            return 0.0
        load = self.pools[process.pool].load(process.id, process.incarnation, now)
        if load is not None:
            return load.busy_s
        return process.job_s + now - process.heard_at if process.busy else 0.0

    def is_drained(self, process: Process) -> bool:
        return process.kind is Kind.WORKER and self.drains[process.pool].covers(process.id)

    def shown_state(self, process: Process) -> ProcessState:
        """A worker that is drained runs on, and is shown by what an operator has asked of it."""
        drained = process.state is ProcessState.RUNNING and self.is_drained(process)
        return ProcessState.DRAINING if drained else process.state
