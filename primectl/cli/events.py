"""`primectl events`: what happened to the cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place, require_running
from primectl.cli.journal import events_after, last_events
from primectl.cli.render import event_text, rounded
from primectl.cli.since import since
from primectl.cli.terminal import has_colour, say, say_json, tell
from primectl.clock import SystemClock
from primectl.config.topology import Place
from primectl.control.client import EVENTS, Feed
from primectl.control.running import supervisor_pid
from primectl.wire.stats import STATE, Event, EventPublished
from tui.present.tail import names

LOOK_EVERY_S = 1.0
"""How often a feed that is silent is checked for a supervisor that has gone."""


def events(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="[TARGET]", help="all, a pool, or a process id.")] = "all",
    follow: options.Follow = False,
    last: options.Last = "100",
    every: Annotated[bool, typer.Option("--all", help="With each change of state of each process.")] = False,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND,…", help="Only of these kinds, such as crashed,scale.")
    ] = None,
    after: options.Since = None,
    file: options.FileBesideFollow = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Print what happened: starts, crashes, restarts, orders and by whom; works while the cluster is down, too.

    With --json there is all that is known of each event, and the changes of state are among them.
    """
    number = options.whole_number(last, "--last")
    wanted = chosen(target, kind, since(after, SystemClock().wall()) if after else 0.0, states=every or as_json)
    place = chosen_place(ctx, file, cluster)
    colour = has_colour(sys.stdout)
    if not follow:
        known = last_events(place, number, wanted)
        if as_json:
            say_json({"cluster": place.cluster, "events": [rounded(event) for event in known]})
        elif known:
            say("\n".join(event_text(event, colour=colour) for event in known))
        return

    def show(event: Event) -> None:
        if not wanted(event):
            return
        if as_json:
            say_json(rounded(event), one_line=True)
        else:
            say(event_text(event, colour=colour))

    require_running(place)
    with Feed(place, [EVENTS]) as feed:
        follower = Follower(place, show)
        follower.begin(number, wanted)
        follower.run(feed)


def chosen(target: str, kinds: str | None, after: float, *, states: bool) -> Callable[[Event], bool]:
    """Which events are wanted. `target` is `all`, a pool (its own events and those of its processes) or a subject."""
    asked_for = {kind.strip() for kind in kinds.split(",")} if kinds is not None else None

    def wanted(event: Event) -> bool:
        if event.time < after:
            return False
        if asked_for is not None:
            if event.kind not in asked_for:
                return False
        elif event.kind == STATE and not states:
            return False
        subject = event.subject
        return target in ("all", subject) or names(target, subject) or subject == f"proxy.{target}"

    return wanted


class Follower:
    """Shows each event once and in order, whatever the feed has dropped and however many supervisors there are."""

    def __init__(self, place: Place, show: Callable[[Event], None]) -> None:
        self._place = place
        self._show = show
        self._number = 0
        """Of the last event that has been seen, wanted or not."""
        self._time = 0.0
        self._pid = supervisor_pid(place)
        self._settled = False
        """Nothing has happened since the feed was connected that it has not told."""

    def begin(self, last: int, wanted: Callable[[Event], bool]) -> None:
        """Show what has happened before."""
        newest = last_events(self._place, 1, lambda _: True)
        if newest:
            known = last_events(self._place, last, wanted)
            self._number, self._time = newest[-1].number, newest[-1].time
            for event in known:
                if event.number <= self._number:
                    self._show(event)

    def run(self, feed: Feed) -> None:
        """Until the cluster is stopped."""
        while True:
            sys.stdout.flush()
            if feed.wait(LOOK_EVERY_S):
                for message in feed.receive():
                    if isinstance(message, EventPublished):
                        self.take(message.events)
            elif not self._look():
                tell(f"cluster {self._place.cluster} has stopped")
                return

    def take(self, events: list[Event]) -> None:
        """Show what is new; what is missing before it is asked for."""
        for event in events:
            if self._number and event.number > self._number + 1:
                for missed in events_after(self._place, self._number):
                    if missed.number < event.number:
                        self._take(missed)
            self._take(event)

    def _take(self, event: Event) -> None:
        # A lower number is news if it is later: a disk that was full has kept the last supervisor's numbers from this.
        if event.number > self._number or event.time > self._time:
            self._number, self._time = event.number, event.time
            self._show(event)

    def _look(self) -> bool:
        """Whether to go on: a supervisor is there, or one has died and the next may come."""
        pid = supervisor_pid(self._place)
        if pid is not None:
            if pid != self._pid:
                self._pid = pid
                self._settled = False
                tell(f"cluster {self._place.cluster} has a new supervisor (pid {pid})")
                self.take(events_after(self._place, self._number))
            elif not self._settled:
                self._settled = True
                self.take(events_after(self._place, self._number))
            return True
        if not os.path.exists(self._place.pid_file):
            self.take(events_after(self._place, self._number))
            return False
        if self._pid is not None:
            self._pid = None
            tell(f"the supervisor of cluster {self._place.cluster} is gone; this goes on when the next is there")
        return True
