"""Recorded requests as text for people: a line of a list, and all that is known of one.

Everything in them came from clients and handlers, so it is cleaned here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from primectl.cli.render import paint
from primectl.message import Headers, reason
from primectl.wire.journal import Entry, Row
from tui.present import units
from tui.present.clean import clean, fit
from tui.present.entries import show_redacted
from tui.present.requests import clock_ms, hop_text, ms_text, note, slowest, status_text, status_tone
from tui.present.tables import Column, Line, Slot, Tone, lay_out
from tui.present.waterfall import chart_lines

COLUMNS = (
    Column("", 1),
    Column("TIME", 12),
    Column("ID", 6, grow=13),
    Column("METHOD", 6),
    Column("PATH", 18, grow=200),
    Column("ST", 3, right=True),
    Column("MS", 5, right=True),
    Column("SLOWEST", 14, drop=2, grow=24),
    Column("SIZE", 4, right=True, drop=3),
    Column("NOTE", 12, drop=4, grow=60),
)
"""The nameless one marks replays, dead letters, and those that a replay has redeemed."""
REPLAY, DEAD, REDEEMED = "↻", "✗", "✓"
_ID = 2
HEX_LINE = 16
HEX_BYTES = 256
"""Of a body that is no text so much is shown."""
_SGR = {
    Tone.DIM: "2", Tone.STRONG: "1", Tone.TITLE: "1", Tone.ACCENT: "36", Tone.GOOD: "32", Tone.BUSY: "36",
    Tone.WARN: "33", Tone.BAD: "31",
}  # fmt: skip


def painted(line: Line, *, colour: bool) -> str:
    return "".join(paint(part.text, _SGR.get(part.tone, ""), colour) for part in line).rstrip()


# --- a list -----------------------------------------------------------------------------------------------------------


def columns_for(width: int) -> list[Slot]:
    return lay_out(COLUMNS, width)


def header(slots: Sequence[Slot], *, colour: bool) -> str:
    titles = [fit(COLUMNS[slot.column].title, slot.width, right=COLUMNS[slot.column].right) for slot in slots]
    return paint(" ".join(titles).rstrip(), "2", colour)


def row_text(row: Row, slots: Sequence[Slot], *, colour: bool) -> str:
    texts = _cells(row)
    shown = []
    for slot in slots:
        text, tone = texts[slot.column]
        if slot.column == _ID:  # its last digits tell it from others, and are enough to name it
            text = text[-slot.width :]
        whole = fit(text, slot.width, right=COLUMNS[slot.column].right)
        shown.append(paint(whole, _SGR.get(tone, ""), colour))
    return " ".join(shown).rstrip()


def _cells(row: Row) -> list[tuple[str, Tone]]:
    """What stands under COLUMNS."""
    mark = (REDEEMED if row.redeemed else DEAD) if row.dead else REPLAY if row.replay_run else ""
    slow = slowest(row.hops)
    return [
        (mark, Tone.BAD if mark == DEAD else Tone.DIM),
        (clock_ms(row.time), Tone.DIM),
        (row.id, Tone.ACCENT),
        (clean(row.method), Tone.PLAIN),
        (show_redacted(clean(target(row))), Tone.PLAIN),
        (status_text(row.status), status_tone(row.status)),
        (ms_text(row.ms), Tone.PLAIN),
        (hop_text(slow) if slow is not None else "-", Tone.PLAIN),
        (units.size(row.size) if row.status else "-", Tone.PLAIN),
        (note(row), Tone.WARN),
    ]


def target(row: Row) -> str:
    return f"{row.path}?{row.query}" if row.query else row.path


# --- one of them ------------------------------------------------------------------------------------------------------


def entry_text(entry: Entry, replays: Sequence[Row], width: int, *, colour: bool) -> list[str]:
    """All of an entry, in lines: what it was, where its time went, what was asked, what was answered."""
    row = entry.row
    answered = f"{row.status} {reason(row.status)}".rstrip() if row.status else "no answer"
    lines = [
        " ".join(
            (
                paint(row.id, "36", colour),
                paint(clean(row.method), "1", colour),
                paint(_shown(entry.target), "1", colour),
                paint(answered, _SGR[status_tone(row.status)], colour),
                units.milliseconds(row.ms),
            )
        )
    ]
    lines += [f"{paint(f'{name:<9}', '2', colour)} {text}" for name, text in _facts(entry, replays) if text]
    lines += ["", *(painted(line, colour=colour) for line in chart_lines(row, width))]
    lines += ["", paint(_title("REQUEST", len(entry.body), row.asked_size, cut=row.cut), "1", colour)]
    lines += [f"{clean(row.method)} {_shown(entry.target)} HTTP/{clean(entry.version)}"]
    lines += _message(entry.fields, entry.body, cut=row.cut)
    if row.status:
        lines += ["", paint(_title("ANSWER", len(entry.answer_body), row.size, cut=row.answer_cut), "1", colour)]
        lines += [answered, *_message(entry.answer_fields, entry.answer_body, cut=row.answer_cut)]
    return lines


def _facts(entry: Entry, replays: Sequence[Row]) -> list[tuple[str, str]]:
    row = entry.row
    at = datetime.fromtimestamp(row.time).astimezone().isoformat(sep=" ", timespec="milliseconds")
    who = [f"client {clean(row.client)}"] if row.client else []
    who += [f"server {clean(row.server)}"] if row.server else []
    who += [f"answered by {clean(row.worker)}"] if row.worker and row.status else []
    dead = "redeemed: a replay of it has succeeded" if row.redeemed else "`primectl replay` sends it again"
    kinds = ((row.streamed, "streamed"), (row.imported, "imported"))
    return [
        ("at", ", ".join((at, *(word for is_so, word in kinds if is_so)))),
        ("who", ", ".join(who)),
        ("attempts", f"{row.attempts}: {units.plural(row.attempts - 1, 'worker')} lost" if row.attempts > 1 else ""),
        ("problem", clean(row.problem)),
        ("dead", dead if row.dead else ""),
        ("replay", f"of {clean(row.replay_of)}, run {clean(row.replay_run)}" if row.replay_run else ""),
        ("replayed", ", ".join(f"{replay.id} ({replay.status or 'no answer'})" for replay in replays)),
        ("redacted", ", ".join(map(clean, entry.redacted))),
    ]


def _title(name: str, kept: int, whole: int, *, cut: bool) -> str:
    if cut:
        return f"{name}, its body cut at {units.size(kept)} of {units.size(whole)}"
    return f"{name}, {units.size(whole)}" if whole else name


def _message(fields: Headers, body: bytes, *, cut: bool) -> list[str]:
    lines = [f"{clean(name)}: {_shown(value)}" for name, value in fields]
    return [*lines, "", *body_lines(body, cut=cut)] if body else lines


def body_lines(body: bytes, *, cut: bool = False) -> list[str]:
    """A body as it is where it is text, else its beginning in hexadecimal; `cut` may have split its last character."""
    text = _text(body, cut=cut)
    if text is None:
        return hex_lines(body)
    return [_shown(line.removesuffix("\r")) for line in text.removesuffix("\n").split("\n")]


def _text(body: bytes, *, cut: bool) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        if not cut or error.start < len(body) - 3:
            return None
        text = body[: error.start].decode()
    return None if "\0" in text else text


def hex_lines(body: bytes) -> list[str]:
    lines = [f"{units.size(len(body))} that {'is' if len(body) == 1 else 'are'} no text"]
    for at in range(0, min(len(body), HEX_BYTES), HEX_LINE):
        piece = body[at : at + HEX_LINE]
        printed = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
        lines.append(f"{at:08x}  {piece.hex(' '):<{3 * HEX_LINE}} {printed}")
    if len(body) > HEX_BYTES:
        lines.append(f"… {units.size(len(body) - HEX_BYTES)} more")
    return lines


def _shown(text: str) -> str:
    return show_redacted(clean(text))
