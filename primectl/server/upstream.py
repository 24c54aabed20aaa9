"""§ Step 3: what a server sends to the pools, at the end of each turn of its loop; what is not taken, a moment later.

Jobs go to a proxy's `in`, which it stops reading when it is full. Cancels and the limits of streamed answers must not
wait behind them: they go by a lane to its `out`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import zmq

from primectl.clock import Clock
from primectl.config.topology import Place, pool_in, pool_out
from primectl.control.sockets import BATCH_QUEUE, open_socket, try_send, writable
from primectl.server.outgoing import Outgoing
from primectl.wire.job import Allow, JobId, RequestId, WireJob, server_lane

RETRY_S = 0.005
"""How soon what a full or absent proxy did not take is offered again, at first; twice as late each time …"""
RETRY_MOST_S = 0.05
"""… up to this."""
GATHERINGS = 4
"""Turns of the loop that a batch may wait while each brings more of it: clients that ask at once share a batch."""
LINGER_MS = 200


class _Pool:
    """One pool: its two sockets, and what waits for them."""

    __slots__ = ("lane", "outgoing", "stuck", "work")

    def __init__(self, work: zmq.Socket[bytes], lane: zmq.Socket[bytes]) -> None:
        self.work = work
        self.lane = lane
        self.outgoing = Outgoing()
        self.stuck = False
        """Its proxy did not take all the last time."""


class Upstream:
    """The links of one server to all pools."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        place: Place,
        pools: Iterable[str],
        server: str,
        incarnation: int,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        open_requests: Callable[[], int],
    ) -> None:
        self._context = context
        self._place = place
        self._loop = loop
        self._clock = clock
        self._open_requests = open_requests
        self._lane = server_lane(server, incarnation)
        self._pools: dict[str, _Pool] = {}
        self._add: dict[str, Callable[[WireJob], None]] = {}
        self.serve(pools)
        self._cancelled: dict[RequestId, float] = {}
        self._due = False
        self._fresh = 0
        """Jobs that came since the last flush; `_seen` of them had come when this was last looked at."""
        self._seen = 0
        self._gatherings = 0
        self._retry: asyncio.TimerHandle | None = None
        self._wait_s = RETRY_S

    def serve(self, pools: Iterable[str]) -> None:
        """These are the pools that there are now."""
        for pool in pools:
            if pool not in self._pools:
                work = _link(self._context, self._place.endpoint(pool_in(pool)))
                lane = _link(self._context, self._place.endpoint(pool_out(pool)), self._lane)
                self._pools[pool] = found = _Pool(work, lane)
                self._add[pool] = found.outgoing.add
        for pool in self._pools.keys() - set(pools):
            ended = self._pools.pop(pool)
            del self._add[pool]
            ended.work.close()
            ended.lane.close()

    def __contains__(self, pool: str) -> bool:
        return pool in self._pools

    @property
    def cancels_dropped(self) -> int:
        return sum(pool.outgoing.cancels_dropped for pool in self._pools.values())

    def send(self, pool: str, job: WireJob) -> None:
        self._add[pool](job)
        self._fresh += 1
        if not self._due:
            self._soon()

    def send_again(self, pool: str, jobs: list[WireJob]) -> None:
        """To a proxy that has taken over."""
        if pool in self._pools:
            self._pools[pool].outgoing.add_again(jobs)
            self._soon()

    def send_anew(self, pool: str, jobs: list[WireJob]) -> None:
        """To a proxy that is not new, since another one, behind it, is."""
        if pool in self._pools:
            self._pools[pool].outgoing.add_anew(jobs)
            self._soon()

    def cancel(self, request: RequestId, deadline: float) -> None:
        """Nobody waits for a request any more: it may be at any pool by now."""
        self._cancelled[request] = deadline
        self._soon()

    def allow(self, pool: str, allow: Allow) -> None:
        if pool in self._pools:
            self._pools[pool].outgoing.allow(allow)
            self._soon()

    def stream_ended(self, pool: str, job: JobId) -> None:
        """Nobody waits to be told a limit any more."""
        if pool in self._pools:
            self._pools[pool].outgoing.forget_stream(job)

    def flush(self) -> None:
        """Send what is due."""
        self._due = False
        self._fresh = self._seen = self._gatherings = 0
        if self._cancelled:
            self._recall()
        now = self._clock.monotonic()
        stuck = False
        for pool in self._pools.values():
            if not pool.outgoing.idle:
                pool.stuck = not self._send(pool, now)
                stuck = stuck or pool.stuck
        if not stuck:
            self._wait_s = RETRY_S
        elif self._retry is None:
            self._retry = self._loop.call_later(self._wait_s, self._flush_again)
            self._wait_s = min(2 * self._wait_s, RETRY_MOST_S)

    def _flush_again(self) -> None:
        self._retry = None
        self.flush()

    def close(self) -> None:
        for pool in self._pools.values():
            pool.work.close()
            pool.lane.close()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._gather)

    def _gather(self) -> None:
        """Flush once a turn of the loop has brought no further job, at once where no other request is under way."""
        shared = self._fresh < self._open_requests()
        if shared and self._fresh != self._seen and self._gatherings < GATHERINGS:
            self._seen = self._fresh
            self._gatherings += 1
            self._loop.call_soon(self._gather)
        else:
            self.flush()

    def _recall(self) -> None:
        """What has not left yet is just dropped; of the rest every pool is told."""
        cancelled, self._cancelled = self._cancelled, {}
        for pool in self._pools.values():
            for request in pool.outgoing.withdraw(frozenset(cancelled)):
                del cancelled[request]
        for request, deadline in cancelled.items():
            for pool in self._pools.values():
                pool.outgoing.cancel(request, deadline)

    def _send(self, pool: _Pool, now: float) -> bool:
        """Whether all of it has left."""
        outgoing = pool.outgoing
        for frame, message in outgoing.urgent(now):
            if not try_send(pool.lane, [frame]):
                break
            outgoing.urgent_sent(message)
        # Encoding what is not going to be taken would cost more than to ask.
        if pool.stuck and not writable(pool.work):
            return False
        if _send_all(pool.work, outgoing.again(), outgoing.again_sent):
            _send_all(pool.work, outgoing.jobs(), outgoing.jobs_sent)
        return outgoing.idle


def _send_all(link: zmq.Socket[bytes], batches: Iterable[tuple[bytes, int]], sent: Callable[[int], None]) -> bool:
    """Send until one is not taken; `sent` is told how many jobs have left."""
    total = 0
    for frame, count in batches:
        if not try_send(link, [frame]):
            break
        total += count
    else:
        sent(total)
        return True
    sent(total)
    return False


def _link(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, identity: bytes = b"") -> zmq.Socket[bytes]:
    """Nothing is queued for a proxy that is not there: it would be lost, or reach its successor out of turn."""
    socket = open_socket(context, zmq.DEALER, queue=BATCH_QUEUE, linger_ms=LINGER_MS, identity=identity)
    socket.set(zmq.IMMEDIATE, 1)
    socket.connect(endpoint)
    return socket
