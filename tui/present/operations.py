"""Orders under way, and what has failed for good, in lines for people."""

from __future__ import annotations

from collections.abc import Sequence

from primectl.wire.stats import ClusterSnapshot, OperationSnapshot, ProcessSnapshot
from tui.present.clean import clean

FAILED_SHOWN = 4
"""Failures that are told one by one; processes that failed alike are one."""


def operation_line(operation: OperationSnapshot) -> str:
    """`12 scale compute -> 64 by ana: 17 of 64 workers ready`"""
    wish = f" -> {operation.wish}" if operation.wish else ""
    by = f" by {operation.operator}" if operation.operator else ""
    text = operation.text.removeprefix(f"{operation.target}: ")
    return clean(f"{operation.number} {operation.kind} {operation.target}{wish}{by}{': ' if text else ''}{text}")


def under_way(snapshot: ClusterSnapshot) -> str:
    """All of them in a line: the first, and how many more; empty when there is none."""
    if not snapshot.operations:
        return ""
    more = len(snapshot.operations) - 1
    return operation_line(snapshot.operations[0]) + (f" · {more} more" if more else "")


def failure_lines(processes: Sequence[ProcessSnapshot]) -> list[str]:
    """Who has failed and why, each with the last lines of its log."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for process in processes:
        if process.state == "failed":
            alike.setdefault((process.cause, tuple(process.last_lines)), []).append(process.id)
    lines: list[str] = []
    for (cause, last_lines), names in list(alike.items())[:FAILED_SHOWN]:
        who = ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
        lines.append(clean(f"{who} failed: {cause}; `primectl restart {names[0]}` tries again"))
        lines += [f"  | {clean(line)}" for line in last_lines]
    if len(alike) > FAILED_SHOWN:
        others = sum(len(names) for names in list(alike.values())[FAILED_SHOWN:])
        lines.append(f"{others} more failed; `primectl events` tells why")
    return lines
