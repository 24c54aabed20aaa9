"""The list of recorded requests: what to ask next, which rows are kept and marked, and how a row reads.

Everything in a row was said by a client or a handler: it is cleaned here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from primectl.wire.journal import HopTimes, RequestsQuery, Row
from primectl.wire.stats import JournalSnapshot
from tui.present import units
from tui.present.clean import cells, clean, cut
from tui.present.tables import Cell, Column, Line, Part, Tone, figure, plain
from tui.present.tables import Row as TableRow

KEPT = 2000
"""Rows on screen; the oldest leave, but for those that are marked."""
FIRST = 500
"""Rows asked for at first."""
MORE = 500
"""Rows asked for after that; when as many come, some are missed and the newest are asked for."""
EVERY_S = 0.9
AGAIN_S = 2.0
"""Until the next question when one was not answered."""
FAULTS = "status>=500 or status=0"
MARKED_AT_MOST = 2000
"""What one replay can be given on its command line."""

COLUMNS = (
    Column("TIME", 12, drop=4),
    Column("ID", 6, drop=6),
    Column("METHOD", 6, drop=5, few_first=True),
    Column("PATH", 14, grow=200, few_first=True),
    Column("ST", 3, right=True),
    Column("MS", 6, right=True),
    Column("SLOWEST", 12, drop=7, few_first=True),
    Column("SIZE", 5, right=True, drop=8),
    Column("NOTE", 10, drop=9, few_first=True),
)


class RequestList:
    """What the journal has told of the newest requests that fit the filter, newest first; asks one thing at a time.

    `where` is the filter that the rows fit; `wished` the one that is asked for, until the answer has come. A filter
    with a mistake changes nothing: the rows stay, and `mistake` tells what is wrong with it.
    """

    def __init__(self) -> None:
        self.where = ""
        self.wished = ""
        self.faults = False
        self.follow = True
        self.mistake = ""
        self.tried = ""
        """The filter with the mistake."""
        self.trouble = ""
        """Why the last question got no answer."""
        self.kept = 0
        self.answered_once = False
        self.version = 0
        """Grows with every change of what is shown."""
        self.epoch = 0
        """Grows when the rows are those of another filter."""
        self.marks: dict[str, Row] = {}
        self._rows: dict[str, Row] = {}
        self._drawn: dict[str, TableRow] = {}
        self._newest = 0
        self._anew = True
        self._replace = True
        self._asked: RequestsQuery | None = None
        self._at = float("-inf")

    # --- asking -------------------------------------------------------------------------------------------------------

    def question(self, now: float) -> RequestsQuery | None:
        """What to ask now; None while an answer is waited for, or there is nothing to ask."""
        if self._asked is not None or now < self._at or not (self.follow or self._anew):
            return None
        after = 0 if self._anew else self._newest
        self._asked = RequestsQuery(self.asks_for, MORE if after else FIRST, after)
        self._anew = False
        return self._asked

    def answered(self, query: RequestsQuery, rows: Sequence[Row], kept: int, newest: int, now: float) -> None:
        """The answer to `query` has come. One to a filter that was changed meanwhile is forgotten."""
        if query is not self._asked:
            return
        self._asked, self.trouble, self.kept = None, "", kept
        if query.where != self.asks_for:
            self._at = now
            return
        self._at = now + EVERY_S
        if self._replace:
            self._rows.clear()
            self._drawn.clear()
            self._replace = False
            self.epoch += 1
        if not self.answered_once or self.where != self.wished or rows:
            self.version += 1
        self.answered_once = True
        self.where, self.mistake, self.tried = self.wished, "", ""
        self._add(rows)
        self._newest = max(newest, self._newest, *(row.number for row in rows), 0)
        if query.after and len(rows) >= query.last:
            self._anew = True

    def refused(self, query: RequestsQuery, text: str, now: float, *, mistake: bool) -> None:
        """No answer: the filter has a `mistake`, which `text` shows, or nobody could answer now."""
        if query is not self._asked:
            return
        self._asked = None
        self.version += 1
        if not mistake or query.where != self.asks_for:
            self.trouble = "" if mistake else text
            self._anew = self._anew or not query.after
            self._at = now if mistake else now + AGAIN_S
            return
        self.mistake, self.trouble, self.tried = text, "", self.wished
        self.wished = self.where
        self._replace = self._anew = not self.answered_once
        self._at = now + EVERY_S

    def look_for(self, text: str) -> None:
        """Another filter; the rows of the one before stay until its answer comes."""
        self.wished, self.mistake, self.tried = text.strip(), "", ""
        self._begin_anew()

    def toggle_faults(self) -> None:
        self.faults = not self.faults
        self._begin_anew()

    def widen(self) -> None:
        """Take away the filter; where there is none, go back to all that did not fail, too."""
        if self.faults and not (self.wished or self.mistake):
            self.toggle_faults()
        else:
            self.look_for("")

    @property
    def narrowed(self) -> bool:
        return bool(self.wished or self.faults or self.mistake)

    def toggle_follow(self) -> None:
        """Off: the rows stand still and nothing is asked. On: the newest are asked for."""
        self.keep_to_newest(not self.follow)

    def keep_to_newest(self, follow: bool) -> None:
        if follow and not self.follow:
            self._anew = True
            self._at = float("-inf")
        self.follow = follow

    def _begin_anew(self) -> None:
        self._anew = self._replace = True
        self._newest = 0
        self._at = float("-inf")
        self.version += 1

    @property
    def asks_for(self) -> str:
        """The whole filter."""
        if not self.faults:
            return self.wished
        return f"({self.wished}) and ({FAULTS})" if self.wished else FAULTS

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows[str(row.number)] = row
        newest_first = sorted(self._rows.values(), key=lambda row: row.number, reverse=True)
        kept = [row for place, row in enumerate(newest_first) if place < KEPT or str(row.number) in self.marks]
        self._rows = {str(row.number): row for row in kept}
        drawn = self._drawn
        self._drawn = {key: drawn.get(key) or request_row(row) for key, row in self._rows.items()}

    @property
    def rows(self) -> list[TableRow]:
        """The rows under `COLUMNS`; a row's id is its number in the journal."""
        return list(self._drawn.values())

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, key: str) -> Row | None:
        """The recorded request behind a row."""
        return self._rows.get(key) or self.marks.get(key)

    def of_id(self, request: str) -> Row | None:
        """The newest row of the request with this id."""
        return next((row for row in (*self._rows.values(), *self.marks.values()) if row.id == request), None)

    # --- marks --------------------------------------------------------------------------------------------------------

    def toggle_mark(self, key: str) -> None:
        if self.marks.pop(key, None) is None and key in self._rows and len(self.marks) < MARKED_AT_MOST:
            self.marks[key] = self._rows[key]

    def toggle_all(self) -> None:
        """Mark all that are shown; once they all are, forget every mark."""
        if all(key in self.marks for key in self._rows):
            self.marks.clear()
            return
        for key, row in self._rows.items():
            if len(self.marks) >= MARKED_AT_MOST:
                break
            self.marks.setdefault(key, row)

    def chosen(self, key: str) -> tuple[str, ...]:
        """The ids that an action is about: those of all marked rows, oldest first, else that of the row under `key`."""
        if self.marks:
            return tuple(dict.fromkeys(row.id for row in sorted(self.marks.values(), key=lambda row: row.number)))
        row = self._rows.get(key)
        return (row.id,) if row is not None else ()


