"""One recorded request: the short view beside the list, and the whole of it. All of it came from strangers."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from primectl.message import Headers
from primectl.wire.journal import Entry, Row
from tui.present import units
from tui.present.clean import cells, clean, cut
from tui.present.requests import clock_ms, ms_text, note, status_text, status_tone
from tui.present.tables import Line, Part, Tone
from tui.present.waterfall import chart_lines, strip_lines

T = TypeVar("T")

KEPT = 64
"""Entries that are held, so that going up and down a list does not ask again."""
RESTED_S = 0.4
"""A row under the cursor for so long is worth a question."""
BODY_LINES = 2000
BODY_CHARS = 4000
"""Of one line of a body."""
EXCERPT = 600
TALL = 20
"""Lines in which the whole of most requests has room."""

_REDACTED = re.compile(r"redacted:(\d{1,12}):[0-9a-f]{16}")


class Entries:
    """The entries that were asked for, and what to ask next: one question at a time."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._failures: dict[str, str] = {}
        self._asked = ""
        self._resting = ""
        self._since = 0.0

    def question(self, request: str, now: float, rested_s: float = RESTED_S) -> str:
        """The id to ask for, once `request` has been looked at for `rested_s`; "" for nothing."""
        if request != self._resting:
            self._resting, self._since = request, now
            self._failures.pop(request, None)
        if not request or self._asked or self.known(request) or now - self._since < rested_s:
            return ""
        self._asked = request
        return request

    def known(self, request: str) -> bool:
        return request in self._entries or request in self._failures

    def answered(self, request: str, entry: Entry) -> None:
        self._asked = ""
        _keep(request, entry, self._entries)

    def refused(self, request: str, text: str) -> None:
        self._asked = ""
        _keep(request, text, self._failures)

    def entry(self, request: str) -> Entry | None:
        return self._entries.get(request)

    def failure(self, request: str) -> str:
        """Why there is no entry, until it is looked at again; "" when that is not known to be so."""
        return self._failures.get(request, "")


def _keep(request: str, found: T, among: dict[str, T]) -> None:
    while len(among) >= KEPT:
        del among[next(iter(among))]
    among[request] = found


# --- the short view ---------------------------------------------------------------------------------------------------


def inspector_lines(row: Row | None, entry: Entry | None, failure: str, width: int, height: int) -> list[Line]:
    """A request in `height` lines: what it was, its way through the pools, the beginning of what was said.

    With room for it, all of it.
    """
    if row is None:
        return [(Part(" no request under the cursor", Tone.DIM),)]
    if height >= TALL and entry is not None:
        return entry_lines(entry, width)[:height]
    lines = [summary_line(row, width), *strip_lines(row, width)]
    if entry is None:
        told = f" ▲ {clean(failure)}" if failure else " …"
        lines.append((Part(cut(told, width), Tone.WARN if failure else Tone.DIM),))
        return lines[:height]
    room = max(height - len(lines), 2)
    asked = _side(">", entry.fields, entry.body, width, room)
    answer = _side("<", entry.answer_fields, entry.answer_body, width, room)
    half = room // 2
    taken = max(half, room - len(answer))
    lines += asked[:taken]
    lines += answer[: room - len(asked[:taken])]
    return lines[:height]


