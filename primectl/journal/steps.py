"""What a replay is made of: a `Plan` has a `Step` for every request to send; each that was sent has an `Outcome`."""

from __future__ import annotations

from msgspec import Struct

from primectl.message import Headers
from primectl.wire.journal import Entry


class Outgoing(Struct, frozen=True):
    """A request as it is sent, but for what the sender adds: Host, Content-Length and the mark of a replay."""

    method: str
    target: str
    fields: Headers = ()
    body: bytes = b""


class Step(Struct, frozen=True):
    """`number` counts from 0 in the order of sending, repeats included; `due_s` is seconds after the run's start."""

    number: int
    entry: Entry
    outgoing: Outgoing
    due_s: float = 0.0


class Skipped(Struct, frozen=True):
    """A chosen request that is not sent, and why, in words."""

    entry: Entry
    why: str


class Plan(Struct, frozen=True):
    """`steps` in the order of `due_s`; `size` is bytes of all bodies, `seconds` how long sending takes at this pace."""

    steps: tuple[Step, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    size: int = 0
    seconds: float = 0.0


class Outcome(Struct, frozen=True):
    """What became of a step. Times are seconds after the run's start; `lag` of a step is `sent_s` - `due_s`.

    `error` says why there was no answer; then `status` is 0. `request_id` is the X-Request-Id of the answer.
    """

    number: int
    due_s: float
    sent_s: float
    seconds: float
    status: int = 0
    fields: Headers = ()
    body: bytes = b""
    error: str = ""
    request_id: str = ""
    unsent: bool = False
    """Nothing of it went out: no connection could be made. A run that is resumed sends it."""
