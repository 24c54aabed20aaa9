"""The options of `replay` that say how to send, as they were typed, and what they mean.

They are kept as they were typed, since that is what a run is remembered with: a secret by the name of its variable.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from primectl.cli import options
from primectl.errors import ConfigError
from primectl.journal import brake, compare, pace, plan
from primectl.journal.brake import Brake
from primectl.journal.compare import Rules
from primectl.journal.fill import parse_secret
from primectl.journal.plan import Wishes
from primectl.journal.steps import Outgoing

UNSAFE = ("ask", "skip", "send")
MOST_IN_FLIGHT = 10_000


class Wanted(Struct, frozen=True, kw_only=True):
    """`unsafe` is "ask" until the operator has been asked; then `allowed` has the ids of those that are sent."""

    to: str | None = None
    speed: str = "1"
    rate: str = "0"
    repeat: str = "1"
    in_flight: str = "128"
    timeout: str = "60s"
    unsafe: str = "ask"
    allowed: list[str] = []
    secret: list[str] = []
    set_header: list[str] = []
    edits: dict[str, Outgoing | None] = {}
    stop_if: list[str] = []
    ignore: list[str] = []
    tolerance: str = "0"


class Meant(Struct, frozen=True):
    """The same, understood."""

    wishes: Wishes
    rules: Rules
    brakes: tuple[Brake, ...]
    in_flight: int
    timeout_s: float


def understood(wanted: Wanted, environ: Mapping[str, str]) -> Meant:
    """Raises ConfigError for the first one that means nothing."""
    if wanted.unsafe not in UNSAFE:
        raise ConfigError(f'expected ask, skip or send, got "{wanted.unsafe}"', "--unsafe")
    in_flight = options.whole_number(wanted.in_flight, "--in-flight", 1)
    if in_flight > MOST_IN_FLIGHT:
        raise ConfigError(f"expected at most {MOST_IN_FLIGHT}, got {in_flight}", "--in-flight")
    wishes = Wishes(
        speed=pace.parse_speed(wanted.speed),
        rate=number(wanted.rate, "--rate"),
        repeat=options.whole_number(wanted.repeat, "--repeat", 1),
        unsafe="send" if wanted.unsafe == "send" else "ask",
        allowed=frozenset(wanted.allowed),
        secrets=tuple(parse_secret(text, environ) for text in wanted.secret),
        set_headers=plan.parse_headers(wanted.set_header),
        edits=wanted.edits,
    )
    return Meant(
        wishes,
        compare.rules(wanted.ignore, number(wanted.tolerance, "--tolerance")),
        tuple(brake.parse(text) for text in wanted.stop_if),
        in_flight,
        options.seconds(wanted.timeout),
    )


def number(text: str, option: str) -> float:
    """A figure that is not negative. Raises ConfigError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise ConfigError(f'expected a number >= 0, got "{text}"', option)
    return value