# --- rows -------------------------------------------------------------------------------------------------------------


def request_row(row: Row) -> TableRow:
    """A recorded request under `COLUMNS`."""
    target = f"{row.path}?{row.query}" if row.query else row.path
    slow = slowest(row.hops)
    noted = note(row)
    return TableRow(
        str(row.number),
        (
            Cell((Part(clock_ms(row.time), Tone.DIM),), row.time),
            Cell((Part(clean(row.id), Tone.ACCENT),), row.number, newest_last=True),
            Cell((Part(clean(row.method), method_tone(row.method)),), row.method),
            Cell((Part(clean(target)),), target),
            Cell((Part(status_text(row.status), status_tone(row.status)),), row.status),
            figure(ms_text(row.ms), row.ms, Tone.WARN if row.ms >= 1000 else Tone.PLAIN),
            Cell((Part(hop_text(slow) if slow else "-", Tone.PLAIN if slow else Tone.DIM),), slow.pool if slow else ""),
            figure(units.size(row.size) if row.size else "-", row.size),
            Cell((Part(noted, Tone.WARN),), noted),
        ),
    )


def clock_ms(unix_s: float) -> str:
    """The local time of day with its milliseconds, 12:04:31.027."""
    thousandths = int(unix_s * 1000)
    return f"{units.clock(thousandths // 1000)}.{thousandths % 1000:03}"


def ms_text(value: float) -> str:
    """Milliseconds as a bare number: 0.4, 31, 30000."""
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def status_text(status: int) -> str:
    """`---`: the client got no answer."""
    return str(status) if status else "---"


def status_tone(status: int) -> Tone:
    if not status or status >= 500:
        return Tone.BAD
    return Tone.WARN if status >= 400 else Tone.GOOD


