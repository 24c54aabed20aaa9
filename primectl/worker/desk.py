"""§ What the two threads of a worker share.

Who may touch what: `lock` guards the duty, the outbox and the stream that is being sent. The sockets of the main thread
(`work`, and those of the outbox) are its own while no job runs; while one runs they belong to whoever holds the lock.
Since a job begins and ends under the lock, both never use them at once.
"""

from __future__ import annotations

import os
import select
import threading
from math import ceil
from typing import TYPE_CHECKING

import zmq

from primectl.config.affinity import Affinity
from primectl.config.topology import pool_out
from primectl.control.child import Child, reread
from primectl.control.sockets import BATCH_QUEUE, open_socket, try_send
from primectl.errors import WireError
from primectl.wire import frames
from primectl.wire.job import URGENT, Announce, HandBack, JobId, work_lane
from primectl.worker.duty import Duty
from primectl.worker.outbox import Outbox

if TYPE_CHECKING:
    from primectl.worker.stream import Stream


REREAD_S = 1.0


class Desk:
    """One worker's jobs, its links to its proxy, and the means by which its threads wake each other."""

    def __init__(self, me: Child, pool: str) -> None:
        place, config = me.cluster.place, me.cluster.config
        self.me = me
        self.pool = pool
        self.lock = threading.Lock()
        self.duty = Duty(config.pools[pool].kill_after)
        self.stream: Stream | None = None
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.lane = work_lane(me.id, me.incarnation)
        endpoint = place.endpoint(pool_out(pool))
        self.work = self._lane(self.lane, endpoint)
        self.urgent = self._lane(URGENT + self.lane, endpoint)
        self.outbox = Outbox(self.context, place, config, self.work)
        self.affinity = Affinity(config, me.cluster.import_path, me.log.error)
        self.pools = frozenset(config.pools)
        self.max_hops = config.cluster.max_hops
        self._reread_at = 0.0
        self.jobs = 0
        self.failed = 0
        self.counters = {"cancelled": 0, "expired": 0, "malformed": 0}
        self.announce_due = True
        """The proxy is to be told what is held, by the main thread."""
        self.watchdog_rests = True
        """The watchdog wants to be woken when a job begins."""
        self.pulse_asked: float | None = None
        """Since when the watchdog waits for a sign of the main thread, which does nothing but set this to None."""
        self.left = False
        self.main_wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watchdog_wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._news = select.poll()
        self._news.register(self.main_wake, select.POLLIN)

    def _lane(self, identity: bytes, endpoint: str) -> zmq.Socket[bytes]:
        socket = open_socket(self.context, zmq.DEALER, queue=BATCH_QUEUE, identity=identity, linger_ms=500)
        socket.connect(endpoint)
        return socket

    def reread(self) -> None:
        """Take from cluster.json what can be taken while running; in either thread, outside of the lock."""
        cluster = reread(self.me)
        if cluster is None:
            return
        config = cluster.config
        affinity = Affinity(config, cluster.import_path, self.me.log.error)
        affinity.errors = self.affinity.errors
        with self.lock:
            self.pools = frozenset(config.pools)
            self.max_hops = config.cluster.max_hops
            if not self.affinity.is_for(config):
                self.affinity = affinity
            if self.pool in config.pools:
                self.duty.configure(config.pools[self.pool].kill_after)

    def knows(self, pool: str, now: float) -> bool:
        """Whether there is such a pool; cluster.json is asked for one that is not known, once a second at most."""
        if pool not in self.pools and now >= self._reread_at:
            self._reread_at = now + REREAD_S
            self.reread()
        return pool in self.pools

    def rouse_main(self) -> None:
        os.eventfd_write(self.main_wake, 1)

    def rouse_watchdog(self) -> None:
        os.eventfd_write(self.watchdog_wake, 1)

    def wait_for_news(self, timeout_s: float | None) -> None:
        """In the main thread: until `rouse_main`, at most so long."""
        if self._news.poll(None if timeout_s is None else ceil(timeout_s * 1000)):
            os.eventfd_read(self.main_wake)

    def decode(self, message: list[bytes]) -> object:
        """What the proxy says; None, and counted, when it is none of our messages."""
        if len(message) == 1:
            try:
                return frames.to_worker(message[0])
            except WireError:
                pass
        self.counters["malformed"] += 1
        return None

    # --- under the lock -----------------------------------------------------------------------------------------------

    def drop(self, jobs: list[JobId], why: str) -> None:
        """Jobs that shall not begin: counted, and off the proxy's books with the next `Done`."""
        if jobs:
            self.outbox.dropped(jobs)
            self.counters[why] += len(jobs)

    def hand_back(self, lane: zmq.Socket[bytes]) -> None:
        """What has not begun goes to others. What the proxy cannot be told now stays here."""
        waiting = self.duty.waiting
        if waiting and try_send(lane, [frames.encode(HandBack(waiting))]):
            self.duty.let_go()

    def announce(self) -> None:
        holds = [*self.outbox.unsaid, *self.duty.holds()]
        try_send(self.work, [frames.encode(Announce(self.me.id, self.me.incarnation, holds, self.outbox.key))])

    # ------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        self.outbox.close()
        self.work.close()
        self.urgent.close()
        self.context.term()
        os.close(self.main_wake)
        os.close(self.watchdog_wake)
