"""§ The events of a cluster: in its files, and those that its supervisor remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec

from primectl.config.topology import Place
from primectl.control.client import ControlClient
from primectl.control.running import supervisor_pid
from primectl.errors import ChannelLost, NotFound
from primectl.wire.control import Events, EventsQuery
from primectl.wire.stats import Event

PAGE = 1000
"""Events in one answer of the supervisor."""


def last_events(place: Place, last: int, wanted: Callable[[Event], bool]) -> list[Event]:
    """The last events that are wanted, oldest first. Raises NotFound where the cluster has never run."""
    found: list[Event] = []
    newest = 0
    exists = False
    for events in _files(place):
        exists = True
        newest = max(newest, events[-1].number if events else 0)
        found = [event for event in events if wanted(event)] + found
        if len(found) >= last:
            break
    if supervisor_pid(place) is not None:
        # What a full disk has not taken; most often nothing.
        found += [event for event in _remembered(place, newest) if wanted(event)]
    elif not exists:
        raise NotFound(f"cluster {place.cluster} has no events", mend="`primectl up -d` starts it")
    return found[-last:] if last else []


def events_after(place: Place, number: int) -> list[Event]:
    """All events after the one of this number, oldest first, as far as anybody has them."""
    found = {event.number: event for event in _remembered(place, number)}
    if min(found, default=0) != number + 1:
        for events in _files(place):
            found.update((event.number, event) for event in events if event.number > number)
            if events and events[0].number <= number + 1:
                break
    return [found[each] for each in sorted(found)]


def _remembered(place: Place, number: int) -> list[Event]:
    """What the supervisor remembers of what came after this number; nothing where none answers."""
    found: list[Event] = []
    with ControlClient(place) as client, suppress(ChannelLost):
        while True:
            query = EventsQuery(PAGE, found[-1].number if found else number, states=True)
            page = client.ask("GET", "/events", query, Events).events
            found += page
            if len(page) < PAGE:
                break
    return found


def _files(place: Place) -> Iterator[list[Event]]:
    """The events of each file, the newest file first."""
    decoder = msgspec.json.Decoder(Event)
    for older in count():
        try:
            lines = Path(f"{place.events_file}.{older}" if older else place.events_file).read_bytes().splitlines()
        except FileNotFoundError:
            if older:
                return
            continue  # it has just become the first older one
        events: list[Event] = []
        for line in lines:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):  # a line that was cut off by the host's end
                events.append(decoder.decode(line))
        yield events
