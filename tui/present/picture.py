"""All that the feed has told so far, and how old it is. The app holds one and hands it down to what it shows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from primectl.wire.stats import STATE, ClusterSnapshot, Event, EventPublished, SnapshotPublished
from tui.present.trends import Trends

STALE_S = 2.0
EVENTS_KEPT = 1000


class Picture:
    """The newest snapshot, the history behind it, and the events: newest first."""

    def __init__(self) -> None:
        self.snapshot = ClusterSnapshot()
        self.trends = Trends()
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._arrived: float | None = None
        self._lag_s = 0.0

    @property
    def known(self) -> bool:
        """False until the first snapshot has come."""
        return self._arrived is not None

    def fold(self, message: SnapshotPublished | EventPublished, now: float, wall: float) -> None:
        """Take in what has arrived. `now` is monotonic, `wall` Unix seconds by the clock that stamps snapshots."""
        match message:
            case SnapshotPublished(snapshot):
                self.snapshot = snapshot
                self.trends.fold(snapshot)
                self._arrived = now
                # What waited in a queue, while the terminal was stopped, is as old as it says and not newly born.
                self._lag_s = max(wall - snapshot.time, 0.0)
            case EventPublished():
                self.add_events(message.events)

    def add_events(self, events: Iterable[Event]) -> None:
        """Events by their number, each once; a restarted supervisor may count from 1 again, then time decides.

        Changes of state are left out: the tables show them, and here they would push out all else.
        """
        known = {(event.number, event.time) for event in self.events}
        fresh = [event for event in events if event.kind != STATE and (event.number, event.time) not in known]
        if not fresh:
            return
        ordered = sorted((*self.events, *fresh), key=lambda event: (event.time, event.number), reverse=True)
        self.events = deque(ordered[:EVENTS_KEPT], maxlen=EVENTS_KEPT)

    def age_s(self, now: float) -> float | None:
        """Seconds since the newest data was measured; None while there is none."""
        return None if self._arrived is None else now - self._arrived + self._lag_s

    def stale(self, now: float) -> bool:
        """True when the picture must not be taken for live."""
        age = self.age_s(now)
        return age is None or age > STALE_S
