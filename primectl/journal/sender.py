"""§ Sends the steps of a replay, each when it is due.

    async def send(
        plan: Plan,
        target: Target,
        settings: Settings,
        on_outcome: Callable[[Step, Outcome], None],
        stop: asyncio.Event,
        *,
        on_progress: Callable[[Progress], None] | None = None,    # about five times a second, and at the end
        look: Callable[[], Figures | None] | None = None,         # the cluster's figures, for brakes that need them
    ) -> Ended

`on_outcome` is called in order of completion, once for each step that was sent. Setting `stop` ends it cleanly. Nothing
is raised for a request that fails: its outcome says why.
"""

from __future__ import annotations

from msgspec import Struct

from primectl.journal.brake import Brake


class Target(Struct, frozen=True):
    """Where to send: "http://host:port", "https://host:port" or "unix:/path".

    `certificate` is a file of certificates to trust in place of the system's: then the name in it is not looked at,
    since a cluster's own certificate need not name the address that it listens at.
    """

    url: str
    certificate: str = ""


class Settings(Struct, frozen=True):
    """`run` is the run's name (8 hex digits), `in_flight` how many requests are open at once at most.

    `timeout_s` is for one request, `grace_s` for those that are open when the replay is stopped.
    """

    run: str
    in_flight: int = 64
    timeout_s: float = 60.0
    brakes: tuple[Brake, ...] = ()
    grace_s: float = 5.0


class Progress(Struct, frozen=True):
    """`sent` of `total` have gone out, `open` of them have no answer yet; `waiting` are due and have not gone out.

    `lag_ms` is how late sending is now.
    """

    sent: int
    total: int
    open: int
    waiting: int
    lag_ms: float
    seconds: float


class Lag(Struct, frozen=True):
    """How late steps went out."""

    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


class Ended(Struct, frozen=True):
    """`reason` is "" when all was sent, STOPPED when it was asked to stop, else what the brake says."""

    reason: str
    not_sent: int
    lag: Lag
    seconds: float