def method_tone(method: str) -> Tone:
    """Methods that may change something catch the eye."""
    return Tone.DIM if method in SAFE else Tone.STRONG


SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110 9.2.1: what asks for no change."""


def slowest(hops: Sequence[HopTimes]) -> HopTimes | None:
    """The hop that took longest, waiting included."""
    return max(hops, key=lambda hop: hop.queued_ms + hop.served_ms, default=None)


def hop_text(hop: HopTimes) -> str:
    """`route q1.6s` where waiting was most of it, `route s240ms` where its handler was, `route ✗` where it failed."""
    if hop.failed:
        return f"{clean(hop.pool)} ✗"
    letter, longer = ("q", hop.queued_ms) if hop.queued_ms > hop.served_ms else ("s", hop.served_ms)
    return f"{clean(hop.pool)} {letter}{units.milliseconds(longer)}"


def note(row: Row) -> str:
    """What is unlike other requests, in words."""
    words = []
    if row.dead:
        words.append("redeemed" if row.redeemed else "dead letter")
    if row.problem:
        words.append(clean(row.problem))
    if row.replay_of:
        words.append(f"replay of {clean(row.replay_of)[-5:]}")
    if row.attempts > 1:
        words.append(f"{row.attempts} attempts")
    for told, word in ((row.cut, "cut"), (row.streamed, "streamed"), (row.imported, "imported")):
        if told:
            words.append(word)
    return ", ".join(words)


# --- the lines around them --------------------------------------------------------------------------------------------


def head_line(requests: RequestList, journal: JournalSnapshot, now: float, width: int) -> Line:
    """What is shown, of how much, and whether it grows. `now` is Unix seconds."""
    left: list[Part] = [Part(" filter ", Tone.DIM)]
    state = recording(journal)
    right: Line = (Part(f"{_of(requests, journal, now)}   ", Tone.DIM), state, Part(" "))
    if cells(plain(right)) > width - 16:
        right = (state, Part(" "))
    shown = clean(requests.wished) or "none"
    faults = "   faults only" if requests.faults else ""
    room = width - cells(plain(right)) - cells(" filter ") - cells(faults) - 1
    left.append(Part(cut(shown, room), Tone.STRONG if requests.wished else Tone.DIM))
    left.append(Part(faults, Tone.WARN))
    gap = width - cells(plain(tuple(left))) - cells(plain(right))
    return (*left, Part(" " * max(gap, 0)), *right)


def _of(requests: RequestList, journal: JournalSnapshot, now: float) -> str:
    kept = max(requests.kept, journal.rows)
    since = f" ({units.uptime(now - journal.oldest)})" if 0 < journal.oldest < now else ""
    shown = f"{len(requests)}{'+' if len(requests) >= KEPT else ''}"
    return f"{shown} of {thousands(kept)} kept{since}"


def thousands(number: int) -> str:
    """20 000."""
    return f"{number:,}".replace(",", " ")


def recording(journal: JournalSnapshot) -> Part:
    """Whether requests are recorded, and if not, why; what was dropped is told here too."""
    lost = f", {units.count(journal.dropped)} dropped" if journal.dropped else ""
    if journal.state == "recording":
        trouble = f", {cut(clean(journal.trouble), 40)}" if journal.trouble else ""
        return Part(f"● recording{lost}{trouble}", Tone.WARN if lost or trouble else Tone.GOOD)
    if journal.state == "off":
        return Part("◌ not recording: the journal is off", Tone.DIM)
    why = cut(clean(journal.trouble), 60) or clean(journal.state)
    return Part(f"◌ not recording: {why}{lost}", Tone.BAD)


def mistake_lines(requests: RequestList, width: int) -> list[Line]:
    """The filter that could not be taken with a caret below the place, or why there is no answer; else nothing."""
    if requests.mistake:
        # The caret must stay below its place, so the lines are cut and not wrapped.
        return [(Part(" " + cut(clean(line), width - 2), Tone.BAD),) for line in requests.mistake.split("\n")[:4]]
    if requests.trouble:
        return [(Part(" ▲ " + cut(clean(requests.trouble.split("\n")[0]), width - 4), Tone.WARN),)]
    return []


def summary(requests: RequestList) -> str:
    """Marks and whether the list grows, for the line at the bottom."""
    parts = [f"follow {'ON' if requests.follow else 'off'}"]
    if requests.marks:
        unseen = sum(key not in requests._rows for key in requests.marks)
        parts.append(f"{len(requests.marks)} marked" + (f", {unseen} not shown" if unseen else ""))
    return "   ".join(parts)