def summary_line(row: Row, width: int) -> Line:
    """`51bb POST /optimize  500  31ms   client …`."""
    tail = f"  client {clean(row.client)}" if row.client else ""
    noted = f"  {note(row)}" if note(row) else ""
    status, ms = status_text(row.status), f"{ms_text(row.ms)}ms"
    head = f" {clean(row.id)} {clean(row.method)} "
    room = width - cells(head) - cells(status) - cells(ms) - 5
    target = cut(
        clean(f"{row.path}?{row.query}" if row.query else row.path), max(room - cells(tail + noted), room // 2)
    )
    return (
        Part(f" {clean(row.id)} ", Tone.ACCENT),
        Part(f"{clean(row.method)} ", Tone.STRONG),
        Part(target, Tone.STRONG),
        Part(f"  {status}  ", status_tone(row.status)),
        Part(ms),
        Part(noted, Tone.WARN),
        Part(tail, Tone.DIM),
    )


def _side(arrow: str, fields: Headers, body: bytes, width: int, height: int) -> list[Line]:
    """Headers, as many in a line as have room, and the beginning of the body."""
    lines: list[Line] = []
    parts: list[Part] = [Part(f" {arrow} ", Tone.DIM)]
    room = width - 4
    for name, value in fields:
        text = f"{clean(name)}: {show_redacted(clean(value))}"
        if cells(text) + 3 > room and len(parts) > 1:
            lines.append(tuple(parts))
            parts, room = [Part(f" {arrow} ", Tone.DIM)], width - 4
        shown = cut(text, room)
        parts.append(Part(f"{shown}   ", Tone.DIM))
        room -= cells(shown) + 3
    if len(parts) > 1:
        lines.append(tuple(parts))
    if body:
        excerpt = show_redacted(clean(_one_line(body)))
        lines = lines[: max(height - 1, 0)]
        lines.append((Part(f" {arrow} ", Tone.DIM), Part(cut(excerpt, width - 4), Tone.PLAIN)))
    return lines


# --- the whole of it --------------------------------------------------------------------------------------------------


def entry_lines(entry: Entry, width: int) -> list[Line]:
    """Everything that was recorded, in sections, its way through the pools first."""
    row = entry.row
    lines: list[Line] = [summary_line(row, width), (), *chart_lines(row, width), ()]
    facts = [
        ("at", f"{clock_ms(row.time)}   server {clean(row.server)}   answered by {clean(row.worker) or '-'}"),
        ("replay", f"of {clean(row.replay_of)} in run {clean(row.replay_run)}" if row.replay_of else ""),
        ("redacted", ", ".join(clean(name) for name in entry.redacted)),
    ]
    lines += [(Part(f" {name:<9}", Tone.DIM), Part(cut(text, width - 10))) for name, text in facts if text]
    version = clean(entry.version)
    lines += [(), _title(f"REQUEST  {units.size(row.asked_size)}{', cut' if row.cut else ''}")]
    lines += wrapped(f"{clean(row.method)} {clean(entry.target)} HTTP/{version}", width, Tone.STRONG)
    lines += _whole(entry.fields, entry.body, width)
    cut_answer = ", cut" if row.answer_cut else ""
    lines += [(), _title(f"ANSWER  {units.size(row.size)}{cut_answer}")]
    if not row.status:
        lines.append(
            (Part(" the client got no answer", Tone.BAD), Part(f": {clean(row.problem)}" if row.problem else ""))
        )
        return lines
    lines.append((Part(f" {status_text(row.status)}", status_tone(row.status)),))
    return lines + _whole(entry.answer_fields, entry.answer_body, width)


def _title(text: str) -> Line:
    return (Part(f" {text}", Tone.TITLE),)


def _whole(fields: Headers, body: bytes, width: int) -> list[Line]:
    lines: list[Line] = []
    for name, value in fields:
        lines += wrapped(f"{clean(name)}: {show_redacted(clean(value))}", width, Tone.DIM)
    if body:
        lines.append(())
        lines += body_lines(body, width)
    return lines


def body_lines(body: bytes, width: int) -> list[Line]:
    """A body for reading: JSON laid out, text as it is, of anything else the beginning in hex."""
    text = body_text(body)
    if text is None:
        shown = [f"{body[at : at + 16].hex(' ')}" for at in range(0, min(len(body), 256), 16)]
        more = [f"… {len(body) - 256} bytes more"] if len(body) > 256 else []
        return [(Part(f" {line}", Tone.DIM),) for line in (f"{units.size(len(body))}, not text", *shown, *more)]
    lines: list[Line] = []
    for line in text.split("\n"):
        lines += wrapped(show_redacted(clean(line[:BODY_CHARS])), width, Tone.PLAIN)
        if len(lines) >= BODY_LINES:
            lines.append((Part(" … and more", Tone.DIM),))
            break
    return lines


def body_text(body: bytes) -> str | None:
    """The text of a body, JSON indented; None for what is no text."""
    try:
        return msgspec.json.format(body, indent=2).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        text = body.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _one_line(body: bytes) -> str:
    text = body_text(body)
    if text is None:
        return f"{units.size(len(body))}, not text: {body[:24].hex(' ')}"
    return " ".join(text[: 4 * EXCERPT].split())[:EXCERPT]


def show_redacted(text: str) -> str:
    """The token of a value that was taken out, in words; its digits tell only the same from another."""
    return _REDACTED.sub(lambda found: f"‹redacted {found[1]} B›", text) if "redacted:" in text else text


def wrapped(text: str, width: int, tone: Tone) -> list[Line]:
    """A clean line in as many as it takes; what goes on is indented."""
    room = max(width - 3, 10)
    pieces: list[str] = []
    piece, left = "", room
    for char in text:
        taken = cells(char)
        if taken > left:
            pieces.append(piece)
            piece, left = "", room
        piece += char
        left -= taken
    pieces.append(piece)
    return [(Part(" " if not place else "   "), Part(each, tone)) for place, each in enumerate(pieces)]
