"""§ Step 4: the proxy process. Gathers what servers and workers say, asks `Dispatch`, sends what it decides.

A turn handles whatever has arrived on both sockets and deals once at its end, so a batch leaves as one frame. When the
queue is full `in` is not read: its senders' sockets fill up and they stop reading in their turn.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal

import uvloop
import zmq
from msgspec import structs

from primectl.clock import SystemClock
from primectl.config.topology import loopback, pool_in, pool_out
from primectl.control import child
from primectl.control.report import Reporter
from primectl.control.sockets import BATCH_QUEUE, Frames, connect_present, open_socket, readable, receive, try_send
from primectl.errors import WireError
from primectl.message import Response
from primectl.proxy.dispatch import (
    AskWho,
    Dispatch,
    DispatchAction,
    GiveUp,
    JobsArrived,
    RequestsCancelled,
    SendCancel,
    SendGoodbye,
    SendJobs,
    TurnEnded,
    WorkerLost,
    WorkerSpoke,
)
from primectl.wire import frames
from primectl.wire.control import KillNow, ProcessGone, Retire
from primectl.wire.job import (
    URGENT,
    Answer,
    Answers,
    Cancel,
    Goodbye,
    Jobs,
    WhoIsThere,
    WireJob,
    request_name,
    request_of,
)
from primectl.wire.stats import Acknowledged, ProxySample, Role

MESSAGES_A_TURN = 256
SAMPLE_S = 0.25
IDLE_SAMPLE_S = 1.0
SILENCE_S = 1.5
"""A worker not heard for this long is asked something, to learn whether it is still connected; it beats each second."""
HELD_ANSWERS = 1000
"""Answers kept for a server that is not connected just now; the oldest is dropped beyond it."""


class Proxy:
    """The sockets of one pool, and the loop's callbacks."""

    def __init__(self, me: child.Child, pool: str, loop: asyncio.AbstractEventLoop) -> None:
        config = me.cluster.config
        place = me.cluster.place
        settings = config.pools[pool]
        self._me = me
        self._loop = loop
        self._clock = SystemClock()
        self._dispatch = Dispatch(
            prefetch=None if settings.prefetch == "auto" else settings.prefetch,
            max_queue=settings.max_queue,
            max_attempts=settings.max_attempts,
            retry={"idempotent": None, "always": True, "never": False}[settings.retry],
        )
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._in = open_socket(self._context, zmq.ROUTER, queue=BATCH_QUEUE)
        self._out = open_socket(self._context, zmq.ROUTER, queue=BATCH_QUEUE, linger_ms=200)
        # A job for a worker that is no longer connected must be refused to us, not dropped.
        self._out.set(zmq.ROUTER_MANDATORY, 1)
        self._out.set(zmq.ROUTER_HANDOVER, 1)
        self._out.bind(place.endpoint(pool_out(pool)))
        self._in.bind(place.endpoint(pool_in(pool)))
        self._place = place
        self._loopbacks: dict[str, zmq.Socket[bytes]] = {}
        self._unsent: list[tuple[str, bytes]] = []
        self._reporter = Reporter(self._context, place, me.id, me.incarnation, Role.PROXY, pool)
        self._counters = {"malformed": 0, "answers_dropped": 0}
        self._retiring = False
        self._scheduled = False
        self._upstream_waits = False
        self._changed = True
        self._sampled = 0.0
        self.done = loop.create_future()

    def start(self) -> None:
        self._loop.add_reader(self._in.fileno(), self._turn, True, False)
        self._loop.add_reader(self._out.fileno(), self._turn, False, True)
        self._loop.add_reader(self._reporter.commands.fileno(), self._obey)
        self._loop.add_signal_handler(signal.SIGTERM, self._retire)
        self._obey()
        self._turn()
        self._tick()

    # --- gather, ask, perform -----------------------------------------------------------------------------------------

    def _turn(self, upstream: bool = True, workers: bool = True) -> None:
        """Read the sockets that may have something (asking one costs two system calls), deal, send."""
        now = self._clock.monotonic()
        dispatch = self._dispatch
        actions: list[DispatchAction] = []
        more_below = more_above = False
        if workers:
            heard = receive(self._out, MESSAGES_A_TURN)
            more_below = len(heard) == MESSAGES_A_TURN
            for message in heard:
                actions += self._from_worker(message, now)
        if self._upstream_waits or upstream:
            self._upstream_waits = dispatch.full  # read on when there is room again
            if not dispatch.full:
                offered = receive(self._in, MESSAGES_A_TURN)
                more_above = len(offered) == MESSAGES_A_TURN
                for message in offered:
                    actions += self._from_upstream(message, now)
        actions += dispatch.handle(TurnEnded(), now)
        self._changed = True
        sent = bool(actions)
        while actions:
            lost = self._perform(actions)
            actions = [action for event in lost for action in dispatch.handle(event, now)]
            if lost:
                actions += dispatch.handle(TurnEnded(), now)
        # A send may use up the edge that an arrival made at the same socket.
        room = self._upstream_waits and not dispatch.full
        if room or more_above or more_below or (sent and readable(self._out)):
            self._again()
        elif self._retiring and dispatch.empty and not self.done.done():
            self.done.set_result(None)

    def _again(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._scheduled = False
        self._turn()

    def _from_worker(self, message: Frames, now: float) -> list[DispatchAction]:
        if len(message) != 2:
            self._counters["malformed"] += 1
            return []
        address, frame = message
        try:
            said = frames.from_worker(frame)
        except WireError:
            self._counters["malformed"] += 1
            return []
        return self._dispatch.handle(WorkerSpoke(address.removeprefix(URGENT), said), now)

    def _from_upstream(self, message: Frames, now: float) -> list[DispatchAction]:
        if len(message) != 2:
            self._counters["malformed"] += 1
            return []
        try:
            said = frames.to_proxy(message[1])
        except WireError:
            self._counters["malformed"] += 1
            return []
        if type(said) is Jobs:
            return self._dispatch.handle(JobsArrived(said.jobs), now)
        return self._dispatch.handle(RequestsCancelled(said.requests), now)

    def _perform(self, actions: list[DispatchAction]) -> list[WorkerLost]:
        """Send; return the workers that turned out to be gone."""
        lost: list[WorkerLost] = []
        for action in actions:
            kind = type(action)
            if kind is SendJobs:
                self._to_worker(action.address, Jobs(action.jobs), lost)  # type: ignore[union-attr]
            elif kind is GiveUp:
                self._give_up(action.job, action.status, action.detail)  # type: ignore[union-attr]
            elif kind is SendCancel:
                self._to_worker(URGENT + action.address, Cancel(action.requests), lost)  # type: ignore[union-attr]
            elif kind is SendGoodbye:
                self._to_worker(action.address, Goodbye(), lost)  # type: ignore[union-attr]
            else:
                assert kind is AskWho
                self._to_worker(URGENT + action.address, WhoIsThere(), lost)  # type: ignore[union-attr]
        return lost

    def _to_worker(self, address: bytes, message: object, lost: list[WorkerLost]) -> None:
        try:
            if try_send(self._out, [address, frames.encode(message)]) or type(message) is not Jobs:
                return  # a worker too busy to read what is no job is told it again, or can do without
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
        if (event := self._dispatch.seat(address.removeprefix(URGENT))) is not None and event not in lost:
            lost.append(event)

    def _give_up(self, job: WireJob, status: int, detail: str) -> None:
        name = request_name(request_of(job.id))
        self._me.log.warn(f"request {name} is given up with {status}: {detail}")
        answer = Response.problem(status, detail, name)
        frame = frames.encode(Answers([Answer(job.id, status, answer.fields, answer.body, self._me.id, job.attempt)]))
        self._unsent.append((job.origin, frame))
        self._flush()

    def _flush(self) -> None:
        """Send kept answers; those whose server is not connected stay for the next tick, up to `HELD_ANSWERS`."""
        kept: list[tuple[str, bytes]] = []
        for origin, frame in self._unsent:
            socket = self._loopbacks.get(origin)
            if socket is None:
                endpoint = self._place.endpoint(loopback(origin))
                socket = connect_present(self._context, zmq.PUSH, endpoint, linger_ms=500)
                self._loopbacks[origin] = socket
            if not try_send(socket, [frame]):
                kept.append((origin, frame))
        dropped = max(0, len(kept) - HELD_ANSWERS)
        self._counters["answers_dropped"] += dropped
        self._unsent = kept[dropped:]

    # --- the supervisor -----------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        for command in self._reporter.receive():
            if isinstance(command, ProcessGone):
                self._turn()  # its last words first: what it has finished is not run again
                now = self._clock.monotonic()
                self._perform(self._dispatch.handle(WorkerLost(command.process, command.incarnation), now))
                self._again()
            elif isinstance(command, Retire):
                self._reporter.publish(Acknowledged(command.command))
                self._retire()
            elif isinstance(command, KillNow):
                os._exit(0)

    def _retire(self) -> None:
        self._retiring = True
        self._again()

    def _tick(self) -> None:
        now = self._clock.monotonic()
        if self._unsent:
            self._flush()
        lost: list[WorkerLost] = []
        silent = self._dispatch.silent(now - SILENCE_S, now)
        for address in silent:
            self._to_worker(URGENT + address, WhoIsThere(), lost)
        if silent:
            self._again()
        for event in lost:
            self._me.log.warn(f"{event.worker} is no longer connected")
            self._perform(self._dispatch.handle(event, now))
        if self._changed or now - self._sampled >= IDLE_SAMPLE_S:
            self._changed = False
            self._sampled = now
            self._reporter.publish(self._sample(now))
            self._me.log.rotate_if_large()
        self._loop.call_later(SAMPLE_S, self._tick)

    def _sample(self, now: float) -> ProxySample:
        pool = self._dispatch.snapshot(now)
        counters = {
            **pool.counters,
            **self._counters,
            "malformed_commands": self._reporter.malformed,
            "log_lines_dropped": self._me.log.dropped,
        }
        return structs.replace(pool, counters=counters)

    def close(self) -> None:
        self._reporter.publish(self._sample(self._clock.monotonic()))
        self._reporter.close()
        for socket in (self._in, self._out, *self._loopbacks.values()):
            socket.close()
        self._context.term()


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
