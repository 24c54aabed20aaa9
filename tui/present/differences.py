"""One result of a replay: the answer then beside the answer now."""

from __future__ import annotations

from collections.abc import Sequence

from primectl.wire.journal import HopTimes
from tui.present import units
from tui.present.clean import cells, clean, fit
from tui.present.entries import show_redacted, wrapped
from tui.present.panels import rule
from tui.present.requests import status_text, status_tone
from tui.present.runs import Difference, Result, Run, word, word_tone
from tui.present.tables import Line, Part, Tone, plain

LABEL = 11


def diff_lines(run: Run, place: int, width: int) -> list[Line]:
    """Result number `place` (from 0) of a run, as wide as asked."""
    result = run.results[place]
    shown = word(result).upper()
    head: Line = (
        Part(f" {clean(result.id)} ", Tone.ACCENT),
        Part(f"{clean(result.method)} {clean(result.target or result.path)}", Tone.STRONG),
    )
    lines = [_ending(head, Part(shown, word_tone(word(result))), width)]
    if result.replay_id:
        lines.append((Part(f" replayed as {clean(result.replay_id)} in run {clean(_run_of(run))}", Tone.DIM),))
    lines += [rule(width), _sides("", Part("recorded", Tone.DIM), Part("replayed", Tone.DIM), width)]
    before, after = result.status.before or 0, result.status.after or 0
    skipped = result.outcome == "skipped"
    then = Part(status_text(before), status_tone(before))
    now = Part("not sent" if skipped else status_text(after), Tone.DIM if skipped else status_tone(after))
    lines.append(_sides("status", then, now, width))
    after_ms = None if skipped else result.ms.after
    lines.append(_sides("time", _time(result.ms.before), _time(after_ms), width, _factor(result)))
    lines += _hop_lines(result.hops.before or [], result.hops.after or [], width)
    lines.append(rule(width))
    if result.why:
        lines += _labelled("why", wrapped(clean(result.why), width - LABEL, Tone.BAD))
    for difference in result.differences:
        if difference.what != "status":
            lines += _difference(difference, width)
    if result.more:
        lines.append((Part(f" and {units.plural(result.more, 'more difference')}", Tone.DIM),))
    lines += (line for note in result.notes for line in wrapped(clean(note), width, Tone.DIM))
    if not result.differences and not result.why and result.outcome == "same":
        lines.append((Part(" the answer is the same", Tone.GOOD),))
    return lines


def _run_of(run: Run) -> str:
    return run.report.run if run.report else ""


def _ending(left: Line, right: Part, width: int) -> Line:
    room = width - cells(plain(left)) - cells(right.text) - 1
    return (*left, Part(" " * max(room, 1)), right)


def _sides(label: str, then: Part, now: Part, width: int, more: str = "") -> Line:
    half = max((width - LABEL - 1) // 2, 8)
    return (
        Part(f" {label:<{LABEL - 1}}", Tone.DIM),
        Part(fit(then.text, half), then.tone),
        Part(now.text, now.tone),
        Part(f"   {more}" if more else "", Tone.WARN),
    )


def _time(ms: float | None) -> Part:
    return Part("-", Tone.DIM) if ms is None else Part(units.milliseconds(ms))


def _factor(result: Result) -> str:
    factor = result.factor
    return f"×{factor:.0f}" if factor >= 9.5 else f"×{factor:.1f}" if factor else ""


def _hop_lines(before: Sequence[HopTimes], after: Sequence[HopTimes], width: int) -> list[Line]:
    """A line for each pool on either way, in the order of the way: waiting (q) and being served (s)."""
    lines = []
    for place in range(max(len(before), len(after))):
        then = before[place] if place < len(before) else None
        now = after[place] if place < len(after) else None
        lines.append(_sides("hops" if not place else "", _hop(then), _hop(now), width))
    return lines


def _hop(hop: HopTimes | None) -> Part:
    if hop is None:
        return Part("-", Tone.DIM)
    text = f"{clean(hop.pool)} q{units.milliseconds(hop.queued_ms)} s{units.milliseconds(hop.served_ms)}"
    return Part(f"{text} ✗" if hop.failed else text, Tone.BAD if hop.failed else Tone.PLAIN)


def _difference(difference: Difference, width: int) -> list[Line]:
    """`−` what was, `+` what is."""
    lines: list[Line] = []
    for sign, text, tone in (("−", difference.before, Tone.BAD), ("+", difference.after, Tone.GOOD)):
        if text is None:
            continue
        pieces = [piece for line in text.split("\n") for piece in wrapped(show_redacted(clean(line)), width - 4, tone)]
        lines += [(Part(f"   {sign if not at else ' '}", tone), *piece) for at, piece in enumerate(pieces)]
    return [(Part(f" {clean(difference.what)}", Tone.TITLE),), *lines]


def _labelled(label: str, lines: Sequence[Line]) -> list[Line]:
    return [(Part(f" {label if not place else '':<{LABEL - 1}}", Tone.DIM), *line) for place, line in enumerate(lines)]
