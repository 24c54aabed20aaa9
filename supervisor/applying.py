"""A running cluster on its way to another config, stage by stage, without a request that fails for it.

    bind       the sockets of new servers; in use: the whole is refused, nothing has moved
    settings   what those who run take at once, and acknowledge
    start      new pools, until they are READY
    reload     pools whose workers must be replaced, one after the other
    sizes      more workers, or fewer
    routes     told to the servers, now that every pool is there
    servers    replaced, each behind a stand-in
    end        pools to which no route leads any more: they finish what they have, and leave

The config that counts (the books' and cluster.json's) is at every moment the old one with the stages that have come to
their end, and the one under way. A stage that fails is taken back, those before it stand, those behind it are not
begun: so config and processes agree, and the next apply has just the rest to do.
"""

from __future__ import annotations

from msgspec import structs

from primectl.wire.control import Applied, Progress, Refusal
from supervisor import apply
from supervisor.books import Books
from supervisor.events import Action, ApplyOrder, DropListeners, ListenersBound
from supervisor.operations import Processes, Result, Turn
from supervisor.plan import Step
from supervisor.serverroll import ServersRolling
from supervisor.stages import GO_ON, Binding, Ending, Renewing, Sizing, Stage, Starting, Telling, put_in_force

CONFIG = "the config"
"""What every apply occupies, so that there is one at a time."""


class Applying:
    """The order under way."""

    kind = "apply"
    wish = ""

    def __init__(self, order: ApplyOrder, books: Books, now: float) -> None:
        self.target = books.config.cluster.name
        self._order = order
        self._books = books
        self._began = now
        self._begun = False
        self._plan = planned(order, books)
        self._stages = _stages(self._plan, order, books)
        self._total = len(self._stages)
        self._former_folder = books.import_path
        self._failure: Result | None = None
        self._left: list[Stage] = []
        """The stage that has failed, and those that it has kept from beginning."""

    @property
    def occupies(self) -> frozenset[str]:
        """The config, and what its further stages roll through."""
        return frozenset((CONFIG,)).union(*(stage.occupies for stage in self._stages))

    def advance(self, processes: Processes, now: float) -> Turn:
        books = self._books
        if not self._begun:
            self._begun = True
            books.not_written = ""
            books.binding = None
            books.config_path, books.import_path = self._order.config_path, self._order.import_path
        steps: list[Step] = []
        actions: list[Action] = []
        if books.not_written and self._failure is None and self._stages:
            what = f"cluster.json cannot be written: {books.not_written}"
            self._fail(Result(500, Refusal(what, mend=GO_ON)))
        while self._stages:
            turn = self._stages[0].advance(processes, now)
            steps += turn.steps
            actions += turn.actions
            if turn.result is None:
                return Turn(tuple(steps), tuple(actions), self._progress(turn.progress))
            if turn.result.status == 200 or self._failure is not None:
                del self._stages[0]
            else:
                self._fail(turn.result)
        return Turn(tuple(steps), (*actions, *self._tidy()), result=self._outcome(now))

    def next_deadline(self) -> float | None:
        return self._stages[0].next_deadline() if self._stages else None

    def _fail(self, result: Result) -> None:
        """Take back the stage that has failed; forget those behind it."""
        self._failure = result
        self._left = self._stages
        undo = self._stages[0].undo()
        self._stages = [undo] if undo is not None else []

    def _tidy(self) -> list[Action]:
        """What no stage takes back where one has failed: sockets for servers that do not come, the folder."""
        if self._failure is None:
            return []
        actions: list[Action] = []
        if any(isinstance(stage, Renewing) for stage in self._left) and self._books.import_path != self._former_folder:
            self._books.import_path = self._former_folder
            actions += put_in_force(self._books, self._books.config).actions
        if isinstance(self._books.binding, ListenersBound):
            self._books.binding = None
            actions.append(DropListeners())
        return actions

    def _progress(self, progress: Progress | None) -> Progress:
        done = self._total - len(self._left or self._stages)
        text = progress.text if progress is not None else self._stages[0].text
        return Progress(text, done, self._total)

    def _outcome(self, now: float) -> Result:
        if self._failure is None:
            self._books.adopt(self._order.config)  # the same by now, in the order of the file
            return Result(200, Applied(list(self._plan.changes), bool(self._total), now - self._began))
        refusal = self._failure.body
        assert isinstance(refusal, Refusal)
        done = self._total - len(self._left)
        what = f"{refusal.what}; {done} of {self._total} steps are done and stand" if done else refusal.what
        return Result(self._failure.status, structs.replace(refusal, what=what, mend=refusal.mend or GO_ON))


def _stages(plan: apply.Plan, order: ApplyOrder, books: Books) -> list[Stage]:
    old, new = books.config, order.config
    stages: list[Stage] = []
    if plan.listen or new.server.processes > old.server.processes:
        stages.append(Binding(books, new))
    if apply.with_at_once(old, new) != old:
        stages.append(Telling(books, "settings", lambda config: apply.with_at_once(config, new)))
    if plan.starting:
        stages.append(Starting(books, new, plan.starting))
    stages += [Renewing(books, new, pool) for pool in plan.reloading]
    if plan.sizes:
        stages.append(Sizing(books, new, plan.sizes))
    if plan.routes:
        stages.append(Telling(books, "routes", lambda config: structs.replace(config, routes=new.routes)))
    if plan.servers or plan.processes:
        both = min(old.server.processes, new.server.processes)
        numbers = range(1, both + 1) if plan.servers else ()
        stages.append(ServersRolling(books, numbers, new, moves=plan.listen))
    if plan.ending:
        stages.append(Ending(books, plan.ending))
    return stages


def planned(order: ApplyOrder, books: Books) -> apply.Plan:
    return apply.plan(
        books.config,
        order.config,
        books.targets,
        old_import_path=books.import_path,
        new_import_path=order.import_path,
        keep_sizes=order.keep_sizes,
    )
