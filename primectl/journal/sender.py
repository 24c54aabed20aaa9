"""§ Sends the steps of a replay, each when it is due, and says what became of it.

There is one clock: a step is due so many seconds after the run's start, whatever became of those before it. One that
cannot go out then, since as many are open as may be, goes out as soon as it can; how late that was is told.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from primectl.clock import SystemClock
from primectl.http.address import parse_address
from primectl.http.answer import AskingFailed
from primectl.http.client import Pool, Question, trusting
from primectl.http.question import encode_question
from primectl.journal.brake import Brake, Brakes, Figures
from primectl.journal.steps import Outcome, Plan, Step
from primectl.message import Response
from primectl.wire.journal import REPLAY_HEADER

STOPPED: Final = "stopped"
"""`Ended.reason` when it was asked to stop."""
CUT_OFF: Final = "the replay was stopped before the answer came"
LOOK_S: Final = 0.2
EARLY_S: Final = 0.0005
"""Timers of the loop count whole milliseconds: what is due within half of one goes out now."""
AT_ONCE: Final = 64
"""So many go out before answers are read again."""

_now = SystemClock().monotonic


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
    in_flight: int = 128
    timeout_s: float = 60.0
    brakes: tuple[Brake, ...] = ()
    grace_s: float = 5.0


class Progress(Struct, frozen=True):
    """`sent` of `total` have gone out, `open` of them have no answer yet; `waiting` are due and have not gone out.

    `lag_ms` is how late sending is now; see `Lag`.
    """

    sent: int
    total: int
    open: int
    waiting: int
    lag_ms: float
    seconds: float


class Lag(Struct, frozen=True):
    """How late steps went out. Where all steps are due at once none is late, and all of this is 0."""

    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


class Ended(Struct, frozen=True):
    """`reason` is "" when all was sent, STOPPED when it was asked to stop, else what the brake says. `not_sent` steps
    have had no outcome."""

    reason: str
    not_sent: int
    lag: Lag
    seconds: float


async def send(
    plan: Plan,
    target: Target,
    settings: Settings,
    on_outcome: Callable[[Step, Outcome], None],
    stop: asyncio.Event,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    look: Callable[[], Figures] | None = None,
) -> Ended:
    """Send all steps; returns when each that was sent has its outcome.

    `on_outcome` is called in order of completion, once for each step that was sent; `on_progress` about five times a
    second and at the end. When `stop` is set or a brake is pulled, no more go out, and those that are open have
    `settings.grace_s` to be answered. `look` asks the cluster, for brakes that need it. Raises ConfigError for a target
    that nobody could ask, and what a callback raises; nothing for a request that fails: its outcome says why.
    """
    run = _Run(plan, target, settings, on_outcome, on_progress, look)
    return await run.run(stop)


class _Asked(Question):
    __slots__ = ("step",)

    def __init__(self, step: Step, raw: bytes) -> None:
        super().__init__(step.outgoing.method, raw)
        self.step = step


class _Run:
    def __init__(
        self,
        plan: Plan,
        target: Target,
        settings: Settings,
        on_outcome: Callable[[Step, Outcome], None],
        on_progress: Callable[[Progress], None] | None,
        look: Callable[[], Figures] | None,
    ) -> None:
        address = parse_address(target.url)
        tls = trusting(target.certificate) if target.certificate and address.scheme == "https" else None
        self._authority = address.authority
        self._pool = Pool(address, self._ended, timeout_s=settings.timeout_s, tls=tls)
        self._steps = plan.steps
        self._due = array("d", [step.due_s for step in plan.steps])
        self._is_paced = any(self._due)
        self._settings = settings
        self._on_outcome = on_outcome
        self._on_progress = on_progress
        self._look = look
        self._brakes = Brakes(settings.brakes)
        self._lags = array("d")
        self._next = 0
        self._sent = 0
        self._reason: str | None = None
        """Why no more are sent; None while some are."""
        self._began = 0.0
        self._timer: asyncio.Handle | None = None
        self._ticker: asyncio.Handle | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> Ended:
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._halt(STOPPED))
        self._began = _now()
        try:
            self._turn()
            self._tick()
            await self._over
            seconds = _now() - self._began
            self._tell()
        finally:
            self._reason = self._reason or ""
            stopping.cancel()
            for handle in (self._timer, self._ticker):
                if handle is not None:
                    handle.cancel()
            await self._pool.close()
        return Ended(self._reason, len(self._steps) - self._sent, self._lag(), seconds)

    # --- sending

    def _is_sending(self) -> bool:
        return self._reason is None

    def _turn(self) -> None:
        self._timer = None
        self._send_due()
        self._end_if_done()

    def _send_due(self) -> None:
        """Send what is due, as far as there is room; come back when the next one is due."""
        if self._timer is not None:
            return  # nothing is due before it
        loop = asyncio.get_running_loop()
        due, end, room = self._due, len(self._steps), self._settings.in_flight
        at_most = self._next + AT_ONCE
        while self._is_sending() and self._next < end and self._pool.open < room:
            early = due[self._next] - (_now() - self._began)
            if early > EARLY_S:
                self._timer = loop.call_later(early, self._turn)
                return
            if self._next == at_most:
                self._timer = loop.call_soon(self._turn)
                return
            step = self._steps[self._next]
            self._next += 1
            self._sent += 1
            self._send(step)

    def _send(self, step: Step) -> None:
        outgoing = step.outgoing
        mark = (REPLAY_HEADER, f"{self._settings.run}/{step.entry.row.id}")
        try:
            raw = encode_question(
                outgoing.method, outgoing.target, (*outgoing.fields, mark), outgoing.body, self._authority
            )
        except ValueError as error:
            now_s = _now() - self._began
            self._report(step, Outcome(step.number, step.due_s, now_s, 0.0, error=f"cannot be sent: {error}"))
        else:
            self._pool.ask(_Asked(step, raw))

    # --- what comes of it

    def _ended(self, question: Question, end: Response | AskingFailed) -> None:
        assert isinstance(question, _Asked)
        step, now = question.step, _now()
        sent_at = question.sent_at or now
        sent_s = sent_at - self._began
        if question.sent_at:
            self._lags.append(sent_s - step.due_s)
        if isinstance(end, AskingFailed):
            outcome = Outcome(step.number, step.due_s, sent_s, now - sent_at, error=end.what, unsent=not end.connected)
            reason = self._brakes.ended(0, outcome.seconds, end.what, connected=end.connected)
        else:
            outcome = Outcome(
                step.number,
                step.due_s,
                sent_s,
                now - sent_at,
                end.status,
                end.fields,
                end.body,
                request_id=next((value for name, value in end.fields if name == "x-request-id"), ""),
            )
            reason = self._brakes.ended(end.status, outcome.seconds)
        if reason:
            self._stop(reason)
        # The next one goes out first: what is made of this outcome can wait.
        self._send_due()
        self._report(step, outcome)
        self._end_if_done()

    def _report(self, step: Step, outcome: Outcome) -> None:
        try:
            self._on_outcome(step, outcome)
        except BaseException as error:
            # We are called back by the loop, which would only log it: it is for who waits for the run.
            self._fail(error)

    def _halt(self, reason: str) -> None:
        self._stop(reason)
        self._end_if_done()

    def _stop(self, reason: str) -> None:
        """No more are sent; what waits for a connection was not sent, what is open has a while."""
        if self._reason is not None or self._over.done():
            return
        self._reason = reason
        self._sent -= len(self._pool.unsent())
        if self._timer is not None:
            self._timer.cancel()
        if self._pool.open:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._settings.grace_s, self._pool.cut_all, CUT_OFF)

    def _end_if_done(self) -> None:
        all_sent = self._next == len(self._steps)
        if not self._pool.open and (all_sent or not self._is_sending()) and not self._over.done():
            self._over.set_result(None)

    def _fail(self, error: BaseException) -> None:
        self._reason = self._reason or ""
        if not self._over.done():
            self._over.set_exception(error)

    # --- what is told meanwhile

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(LOOK_S, self._tick)
        try:
            reason = self._brakes.looked(self._lag_now(), self._look() if self._look else None)
            if reason:
                self._halt(reason)
            self._tell()
        except BaseException as error:
            self._fail(error)

    def _tell(self) -> None:
        if self._on_progress is not None:
            seconds = _now() - self._began
            waiting = bisect_right(self._due, seconds) - self._next if self._reason is None else 0
            self._on_progress(
                Progress(
                    self._sent,
                    len(self._steps),
                    self._pool.open,
                    max(0, waiting),
                    round(self._lag_now() * 1000, 3),
                    seconds,
                )
            )

    def _lag_now(self) -> float:
        """Of the step that is late, else of the last one that went out and has ended."""
        if not self._is_paced:
            return 0.0
        late = _now() - self._began - self._due[self._next] if self._next < len(self._due) else 0.0
        return max(late, self._lags[-1] if self._lags else 0.0, 0.0)

    def _lag(self) -> Lag:
        if not self._is_paced or not self._lags:
            return Lag()
        ordered = sorted(self._lags)
        p50, p99, longest = (
            round(max(0.0, ordered[min(int(len(ordered) * part), len(ordered) - 1)]) * 1000, 3)
            for part in (0.5, 0.99, 1.0)
        )
        return Lag(p50, p99, longest)
