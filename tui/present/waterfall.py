"""Where the time of a request went: a bar for each pool that it came by, waiting (q) and in the handler (s).

Hops follow each other without a gap: what a hop did not serve since the one before ended, it waited, lost attempts
included. What is left of the whole time at the end is the server's own: the answer on its way, and being written.
"""

from __future__ import annotations

from msgspec import Struct

from primectl.wire.journal import HopTimes, Row
from tui.present import units
from tui.present.clean import cells, clean, cut
from tui.present.tables import Line, Part, Tone

WAITING, SERVED = "░", "█"
EIGHTHS = " ▏▎▍▌▋▊▉█"
STRIP_CELLS = 8
"""Of the bar that a whole request would have beside others in a line."""
LEAST_CHART, WIDEST_CHART = 10, 60
LONGEST_NAME = 24
LEAST_MS = 1e-9
"""What took no time at all has a scale, too."""


class Stage(Struct, frozen=True):
    """A part of a request's time, in milliseconds: it begins at `at`, waits, and is served."""

    name: str
    at: float
    queued: float
    served: float
    figures: str
    note: str = ""
    tone: Tone = Tone.BUSY
    """Of what was served."""


def stages(row: Row) -> list[Stage]:
    """The hops in order, and behind them the server's share."""
    found: list[Stage] = []
    at = 0.0
    for hop in row.hops:
        found.append(_hop(hop, at))
        at += hop.queued_ms + hop.served_ms
    own = max(0.0, row.ms - at)
    # Without an answer of theirs nobody knows what the pools did meanwhile.
    name = "server" if row.hops or not row.pool else "in the pools"
    found.append(Stage(name, at, 0.0, own, units.milliseconds(own), tone=Tone.DIM))
    return found


def _hop(hop: HopTimes, at: float) -> Stage:
    waited = f"q{units.milliseconds(hop.queued_ms)}"
    notes = ["✗"] if hop.failed else []
    if hop.attempt > 1:
        notes.append(f"attempt {hop.attempt}")
    if not hop.worker:
        notes.append("not begun")
    return Stage(
        name=cut(clean(hop.worker or hop.pool), LONGEST_NAME),
        at=at,
        queued=hop.queued_ms,
        served=hop.served_ms,
        figures=f"{waited} s{units.milliseconds(hop.served_ms)}" if hop.worker else waited,
        note=", ".join(notes),
        tone=Tone.BAD if hop.failed else Tone.BUSY,
    )


def _whole(row: Row) -> float:
    """The milliseconds that all bars share."""
    return max(row.ms, sum(hop.queued_ms + hop.served_ms for hop in row.hops))


# --- one line ---------------------------------------------------------------------------------------------------------


def strip_lines(row: Row, width: int) -> list[Line]:
    """All of it in as few lines as it takes: ` parse.1 ▎q0 s2ms  compute.3 ███q1ms s22ms ✗  server ▏0.4ms`."""
    whole = _whole(row)
    lines: list[Line] = []
    line: Line = ()
    for stage in stages(row):
        piece = (
            Part(f"{'  ' if line else ' '}{stage.name} ", Tone.TITLE),
            Part(_bar(stage.queued + stage.served, whole), stage.tone),
            Part(stage.figures, Tone.PLAIN),
            Part(f" {stage.note}" if stage.note else "", stage.tone if stage.tone is Tone.BAD else Tone.WARN),
        )
        if line and _cells(line) + _cells(piece) > width:
            lines.append(line)
            line, piece = (), (Part(f" {stage.name} ", Tone.TITLE), *piece[1:])
        line = (*line, *piece)
    return [*lines, line]


def _cells(line: Line) -> int:
    return sum(cells(part.text) for part in line)


def _bar(part: float, whole: float) -> str:
    """Up to STRIP_CELLS cells, in eighths; the least thing shows."""
    eighths = max(1, round(8 * STRIP_CELLS * part / max(whole, LEAST_MS)))
    return SERVED * (eighths // 8) + EIGHTHS[eighths % 8].strip()


# --- a chart ----------------------------------------------------------------------------------------------------------


def chart_lines(row: Row, width: int) -> list[Line]:
    """A line for each part, the bars along one axis of time: where it waited, where it was served."""
    shown = stages(row)
    whole = _whole(row)
    names = max(cells(stage.name) for stage in shown)
    figures = max(cells(stage.figures) for stage in shown)
    notes = max(cells(stage.note) for stage in shown)
    room = width - names - figures - 5
    bars = min(WIDEST_CHART, max(LEAST_CHART, room - (notes + 2 if notes else 0)))
    lines: list[Line] = []
    for stage in shown:
        start, begun, end = _span(stage, whole, bars)
        note = cut(stage.note, room - bars - 2)
        lines.append(
            (
                Part(f" {stage.name}{' ' * (names - cells(stage.name))}  ", Tone.TITLE),
                Part(" " * start),
                Part(WAITING * (begun - start), Tone.WARN),
                Part(SERVED * (end - begun), stage.tone),
                Part(f"{' ' * (bars - end)}  {stage.figures}"),
                Part(
                    f"{' ' * (figures - cells(stage.figures))}  {note}" if note else "",
                    Tone.BAD if stage.tone is Tone.BAD else Tone.WARN,
                ),
            )
        )
    return lines


def _span(stage: Stage, whole: float, width: int) -> tuple[int, int, int]:
    """The cells at which it begins, is begun with, ends; the least that was served shows."""
    scale = width / max(whole, LEAST_MS)
    at = stage.at
    start, begun, end = (round(ms * scale) for ms in (at, at + stage.queued, at + stage.queued + stage.served))
    if stage.served > 0 and end == begun:
        begun, end = (begun, begun + 1) if begun < width else (begun - 1, begun)
        start = min(start, begun)
    return start, begun, end
