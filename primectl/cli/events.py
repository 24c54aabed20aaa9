"""`primectl events`: what happened to the cluster."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place, require_running
from primectl.cli.render import event_text, rounded
from primectl.cli.terminal import has_colour, say, say_json, tell
from primectl.config.topology import Place
from primectl.control.client import EVENTS, ControlClient, Feed
from primectl.control.running import supervisor_pid
from primectl.errors import NotFound
from primectl.wire.control import Events, EventsQuery
from primectl.wire.stats import Event, EventPublished

LOOK_EVERY_S = 1.0
"""How often a feed that is silent is checked for a supervisor that has gone."""


def events(
    ctx: typer.Context,
    follow: options.Follow = False,
    last: options.Last = "100",
    file: options.FileBesideFollow = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Print what happened: starts, crashes, restarts, orders and by whom; works while the cluster is down, too."""
    number = options.whole_number(last, "--last")
    place = chosen_place(ctx, file, cluster)
    colour = has_colour(sys.stdout)
    if not follow:
        known = known_events(place, number)
        if as_json:
            say_json({"cluster": place.cluster, "events": [rounded(event) for event in known]})
        elif known:
            say("\n".join(event_text(event, colour=colour) for event in known))
        return

    def show(event: Event) -> None:
        if as_json:
            say_json(rounded(event), one_line=True)
        else:
            say(event_text(event, colour=colour))

    require_running(place)
    with Feed(place, [EVENTS]) as feed:
        follow_events(place, feed, known_events(place, number), show)


def known_events(place: Place, last: int) -> list[Event]:
    """The last events as the supervisor knows them, or without one as it has written them down, oldest first."""
    if supervisor_pid(place) is None:
        return read_events(place, last)
    with ControlClient(place) as client:
        return client.ask("GET", "/events", EventsQuery(last), Events).events


def read_events(place: Place, last: int) -> list[Event]:
    """The last events of the events file. Raises NotFound where the cluster has never run."""
    decoder = msgspec.json.Decoder(Event)
    found: deque[Event] = deque(maxlen=last)
    try:
        lines = Path(place.events_file).read_bytes().splitlines()
    except FileNotFoundError:
        raise NotFound(f"cluster {place.cluster} has no events", mend="`primectl up -d` starts it") from None
    for line in lines:
        try:
            found.append(decoder.decode(line))
        except msgspec.DecodeError:  # a line that was being written when the host went down
            continue
    return list(found)


def follow_events(place: Place, feed: Feed, known: list[Event], show: Callable[[Event], None]) -> None:
    """Show what is known, then what comes, each once; ends when the supervisor does."""
    shown = {event.number for event in known}
    while True:
        for event in known:
            show(event)
        sys.stdout.flush()
        if not feed.wait(LOOK_EVERY_S) and supervisor_pid(place) is None:
            tell(f"cluster {place.cluster} has stopped")
            return
        told = [message.events for message in feed.receive() if isinstance(message, EventPublished)]
        known = [event for events in told for event in events if event.number not in shown]
