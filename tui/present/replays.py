"""The plan of a replay, held in a dialog until it is started: what is sent, how fast, and the command that does it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from primectl.wire.journal import Row
from primectl.wire.stats import ClusterSnapshot
from tui.present import units
from tui.present.clean import clean
from tui.present.requests import SAFE
from tui.present.tables import Line, Part, Tone

SATURATED = 0.97
DIGITS = 7
IDS_SHOWN = 3


class Pace(StrEnum):
    RECORDED = "as recorded"
    RATE = "at most"
    MAX = "as fast as they are answered"


class Field(StrEnum):
    """What can be changed, from top to bottom."""

    PACE = "pace"
    IN_FLIGHT = "in flight"
    REPEAT = "repeat"
    UNSAFE = "unsafe"
    QUEUE = "stop if"


class Wishes(Struct, frozen=True):
    """How chosen requests shall be sent again. `speed` and `rate` are texts, as typed; `queue` 0 stops never."""

    pace: Pace = Pace.RATE
    speed: str = "1"
    rate: str = "5"
    in_flight: str = "4"
    repeat: str = "1"
    unsafe: bool = False
    queue: str = "50"
    ignore: str = ""


class Chosen(Struct, frozen=True):
    """The requests to send again: their ids in order of time, and what is known of them. All ids may not be known."""

    ids: tuple[str, ...]
    rows: tuple[Row, ...] = ()

    @property
    def unsafe(self) -> int:
        """Of how many the method may change something."""
        return sum(row.method not in SAFE for row in self.rows)

    @property
    def cut(self) -> int:
        return sum(row.cut for row in self.rows)

    @property
    def spread_s(self) -> float:
        """Seconds from the first to the last of them, as recorded."""
        times = [row.time for row in self.rows]
        return max(times) - min(times) if times else 0.0


# --- changing it ------------------------------------------------------------------------------------------------------


def fields(chosen: Chosen) -> list[Field]:
    """What can be changed for these requests."""
    return [field for field in Field if field is not Field.UNSAFE or chosen.unsafe]


def turned(wishes: Wishes, field: Field, by: int = 1) -> Wishes:
    """The next choice of a field; a number one more or less."""
    match field:
        case Field.PACE:
            paces = list(Pace)
            return msgspec.structs.replace(wishes, pace=paces[(paces.index(wishes.pace) + by) % len(paces)])
        case Field.UNSAFE:
            return msgspec.structs.replace(wishes, unsafe=not wishes.unsafe)
        case Field.IN_FLIGHT | Field.REPEAT | Field.QUEUE:
            name = _NUMBERS[field]
            least = 0 if field is Field.QUEUE else 1
            return msgspec.structs.replace(wishes, **{name: str(max(int(getattr(wishes, name) or 0) + by, least))})


def typed(wishes: Wishes, field: Field, text: str) -> Wishes:
    """The number of a field with `text` in its place; what is no number changes nothing."""
    name = _number_of(wishes, field)
    fraction = name in ("speed", "rate")
    if not name or len(text) > DIGITS or not text.isascii() or (text and not _is_number(text, fraction)):
        return wishes
    return msgspec.structs.replace(wishes, **{name: text})


def number_of(wishes: Wishes, field: Field) -> str:
    """The number that a field holds, as typed; "" for none."""
    name = _number_of(wishes, field)
    return str(getattr(wishes, name)) if name else ""


_NUMBERS = {Field.IN_FLIGHT: "in_flight", Field.REPEAT: "repeat", Field.QUEUE: "queue"}


def _number_of(wishes: Wishes, field: Field) -> str:
    if field is Field.PACE:
        return {Pace.RECORDED: "speed", Pace.RATE: "rate", Pace.MAX: ""}[wishes.pace]
    return _NUMBERS.get(field, "")


def _is_number(text: str, fraction: bool) -> bool:
    return text[0].isdecimal() and text.replace(".", "", 1).isdecimal() if fraction else text.isdecimal()


def refusal(wishes: Wishes, chosen: Chosen) -> str:
    """Why it cannot be started like this; empty when it can."""
    for field in fields(chosen):
        name = _number_of(wishes, field)
        if name and name != "queue" and not float(getattr(wishes, name) or 0) > 0:
            return f"{field.value}: type a number above 0"
    if not _sent(wishes, chosen):
        return "nothing is sent like this: all of them are unsafe or cut"
    return ""


# --- what it comes to -------------------------------------------------------------------------------------------------


def _goes_out(row: Row, wishes: Wishes) -> bool:
    return not row.cut and (wishes.unsafe or row.method in SAFE)


def _sent(wishes: Wishes, chosen: Chosen) -> int:
    """How many go out, as far as their rows are known."""
    unknown = len(chosen.ids) - len(chosen.rows)
    return (unknown + sum(_goes_out(row, wishes) for row in chosen.rows)) * int(wishes.repeat or 0)


def sends_unsafe(wishes: Wishes, chosen: Chosen) -> bool:
    return wishes.unsafe and chosen.unsafe > 0


def argv(wishes: Wishes, chosen: Chosen) -> list[str]:
    """What follows `primectl` on the command line."""
    words = ["replay"]
    match wishes.pace:
        case Pace.RECORDED:
            words += ["--speed", wishes.speed]
        case Pace.RATE:
            words += ["--rate", wishes.rate]
        case Pace.MAX:
            words += ["--speed", "max"]
    words += ["--in-flight", wishes.in_flight]
    if wishes.repeat != "1":
        words += ["--repeat", wishes.repeat]
    words += ["--unsafe", "send" if wishes.unsafe else "skip"]
    if int(wishes.queue or 0):
        words += ["--stop-if", f"queue>{wishes.queue}"]
    for name in wishes.ignore.replace(",", " ").split():
        words += ["--ignore", name]
    # An id that was imported is anybody's text, and must not be taken for an option.
    return [*words, *(["--"] if any(each.startswith("-") for each in chosen.ids) else []), *chosen.ids]


def command_line(wishes: Wishes, chosen: Chosen) -> str:
    """The same for a terminal."""
    return shlex.join(["primectl", *argv(wishes, chosen)])


def plan_lines(wishes: Wishes, chosen: Chosen, at: Field | None, snapshot: ClusterSnapshot) -> list[Line]:
    """The plan; the field that keys change is marked."""
    lines = [_fact("from", _origin(chosen)), _fact("target", f"this cluster, {clean(snapshot.front.listen) or '-'}")]
    lines += (_field_line(wishes, chosen, field, field is at) for field in fields(chosen))
    lines.append(_fact("plan", *_forecast(wishes, chosen, snapshot)))
    return lines


def _origin(chosen: Chosen) -> str:
    number = units.plural(len(chosen.ids), "request")
    if not chosen.rows:
        return number
    times = sorted(row.time for row in chosen.rows)
    first = chosen.rows[0]
    if len(chosen.ids) == 1:
        return f"{clean(first.method)} {clean(first.path)} of {units.clock(first.time)}"
    return f"{number}, {units.clock(times[0])} to {units.clock(times[-1])}"


def _field_line(wishes: Wishes, chosen: Chosen, field: Field, here: bool) -> Line:
    head = (Part("▶ " if here else "  ", Tone.ACCENT), Part(f"{field.value:<11}", Tone.STRONG if here else Tone.DIM))
    match field:
        case Field.PACE:
            parts: list[Part] = []
            for pace in Pace:
                on = pace is wishes.pace
                text = {Pace.RECORDED: f"recorded ×{_box(wishes.speed) if on else wishes.speed}",
                        Pace.RATE: f"at most {_box(wishes.rate) if on else wishes.rate}/s",
                        Pace.MAX: "max"}[pace]  # fmt: skip
                parts += (
                    Part("(•) " if on else "( ) ", Tone.ACCENT),
                    Part(f"{text}   ", Tone.STRONG if on else Tone.DIM),
                )
            return (*head, *parts)
        case Field.IN_FLIGHT:
            return (*head, Part(_box(wishes.in_flight)), Part(" at once", Tone.DIM))
        case Field.REPEAT:
            return (*head, Part(_box(wishes.repeat)), Part(" times each", Tone.DIM))
        case Field.QUEUE:
            never = not int(wishes.queue or 0)
            return (*head, Part("the queue of a pool > ", Tone.DIM), Part(_box(wishes.queue)),
                    Part(" never" if never else "", Tone.WARN))  # fmt: skip
        case Field.UNSAFE:
            return (
                *head,
                Part(f"{chosen.unsafe} of {len(chosen.ids)} {_methods(chosen)}: ", Tone.WARN),
                Part("( ) " if wishes.unsafe else "(•) ", Tone.ACCENT),
                Part("skip  ", Tone.DIM if wishes.unsafe else Tone.STRONG),
                Part("(•) " if wishes.unsafe else "( ) ", Tone.ACCENT),
                Part("send", Tone.BAD if wishes.unsafe else Tone.DIM),
            )


def _box(text: str) -> str:
    return f"[ {text or '_'} ]"


def _methods(chosen: Chosen) -> str:
    counts: dict[str, int] = {}
    for row in chosen.rows:
        if row.method not in SAFE:
            counts[row.method] = counts.get(row.method, 0) + 1
    shown = sorted(counts, key=lambda method: -counts[method])[:2]
    return ", ".join(clean(method)[:8] for method in shown) + (" …" if len(counts) > 2 else "")


def _forecast(wishes: Wishes, chosen: Chosen, snapshot: ClusterSnapshot) -> tuple[str, Tone]:
    """How many, how long, how much; and what stands against it."""
    number, repeat = _sent(wishes, chosen), int(wishes.repeat or 0)
    size = sum(row.asked_size for row in chosen.rows if _goes_out(row, wishes)) * repeat
    parts = [units.plural(number, "request")]
    match wishes.pace:
        case Pace.RECORDED if float(wishes.speed or 0):
            parts.append(f"about {units.duration(chosen.spread_s * max(repeat, 1) / float(wishes.speed))}")
        case Pace.RATE if float(wishes.rate or 0):
            parts.append(f"{units.duration(max(number - 1, 0) / float(wishes.rate))} at {wishes.rate}/s")
    parts.append(units.size(size))
    if chosen.cut:
        parts.append(f"{chosen.cut} left out: their bodies were cut")
    full = [pool for pool in snapshot.pools if pool.utilisation >= SATURATED]
    used = {hop.pool for row in chosen.rows for hop in row.hops}
    busy = next((pool for pool in full if pool.name in used), None)
    if busy is not None:
        parts.append(f"▲ {clean(busy.name)} has no spare capacity ({units.share(busy.utilisation)})")
    return ", ".join(parts), Tone.WARN if busy is not None or chosen.cut else Tone.PLAIN


def _fact(name: str, text: str, tone: Tone = Tone.PLAIN) -> Line:
    return (Part(f"  {name:<11}", Tone.DIM), Part(text, tone))


# --- a dry run --------------------------------------------------------------------------------------------------------


class DryRun(Struct, frozen=True):
    """What `--dry-run --json` says, as far as it is shown."""

    count: int = 0
    bytes: int = 0
    seconds: float = 0.0
    skipped: int = 0


def dry_text(output: bytes, trouble: Sequence[str]) -> str:
    """What a dry run came to, in a line."""
    try:
        told = msgspec.json.decode(output, type=DryRun)
    except msgspec.MsgspecError:
        return clean(trouble[-1]) if trouble else "the dry run said nothing"
    left_out = f", {told.skipped} skipped" if told.skipped else ""
    return (
        f"{units.plural(told.count, 'request')} would be sent in {units.duration(told.seconds)}, "
        f"{units.size(told.bytes)}{left_out}"
    )
