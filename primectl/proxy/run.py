"""§ Step 4: the proxy process. Gathers what servers and workers say, asks `Dispatch`, sends what it decides.

A turn handles whatever has arrived on both sockets and deals once at its end, so a batch leaves as one frame. When the
queue is full `in` is not read: its senders' sockets fill up and they stop reading in their turn.

That a worker is gone shows in three ways, and the first one counts: the supervisor says so; a connection of `out` ends,
whereupon workers are asked something, those that hold jobs first, which the socket refuses to send to one that is not
there; or a worker that has been silent is asked.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path
from typing import TypedDict

import uvloop
import zmq
from msgspec import structs

from primectl.clock import SystemClock
from primectl.config.model import Config
from primectl.config.topology import BEGUN, pool_in, pool_out, server_ids
from primectl.control import child
from primectl.control.begun import read_begun
from primectl.control.memory import Heap
from primectl.control.notes import Begun
from primectl.control.report import Reporter
from primectl.control.sockets import BATCH_QUEUE, Frames, open_socket, readable, receive, try_send
from primectl.control.ways import let_in
from primectl.errors import WireError
from primectl.proxy.answers import GivenUp
from primectl.proxy.dispatch import Dispatch
from primectl.proxy.events import (
    AskWho,
    DispatchAction,
    DispatchEvent,
    DrainAsked,
    GiveUp,
    JobsArrived,
    JobsSentAgain,
    NotesRead,
    PassAllow,
    ReadNotes,
    RequestsCancelled,
    ResumeAsked,
    RosterTold,
    SendCancel,
    SendGoodbye,
    SendJobs,
    TellStuck,
    Ticked,
    TurnEnded,
    WorkerLost,
    WorkerSpoke,
)
from primectl.wire import frames
from primectl.wire.control import Command, Drain, KillNow, ProcessGone, Reread, Resume, Retire, Roster
from primectl.wire.job import URGENT, Announce, Cancel, Goodbye, Jobs, JobsAgain, WhoIsThere, request_name
from primectl.wire.stats import Acknowledged, ProxySample, Role, WorkerStuck

MESSAGES_A_TURN = 256
MESSAGES_AT_ONCE = 16
"""Read from `in` before it is asked again whether the queue is full."""
SAMPLE_S = 0.25
IDLE_SAMPLE_S = 1.0
RETIRE_S = 0.5
"""A retired proxy that has not become empty by now leaves its work to its successor …"""
RETIRE_MOST_S = 5.0
"""… unless it has what nobody would send again; but no longer than this."""
LOOK_AGAIN_S = 0.02
SILENCE_S = 1.5
"""A worker not heard for this long is asked something, to learn whether it is still connected; it beats each second."""
PROBES_S = (0.001, 0.02)
"""When to ask those that hold jobs after a connection has ended: its last words are read first, and the socket, which
tells of the end before it has taken note of it, may need a moment. Ends that come together are asked about once."""
LAST_PROBE_S = 0.2
"""When to ask everybody, once no further connection ends."""


class Proxy:
    """The sockets of one pool, and the loop's callbacks."""

    def __init__(self, me: child.Child, pool: str, loop: asyncio.AbstractEventLoop) -> None:
        config = me.cluster.config
        place = me.cluster.place
        self._me = me
        self._pool = pool
        self._loop = loop
        self._clock = SystemClock()
        self._dispatch = Dispatch(**_rules(config, pool))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._in = open_socket(self._context, zmq.ROUTER, queue=BATCH_QUEUE)
        self._out = open_socket(self._context, zmq.ROUTER, queue=BATCH_QUEUE, linger_ms=200)
        # A job for a worker that is no longer connected must be refused to us, not dropped.
        self._out.set(zmq.ROUTER_MANDATORY, 1)
        self._out.set(zmq.ROUTER_HANDOVER, 1)
        self._ends: zmq.Socket[bytes] = self._out.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._out.bind(place.endpoint(pool_out(pool)))
        let_in(place, pool_out(pool))
        self._in.bind(place.endpoint(pool_in(pool)))
        let_in(place, pool_in(pool))
        self._place = place
        self._given_up = GivenUp(self._context, place, server_ids(config), me.id, me.log)
        self._reporter = Reporter(self._context, place, me.id, me.incarnation, Role.PROXY, pool)
        self._commands: list[Command] = []
        self._malformed = 0
        self._retiring = False
        self._probes: dict[float, asyncio.TimerHandle] = {}
        """By their delays."""
        self._scheduled = False
        self._upstream_waits = False
        self._changed = True
        self._sampled = 0.0
        self._heap = Heap()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self.done = loop.create_future()

    def start(self) -> None:
        self._loop.add_reader(self._in.fileno(), self._turn, True, False)
        self._loop.add_reader(self._out.fileno(), self._turn, False, True)
        self._loop.add_reader(self._reporter.commands.fileno(), self._obey)
        self._loop.add_reader(self._ends.fileno(), self._on_ends)
        self._loop.add_signal_handler(signal.SIGTERM, self._retire)
        self._obey()
        self._on_ends()
        self._turn()
        self._tick()

    # --- gather, ask, perform -----------------------------------------------------------------------------------------

    def _turn(self, upstream: bool = True, workers: bool = True) -> None:
        """Read the sockets that may have something (asking one costs two system calls), deal, send."""
        now = self._clock.monotonic()
        dispatch = self._dispatch
        actions: list[DispatchAction] = []
        more = False
        if workers:
            heard = receive(self._out, MESSAGES_A_TURN)
            more = len(heard) == MESSAGES_A_TURN
            for message in heard:
                actions += self._from_worker(message, now)
        if upstream or self._upstream_waits:
            more |= self._read_upstream(actions, now)
        actions += dispatch.handle(TurnEnded(), now)
        # A send may use up the edge that an arrival made at the same socket.
        if (self._carry_out(actions, now) and readable(self._out)) or more:
            self._again()
        self._settle()

    def _read_upstream(self, actions: list[DispatchAction], now: float) -> bool:
        """Read `in` for as long as there is room; True when it has more than belongs to one turn."""
        read = 0
        while read < MESSAGES_A_TURN and not self._dispatch.full:
            offered = receive(self._in, MESSAGES_AT_ONCE)
            for message in offered:
                actions += self._from_upstream(message, now)
            read += len(offered)
            if len(offered) < MESSAGES_AT_ONCE:
                break
        self._upstream_waits = self._dispatch.full
        return read >= MESSAGES_A_TURN

    def _carry_out(self, actions: list[DispatchAction], now: float) -> bool:
        """Perform, tell the core what came of it, perform that; True when anything was done."""
        done = bool(actions)
        while actions:
            events = self._perform(actions, now)
            actions = [action for event in events for action in self._dispatch.handle(event, now)]
            if events:
                actions += self._dispatch.handle(TurnEnded(), now)
        self._tell_expired(now)
        return done

    def _settle(self) -> None:
        """After anything that may have moved a job."""
        self._changed = True
        if self._upstream_waits and not self._dispatch.full:
            self._again()
        elif self._retiring and self._dispatch.empty and not self._scheduled and not self.done.done():
            self.done.set_result(None)
        deadline = self._dispatch.next_deadline()
        if deadline is not None and (self._alarm is None or deadline < self._alarm_at):
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = deadline
            self._alarm = self._loop.call_later(max(0.0, deadline - self._clock.monotonic()), self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        now = self._clock.monotonic()
        self._carry_out(self._dispatch.handle(Ticked(), now), now)
        self._settle()

    def _again(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._scheduled = False
        self._turn()

    def _from_worker(self, message: Frames, now: float) -> list[DispatchAction]:
        if len(message) != 2:
            self._malformed += 1
            return []
        address, frame = message
        try:
            said = frames.from_worker(frame)
        except WireError:
            self._malformed += 1
            return []
        notes = False
        if type(said) is Announce:
            # A roster was sent before the word that made this worker announce itself, so it is here if there is one.
            self._hear_supervisor()
            notes = Path(self._place.begun_file(said.worker)).exists()
        elif type(said) is Cancel:
            self._tell_where(said, now)
        return self._dispatch.handle(WorkerSpoke(address.removeprefix(URGENT), said, notes), now)

    def _from_upstream(self, message: Frames, now: float) -> list[DispatchAction]:
        if len(message) != 2:
            self._malformed += 1
            return []
        try:
            said: Jobs | JobsAgain | Cancel = frames.to_proxy(message[1])
        except WireError:
            self._malformed += 1
            return []
        if type(said) is Jobs:
            return self._dispatch.handle(JobsArrived(said.jobs), now)
        if type(said) is JobsAgain:
            return self._dispatch.handle(JobsSentAgain(said.jobs), now)
        assert type(said) is Cancel
        self._tell_where(said, now)
        return self._dispatch.handle(RequestsCancelled(said.requests), now)

    def _tell_where(self, cancel: Cancel, now: float) -> None:
        for server, whereabouts in self._dispatch.whereabouts(self._pool, cancel.requests, now):
            self._given_up.tell(server, whereabouts)

    def _tell_expired(self, now: float) -> None:
        for server, whereabouts in self._dispatch.expired(self._pool, now):
            self._given_up.tell(server, whereabouts)

    def _perform(self, actions: list[DispatchAction], now: float) -> list[DispatchEvent]:
        """Send; return what came of it: workers that turned out to be gone, notes that were asked for."""
        came: list[DispatchEvent] = []
        lost: dict[tuple[str, int], bool] = {}
        gave_up = False
        for action in actions:
            kind = type(action)
            if kind is SendJobs:
                self._to_worker(action.address, Jobs(action.jobs), lost)  # type: ignore[union-attr]
            elif kind is GiveUp:
                self._given_up.add(action, now)  # type: ignore[arg-type]
                gave_up = True
            elif kind is SendCancel:
                self._to_worker(URGENT + action.address, Cancel(action.requests), lost)  # type: ignore[union-attr]
            elif kind is PassAllow:
                self._to_worker(URGENT + action.address, action.allow, lost)  # type: ignore[union-attr]
            elif kind is SendGoodbye:
                self._to_worker(action.address, Goodbye(), lost)  # type: ignore[union-attr]
            elif kind is AskWho:
                self._to_worker(URGENT + action.address, WhoIsThere(), lost)  # type: ignore[union-attr]
            elif kind is TellStuck:
                self._tell_stuck(action)  # type: ignore[arg-type]
            else:
                assert kind is ReadNotes
                came.append(NotesRead(self._read_notes()))
        if gave_up:
            self._given_up.flush()
        return [*(self._cut_off(*worker, unsent=unsent) for worker, unsent in lost.items()), *came]

    def _to_worker(self, address: bytes, message: object, lost: dict[tuple[str, int], bool]) -> None:
        """`lost` gets the worker behind `address` if it is no longer connected, and whether these were jobs for it."""
        sent = self._is_taken(address, message)
        if sent or (sent is None and type(message) is not Jobs):
            return  # a worker too busy to read what is no job is told it again, or can do without
        lane = address.removeprefix(URGENT)
        worker = self._dispatch.worker_at(lane)
        if worker is None or (lane != address and self._is_taken(lane, WhoIsThere()) is not False):
            return  # its urgent lane is not up yet, or will be again: a worker is lost with its work lane
        lost[worker] = type(message) is Jobs

    def _is_taken(self, address: bytes, message: object) -> bool | None:
        """Send; None when the peer's queue is full, False when there is no such peer."""
        try:
            return try_send(self._out, [address, frames.encode(message)]) or None
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            return False

    def _tell_stuck(self, action: TellStuck) -> None:
        request = request_name(action.request)
        self._me.log.warn(f"{action.worker} does not let go of the cancelled request {request}")
        self._reporter.publish(WorkerStuck(action.worker, action.incarnation, request))

    # --- workers that are gone ----------------------------------------------------------------------------------------

    def _on_ends(self) -> None:
        """A connection of `out` has ended; whose is not told."""
        ended = False
        while readable(self._ends):
            self._ends.recv_multipart(zmq.NOBLOCK)
            ended = True
        if not ended:
            return
        for delay_s in PROBES_S:
            if delay_s not in self._probes:
                self._probes[delay_s] = self._loop.call_later(delay_s, self._probe, delay_s)
        if (last := self._probes.pop(LAST_PROBE_S, None)) is not None:
            last.cancel()
        self._probes[LAST_PROBE_S] = self._loop.call_later(LAST_PROBE_S, self._probe, LAST_PROBE_S)

    def _probe(self, delay_s: float) -> None:
        del self._probes[delay_s]
        self._turn()
        self._ask(self._dispatch.addresses() if delay_s == LAST_PROBE_S else self._dispatch.holders())

    def _ask(self, addresses: list[bytes]) -> None:
        """Ask these workers who they are: one that is no longer connected cannot be asked."""
        lost: dict[tuple[str, int], bool] = {}
        for address in addresses:
            self._to_worker(URGENT + address, WhoIsThere(), lost)
        now = self._clock.monotonic()
        for worker in lost:
            self._me.log.warn(f"{worker[0]} is no longer connected")
            self._carry_out(self._dispatch.handle(self._cut_off(*worker), now), now)
        if addresses:
            self._again()

    def _cut_off(self, worker: str, incarnation: int, *, unsent: bool = False) -> WorkerLost:
        """One that is not connected. If it lives (it was stopped for long), it may still begin what it holds."""
        if unsent:
            return WorkerLost(worker, incarnation, unsent=True)
        begun = self._notes(worker, incarnation)
        return WorkerLost(worker, incarnation, begun if begun is not None and not begun.alive else None)

    def _notes(self, worker: str, incarnation: int) -> Begun | None:
        if not self._dispatch.holds(worker, incarnation):
            return None
        return read_begun(self._place.begun_file(worker))

    def _read_notes(self) -> dict[str, Begun]:
        notes: dict[str, Begun] = {}
        for path in Path(self._place.runtime).glob(f"{self._pool}.*{BEGUN}"):
            if (begun := read_begun(str(path))) is not None:
                notes[path.name.removesuffix(BEGUN)] = begun
        return notes

    # --- the supervisor -----------------------------------------------------------------------------------------------

    def _hear_supervisor(self) -> None:
        """Take in its commands, and heed at once who is to be waited for; the rest is left to `_obey`."""
        arrived = self._reporter.receive()
        for command in arrived:
            if isinstance(command, Roster):
                now = self._clock.monotonic()
                self._dispatch.handle(RosterTold(command.workers), now)
        if arrived:
            self._commands += arrived
            self._loop.call_soon(self._obey)

    def _obey(self) -> None:
        self._hear_supervisor()
        commands, self._commands = self._commands, []
        for command in commands:
            now = self._clock.monotonic()
            if isinstance(command, ProcessGone):
                self._given_up.server_gone(command.process)
                self._turn()  # its last words first: what it has finished is not run again
                begun = self._notes(command.process, command.incarnation)
                lost = WorkerLost(command.process, command.incarnation, begun)
                self._carry_out(self._dispatch.handle(lost, now), now)
            elif isinstance(command, Drain):
                self._dispatch.handle(DrainAsked(command.workers), now)
                self._reporter.publish(Acknowledged(command.command))
            elif isinstance(command, Resume):
                self._dispatch.handle(ResumeAsked(command.workers), now)
                self._reporter.publish(Acknowledged(command.command))
            elif isinstance(command, Retire):
                self._reporter.publish(Acknowledged(command.command))
                self._retire()
            elif isinstance(command, Reread):
                self._reread()
                self._reporter.publish(Acknowledged(command.command))
            elif isinstance(command, KillNow):
                os._exit(0)
        if commands:
            self._again()

    def _reread(self) -> None:
        """The pool's settings as cluster.json has them now; those of a pool that is no more stay."""
        cluster = child.reread(self._me)
        if cluster is not None and self._pool in cluster.config.pools:
            self._dispatch.configure(self._clock.monotonic(), **_rules(cluster.config, self._pool))

    def _retire(self) -> None:
        """Leave once nothing is here. Where work never ceases, a successor takes it over after a moment."""
        if not self._retiring:
            self._retiring = True
            now = self._clock.monotonic()
            self._loop.call_later(RETIRE_S, self._hand_over, now + RETIRE_MOST_S)
        self._again()

    def _hand_over(self, deadline: float) -> None:
        self._turn()
        if self._dispatch.keeps_the_only_copy and self._clock.monotonic() < deadline:
            self._loop.call_later(LOOK_AGAIN_S, self._hand_over, deadline)
        elif not self.done.done():
            self.done.set_result(None)

    def _tick(self) -> None:
        now = self._clock.monotonic()
        self._given_up.flush()
        self._heap.note(self._dispatch.waiting_bytes)
        silent = self._dispatch.silent(now - SILENCE_S, now)
        if silent:
            self._ask(silent)
        if self._changed or now - self._sampled >= IDLE_SAMPLE_S:
            self._changed = False
            self._sampled = now
            self._reporter.publish(self._sample(now))
            self._given_up.log_refusals()
            self._me.log.tend()
        self._loop.call_later(SAMPLE_S, self._tick)

    def _sample(self, now: float) -> ProxySample:
        pool = self._dispatch.snapshot(now)
        counters = {
            **pool.counters,
            "malformed": self._malformed,
            "answers_dropped": self._given_up.dropped,
            "malformed_commands": self._reporter.malformed,
            "log_lines_dropped": self._me.log.dropped,
        }
        return structs.replace(pool, counters=counters)

    def close(self) -> None:
        self._reporter.publish(self._sample(self._clock.monotonic()))
        self._reporter.close()
        self._given_up.close()
        self._out.disable_monitor()
        for socket in (self._in, self._out, self._ends):
            socket.close()
        self._context.term()


class _Rules(TypedDict):
    """What `Dispatch` wants to know of the config."""

    prefetch: int | None
    max_queue: int
    max_attempts: int
    retry: bool | None
    kill_after: float
    worker_timeout: float
    request_timeout: float


def _rules(config: Config, pool: str) -> _Rules:
    settings = config.pools[pool]
    return {
        "prefetch": None if settings.prefetch == "auto" else settings.prefetch,
        "max_queue": settings.max_queue,
        "max_attempts": settings.max_attempts,
        "retry": {"idempotent": None, "always": True, "never": False}[settings.retry],
        "kill_after": settings.kill_after,
        "worker_timeout": settings.worker_timeout,
        "request_timeout": config.server.request_timeout,
    }


async def run(me: child.Child) -> None:
    proxy = Proxy(me, me.id.removeprefix("proxy."), asyncio.get_running_loop())
    proxy.start()
    try:
        await proxy.done
    finally:
        proxy.close()


def main() -> None:
    options = child.arguments("primectl.proxy", ("--id", "--incarnation"))
    me = child.become(child.read_cluster_file(options.cluster_file), options.id, int(options.incarnation))
    uvloop.run(run(me))
    child.leave()
