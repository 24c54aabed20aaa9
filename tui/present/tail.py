"""Log lines: the tail that was asked for joined to the lines that came live, whose they are, and what they match."""

from __future__ import annotations

from collections.abc import Sequence

from primectl.wire.stats import LogLine
from tui.present.clean import clean, fit
from tui.present.tables import Line, Part, Tone

LINE_LIMIT = 4000
"""Characters kept of one line: what is longer is no line that a person reads."""

_HUES = (Tone.ACCENT, Tone.GOOD, Tone.BUSY, Tone.TITLE, Tone.WARN)


def join(tail: Sequence[LogLine], live: Sequence[LogLine]) -> list[LogLine]:
    """One log from a tail and the live lines of a subscription that began before the tail was asked for.

    Lines have no number, so the longest end of `tail` that is also the beginning of `live` counts once.
    """
    for overlap in range(min(len(tail), len(live)), 0, -1):
        if list(tail[-overlap:]) == list(live[:overlap]):
            return [*tail, *live[overlap:]]
    return [*tail, *live]


def names(target: str, process: str) -> bool:
    """Whether `target` ("" or all, a pool, a process id) names this process."""
    return target in ("", "all") or process == target or process.rpartition(".")[0] == target


def level_tone(text: str) -> Tone:
    """By the level that a line names early on, as most formats do."""
    head = text[:80].upper()
    if "ERROR" in head or "CRITICAL" in head or "TRACEBACK" in head:
        return Tone.BAD
    return Tone.WARN if "WARN" in head else Tone.PLAIN


def hue(process: str) -> Tone:
    """A tone that stays with a process, so that lines of one process are found by eye."""
    return _HUES[sum(process.encode()) % len(_HUES)]


def row(line: LogLine, prefix: int) -> Line:
    """A line behind its process's name in `prefix` cells, as docker compose prints it."""
    who = clean(line.process) or "supervisor"
    text = clean(line.text[:LINE_LIMIT])
    return (Part(fit(who, prefix), hue(line.process)), Part(" │ ", Tone.DIM), Part(text, level_tone(text)))


def matches(line: LogLine, wanted: str) -> bool:
    """Whether a line holds `wanted`; small letters match both, as in less -i. Nothing wanted matches nothing."""
    if not wanted:
        return False
    text = f"{line.process} {line.text}"
    return wanted in text if wanted != wanted.lower() else wanted in text.lower()


def mark(line: Line, wanted: str) -> Line:
    """The same line with what matches in a tone of its own."""
    if not wanted:
        return line
    marked: list[Part] = []
    for part in line:
        text = part.text if wanted != wanted.lower() else part.text.lower()
        if len(text) != len(part.text):  # a few letters change their length in small: better unmarked than misplaced
            marked.append(part)
            continue
        start = 0
        while (found := text.find(wanted, start)) >= 0:
            marked += (
                Part(part.text[start:found], part.tone),
                Part(part.text[found : found + len(wanted)], Tone.MATCH),
            )
            start = found + len(wanted)
        marked.append(Part(part.text[start:], part.tone))
    return tuple(part for part in marked if part.text)
