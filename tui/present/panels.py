"""The lines around the tables: status, servers, worker strips, advice, events. Pure text in tones, as wide as asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from primectl.wire.stats import ClusterSnapshot, ClusterState, Event, ProcessSnapshot, Role
from tui.present import units
from tui.present.advice import Advice
from tui.present.clean import cells, clean, cut
from tui.present.journal import STOPPED
from tui.present.picture import STALE_S, Picture
from tui.present.tables import Line, Part, Tone, event_tone, legend, plain, pool_state, strip
from tui.present.trends import spark

_STATE_TONES = {
    ClusterState.STARTING: Tone.ACCENT,
    ClusterState.RUNNING: Tone.GOOD,
    ClusterState.STOPPING: Tone.WARN,
    ClusterState.FAILED: Tone.BAD,
}


def spread(left: Line, right: Line, width: int) -> Line:
    """`right` at the right edge, if there is room for it beside `left`."""
    room = width - cells(plain(left)) - cells(plain(right))
    return (*left, Part(" " * room), *right) if room >= 1 else left


def rule(width: int, title: str = "", tone: Tone = Tone.DIM) -> Line:
    """A line across, with a title in it."""
    if not title:
        return (Part("─" * width, Tone.DIM),)
    shown = cut(title, max(width - 4, 0))
    return (
        Part("── ", Tone.DIM),
        Part(shown, tone),
        Part(" " + "─" * max(width - 4 - cells(shown), 0), Tone.DIM),
    )


def alarms(picture: Picture) -> int:
    """Pools and processes that are not as they should be, and the journal."""
    growth = picture.trends.all_growth()
    pools = sum(pool_state(pool, growth.get(pool.name, 0.0)).alarming for pool in picture.snapshot.pools)
    others = sum(process.role is Role.SERVER and process.state == "failed" for process in picture.snapshot.processes)
    return pools + others + (picture.snapshot.journal.state == STOPPED)


def freshness(age_s: float | None, waited_s: float) -> Part:
    """How old the data is, in words that a frozen picture cannot fake; `waited_s` counts while there is none."""
    if age_s is None:
        return Part(f"◌ no data {waited_s:.1f}s", Tone.WARN if waited_s > STALE_S else Tone.DIM)
    if age_s > STALE_S:
        return Part(f"◌ stale {age_s:.1f}s" if age_s < 100 else f"◌ stale {units.uptime(age_s)}", Tone.BAD)
    return Part(f"● live {age_s:.1f}s", Tone.GOOD)


def status_line(picture: Picture, cluster: str, age_s: float | None, waited_s: float, wall: float, width: int) -> Line:
    """The first line of every screen: whose picture this is, how fresh, what is wrong, what time it is."""
    snapshot = picture.snapshot
    left = [Part(" primectl ", Tone.TITLE), Part(f" {cut(clean(snapshot.cluster or cluster), 24)}  ", Tone.STRONG)]
    left.append(freshness(age_s, waited_s))
    if picture.known:
        if snapshot.state is not ClusterState.RUNNING:
            left.append(Part(f"  {snapshot.state.value.upper()}", _STATE_TONES[snapshot.state]))
        left.append(Part(f"  up {units.uptime(snapshot.uptime_s)}", Tone.DIM))
    wrong = alarms(picture)
    right: Line = (Part(units.clock(wall) + " ", Tone.DIM),)
    if wrong:
        right = (Part(f"▲ {units.plural(wrong, 'alarm')}  ", Tone.BAD), *right)
    return spread(tuple(left), right, width)


def front_lines(picture: Picture, width: int) -> list[Line]:
    """The servers: what comes in, what goes out, how fast."""
    if not picture.known:
        return [(Part(" nothing is known of the servers yet", Tone.DIM),), ()]
    front = picture.snapshot.front
    figures = (
        ("requests", f"{units.rate(front.rate)}/s", Tone.STRONG),
        ("5xx", f"{units.rate(front.error_rate)}/s", Tone.BAD if front.error_rate >= 0.05 else Tone.DIM),
        ("in flight", units.count(front.in_flight), Tone.STRONG),
        ("p50", units.milliseconds(front.p50_ms), Tone.STRONG),
        ("p99", units.milliseconds(front.p99_ms), Tone.STRONG),
    )
    first: list[Part] = [Part(" ")]
    for name, value, tone in figures:
        first += (Part(f"{name} ", Tone.DIM), Part(value, tone), Part("   "))
    room = min(60, width - cells(plain(first)) - 2)
    history = spark((point.rate for point in picture.trends.front()), room, floor=1) if room >= 6 else ""
    classes = front.classes
    facts: list[Line] = [
        (Part(" SERVER ", Tone.DIM), Part(clean(front.listen) or "-", Tone.ACCENT)),
        (Part("   conns ", Tone.DIM), Part(units.count(front.connections))),
    ]
    for number, tone in ((5, Tone.BAD), (4, Tone.WARN), (2, Tone.GOOD), (3, Tone.PLAIN)):
        if number < len(classes) and (classes[number] or number == 2):
            facts.append((Part(f"   {number}xx ", Tone.DIM), Part(units.count(classes[number]), tone)))
    if front.dead_letters:
        facts.insert(2, (Part("   dead letters ", Tone.DIM), Part(units.count(front.dead_letters), Tone.BAD)))
    journal = picture.snapshot.journal
    if journal.state == STOPPED:
        facts.insert(2, (Part("   journal ", Tone.DIM), Part("stopped", Tone.BAD)))
    if journal.dropped:
        facts.append((Part("   rows dropped ", Tone.DIM), Part(units.count(journal.dropped), Tone.WARN)))
    facts.append((Part("   answered ", Tone.DIM), Part(units.count(front.requests))))
    second = whole(facts, width)
    return [spread(tuple(first), (Part(history + " ", Tone.ACCENT),), width), second]


def whole(facts: Iterable[Line], width: int) -> Line:
    """As many facts as have room, none of them in part; the first one always."""
    shown: Line = ()
    for fact in facts:
        if shown and cells(plain(shown)) + cells(plain(fact)) > width:
            continue
        shown = (*shown, *fact)
    return shown


def advice_lines(advice: Advice, width: int, height: int = 2) -> list[Line]:
    """The advice, wrapped at words behind its label; the remedy at the end of the last line."""
    label = " ADVICE  "
    tone = Tone.WARN if advice.urgent else Tone.PLAIN
    wrapped = wrap(advice.text, max(width - len(label) - 1, 10), height)
    lines: list[Line] = [
        (Part(label if not index else " " * len(label), Tone.WARN if advice.urgent else Tone.GOOD), Part(text, tone))
        for index, text in enumerate(wrapped)
    ]
    if advice.remedy:
        lines[-1] = spread(lines[-1], (Part(f"{advice.remedy} ", Tone.ACCENT),), width)
    return lines


def wrap(text: str, width: int, height: int) -> list[str]:
    """`text` in at most `height` lines of `width` cells, broken at spaces; the last one is cut where it must be."""
    lines: list[str] = []
    rest = text
    while len(lines) < height - 1 and cells(rest) > width:
        taken = ""
        for word in rest.split(" "):
            longer = f"{taken} {word}" if taken else word
            if cells(longer) > width:
                break
            taken = longer
        if not taken:
            break
        lines.append(taken)
        rest = rest[len(taken) :].lstrip(" ")
    return [*lines, cut(rest, width)]


def event_lines(events: Iterable[Event], width: int, height: int) -> list[Line]:
    """The newest events, newest first, who asked for it at the right edge."""
    lines: list[Line] = []
    for event in events:
        if len(lines) == height:
            break
        who = f"({clean(event.operator)}) " if event.operator else ""
        head = (
            Part(f" {units.clock(event.time)}  ", Tone.DIM),
            Part(
                f"{cut(clean(event.subject), 24)} ",
                event_tone(event) if event_tone(event) is not Tone.PLAIN else Tone.STRONG,
            ),
        )
        room = width - cells(plain(head)) - cells(who) - 1
        lines.append(spread((*head, Part(cut(clean(event.text), room))), (Part(who, Tone.DIM),), width))
    return lines or [(Part(" nothing has happened yet", Tone.DIM),)]


def worker_lines(workers: Sequence[ProcessSnapshot], width: int, height: int) -> list[Line]:
    """One cell a worker in as many lines as it takes, at most `height`, then what the shapes mean.

    Workers that have no room are counted at the end, so that the strip never seems complete when it is not.
    """
    if not workers:
        return [(Part(" no workers", Tone.DIM),)]
    across = max(width - 2, 1)
    rows = max(height - 1, 1)
    shown = len(workers) if len(workers) <= across * rows else max(across * rows - 8, 1)
    lines: list[Line] = [
        (Part(" "), *strip(workers[start : min(start + across, shown)])) for start in range(0, shown, across)
    ]
    if shown < len(workers):
        lines[-1] = (*lines[-1], Part(f" +{len(workers) - shown}", Tone.DIM))
    return [*lines, (Part(" "), *legend(workers))] if height > 1 else lines


def one_line(snapshot: ClusterSnapshot, growth: dict[str, float]) -> Line:
    """All that fits on a screen of one line: the pool that needs attention most."""
    if not snapshot.pools:
        return (Part(f"{clean(snapshot.cluster)}: no data", Tone.DIM),)
    worst = max(
        snapshot.pools, key=lambda pool: (pool_state(pool, growth.get(pool.name, 0.0)).alarming, pool.utilisation)
    )
    state = pool_state(worst, growth.get(worst.name, 0.0))
    return (
        Part(f"{clean(snapshot.cluster)}: ", Tone.DIM),
        Part(f"{clean(worst.name)} {worst.queued} ", Tone.STRONG),
        Part(f"{units.growth(growth.get(worst.name, 0.0))}/s "),
        Part(state.word, state.tone),
    )
