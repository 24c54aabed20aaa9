"""§ Keeps the state file as the cluster is.

What an operator has ordered is written before it is done: the next supervisor goes on with it, or begins it. What has
become of processes is written after it was told to the others: the next supervisor tells it again rather than never.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from primectl.config.topology import Place
from supervisor import kernel
from supervisor.cluster import Cluster
from supervisor.listen import Listeners
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
        listeners: Listeners,
        *,
        began: float,
        on_fault: Callable[[str], None],
    ) -> None:
        """`began` is Unix seconds."""
        self._place = place
        self._cluster = cluster
        self._spawner = spawner
        self._listeners = listeners
        self._on_fault = on_fault
        self._written = State("", [])
        self._kept = State(kernel.boot_id(), [], listeners.url, began)

    def keep_orders(self) -> None:
        """Before what the core wants is done."""
        if self._cluster.changed:
            self._kept = structs.replace(self._kept, memory=self._cluster.memory())
            self._write()

    def keep_processes(self) -> None:
        """After it."""
        if self._cluster.changed or self._spawner.changed:
            self._cluster.changed = self._spawner.changed = False
            processes = [self._entry(child) for child in self._spawner.children()]
            self._kept = structs.replace(self._kept, processes=processes, listen=self._listeners.url)
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
