"""§ Keeps the state file as the cluster is.

What an operator has ordered is written before it is done: the next supervisor goes on with it, or begins it. What has
become of processes is written after it was told to the others: the next supervisor tells it again rather than never.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from primectl.config.topology import Place
from supervisor.cluster import Cluster
from supervisor.doors import Doors
from supervisor.spawn import Child, Spawner
from supervisor.statefile import Entry, State, write_state


class Keeping:
    """Writes when something has changed; a disk that is full costs the next supervisor its knowledge, not this one its
    life, and is tried again in each turn."""

    def __init__(
        self,
        place: Place,
        cluster: Cluster,
        spawner: Spawner,
        doors: Doors,
        *,
        left: State,
        on_fault: Callable[[str], None],
    ) -> None:
        """`left` is what an earlier supervisor has written and this one goes on with, or a new state with nobody."""
        self._place = place
        self._cluster = cluster
        self._spawner = spawner
        self._doors = doors
        self._on_fault = on_fault
        self._written = State("", [])
        self._left = self._kept = left

    def keep_orders(self) -> None:
        """Before what the core wants is done."""
        if self._cluster.changed:
            self._kept = structs.replace(self._kept, memory=self._cluster.memory())
            self._write()

    def keep_processes(self) -> None:
        """After it."""
        if self._cluster.changed or self._spawner.changed:
            self._cluster.changed = self._spawner.changed = False
            children = self._spawner.children()
            processes = [self._entry(child) for child in children]
            if self._cluster.is_adopting:  # who has fallen is not told to all yet: if not by us, by the next
                running = {(child.process, child.incarnation) for child in children}
                processes += [entry for entry in self._left.processes if (entry.id, entry.incarnation) not in running]
            self._kept = structs.replace(self._kept, processes=processes, listen=self._doors.url)
        self._write()

    def _write(self) -> None:
        if self._kept != self._written:
            try:
                write_state(self._place, self._kept)
                self._written = self._kept
            except OSError as error:
                self._on_fault(f"{self._place.state_file} cannot be written: {error.strerror}")

    def _entry(self, child: Child) -> Entry:
        entry = Entry(
            child.process, child.kind, child.pool, child.pid, child.incarnation, child.start_ticks, child.log_from
        )
        record = self._cluster.record(child.process, child.incarnation)
        if record is None:  # a zygote of an earlier supervisor
            return entry
        return structs.replace(entry, restarts=record.restarts, state=record.state, leaving=record.leaving)
