"""The report of a replay, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from primectl.cli.render import paint, table
from primectl.journal.compare import Difference, Kind, Result
from primectl.journal.plan import Summary
from primectl.journal.report import Report
from primectl.journal.sender import STOPPED
from primectl.wire.journal import HopTimes
from tui.present import units
from tui.present.clean import clean, cut

CHANGE_HEADERS = ("ID", "REQUEST", "STATUS", "TIME", "WHAT")
POOL_HEADERS = ("POOL", "REQUESTS", "QUEUED", "SERVED")
SHOWN = 50
"""So many results are shown, those that are only slower last; `--json` has more of them."""
_REQUEST_CELLS = 48
_WHAT_CELLS = 60
_LABEL = 10


def report_text(report: Report, *, colour: bool, with_differences: bool) -> str:
    """What was sent, what came of it; then what changed, one a line, or with all differences that are known."""
    results = report.results
    telling = [result for result in results if result.kind is not Kind.SAME]
    telling += [result for result in results if result.kind is Kind.SAME and result.slower]
    shown = telling[:SHOWN]
    parts = [_run_line(report)] if report.sent else []
    parts.append(summary_line(report, colour=colour))
    if shown and with_differences:
        for result in shown:
            parts += ["", *_whole(result, colour)]
    elif shown:
        parts += ["", *table(CHANGE_HEADERS, [_row(result) for result in shown], colour=colour)]
    if len(telling) > SHOWN:
        parts.append(f"… and {units.count(len(telling) - SHOWN)} more; --json has them")
    if pools := report.pools():
        rows = [
            (
                clean(times.pool),
                units.count(times.requests),
                f"{units.milliseconds(times.queued_before)} → {units.milliseconds(times.queued_after)}",
                f"{units.milliseconds(times.served_before)} → {units.milliseconds(times.served_after)}",
            )
            for times in pools
        ]
        parts += ["", *table(POOL_HEADERS, rows, colour=colour)]
    parts += _skipped_lines(report.reasons)
    if report.stopped:
        why = "" if report.stopped == STOPPED else f": {clean(report.stopped)}"
        parts.append(paint(f"stopped{why}; {units.count(report.not_sent)} not sent", "33", colour))
    return "\n".join(parts)


def summary_line(report: Report, *, colour: bool) -> str:
    """Counts that are not nothing; what was sent is always told."""
    counts = [
        (report.same, "same", "32"),
        (report.changed, "changed", "33"),
        (report.failed, "failed", "31"),
        (report.fixed, "fixed", "32"),
        (report.redeemed, "redeemed", "32"),
        (report.new_errors, "new error" if report.new_errors == 1 else "new errors", "31"),
        (report.slower, "slower >2x", "33"),
        (report.skipped, "skipped", ""),
        (report.not_sent, "not sent", "33"),
    ]
    told = [paint(f"{number} {what}", sgr, colour) for number, what, sgr in counts if number]
    return "  ".join([f"{report.sent} sent", *told])


def plan_text(planned: Summary, target: str) -> str:
    """What a replay would do, without doing it."""
    methods = ", ".join(f"{number} {clean(method)}" for method, number in planned.methods.items())
    lines = [
        f"{units.plural(planned.count, 'request')}{f' ({methods})' if methods else ''}, "
        f"{units.size(planned.bytes)} of bodies, in {units.duration(planned.seconds)}"
        + (f", to {clean(target)}" if target else "")
    ]
    return "\n".join([*lines, *_skipped_lines(planned.reasons)])


def _skipped_lines(reasons: Mapping[str, int]) -> list[str]:
    return [f"{units.count(number)} skipped: {clean(why)}" for why, number in reasons.items()]


def methods_text(number: int, total: int, methods: Iterable[str]) -> str:
    """ "9 of 31 are POST" or "9 of 31 may change something: 7 POST, 2 DELETE"."""
    counts: dict[str, int] = {}
    for method in methods:
        counts[method] = counts.get(method, 0) + 1
    if len(counts) == 1:
        return f"{number} of {total} {'is' if number == 1 else 'are'} {clean(next(iter(counts)))}"
    told = ", ".join(f"{times} {clean(method)}" for method, times in sorted(counts.items()))
    return f"{number} of {total} may change something: {told}"


def _run_line(report: Report) -> str:
    pace = f"{units.rate(report.rate)}/s, lag p99 {units.milliseconds(report.lag.p99)}"
    return f"run {report.run} to {clean(report.target)}: {units.duration(report.seconds)}, {pace}"


def _row(result: Result) -> tuple[str, str, str, str, str]:
    return (
        clean(result.id),
        cut(clean(f"{result.method} {result.target}"), _REQUEST_CELLS),
        _status(result),
        _ms_pair(result.ms_before, result.ms_after) if result.kind is not Kind.FAILED else "",
        cut(clean(_what(result)), _WHAT_CELLS),
    )


def _status(result: Result) -> str:
    before, after = (str(status) if status else "none" for status in (result.status_before, result.status_after))
    return before if before == after else f"{before} → {after}"


def _what(result: Result) -> str:
    words = [*_verdicts(result)]
    if result.kind is Kind.FAILED:
        words.append(result.why)
    words += [found.what for found in result.differences if found.what != "status"]
    return ", ".join(words)


def _verdicts(result: Result) -> Iterable[str]:
    if result.new_error:
        yield "new error"
    if result.fixed:
        yield "fixed"
    if result.slower:
        yield "slower"


def _ms_pair(before: float, after: float) -> str:
    """Nobody has measured what is 0 before, as in a set that was written by hand."""
    if not before:
        return units.milliseconds(after)
    return f"{units.milliseconds(before)} → {units.milliseconds(after)}"


def _whole(result: Result, colour: bool) -> Iterable[str]:
    """One result with all that is known to differ, as in a diff."""
    word = {Kind.SAME: "SAME", Kind.CHANGED: "CHANGED", Kind.FAILED: "FAILED"}[result.kind]
    verdict = ", ".join([word, *_verdicts(result)])
    recorded = f"recorded {units.clock(result.time)}" if result.time else "from a set"
    yield paint(f"{clean(result.id)}  {clean(f'{result.method} {result.target}')}  {recorded}  {verdict}", "1", colour)
    yield _labelled("status", _status(result))
    if result.kind is Kind.FAILED:
        yield _labelled("why", clean(result.why))
    elif result.ms_before:
        factor = result.ms_after / result.ms_before
        yield _labelled(
            "time", _ms_pair(result.ms_before, result.ms_after) + (f"  ×{factor:.3g}" if factor >= 2 else "")
        )
    if result.hops_before or result.hops_after:
        after = f" → {_hops(result.hops_after)}" if result.hops_after else ""
        yield _labelled("hops", f"{_hops(result.hops_before) or '?'}{after}")
    for found in result.differences:
        if found.what != "status":
            yield from _difference(found, colour)
    if result.more:
        yield _labelled("", f"… and {units.plural(result.more, 'more difference')}")
    for note in result.notes:
        yield _labelled("", f"· {clean(note)}")


def _difference(found: Difference, colour: bool) -> Iterable[str]:
    part, _, place = found.what.partition(" ")
    yield _labelled(part, clean(place)) if place else _labelled(part, "differs")
    if found.before is not None:
        yield _labelled("", paint(f"− {clean(found.before)}", "31", colour))
    if found.after is not None:
        yield _labelled("", paint(f"+ {clean(found.after)}", "32", colour))


def _hops(hops: Sequence[HopTimes]) -> str:
    """Each pool with the time in its handler, and what it waited if that is more."""
    told = []
    for hop in hops:
        waited = f" after {units.milliseconds(hop.queued_ms)}" if hop.queued_ms > hop.served_ms else ""
        told.append(f"{clean(hop.pool)} {units.milliseconds(hop.served_ms)}{waited}{' ✗' if hop.failed else ''}")
    return " · ".join(told)


def _labelled(label: str, text: str) -> str:
    return f"{label:<{_LABEL}} {text}"
