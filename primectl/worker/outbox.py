"""§ Step 6: what a worker has ready to send: answers to servers, jobs to other pools, then the word that it is done.

Answers leave before `Done`: a job is off the proxy's books only when its answer is on its way.
"""

from __future__ import annotations

import time
from math import ceil

import zmq

from primectl.config.model import Config
from primectl.config.topology import Place, loopback, pool_in, server_ids
from primectl.control.sockets import connect_present, try_send
from primectl.wire import frames
from primectl.wire.frames import BATCH_BYTES
from primectl.wire.job import Answer, Answers, Done, JobId, Jobs, WireJob

LINGER_MS = 2000
POLL_S = 1.0
ABSENT_S = 2.0
"""How long an answer is kept for a server that is not connected; its clients went with it."""


class Outbox:
    """Batches by destination. Not thread-safe: the shell's lock is held around every call.

    `counters`: answers and forwards dropped because their receiver did not take them in time.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], place: Place, config: Config, work: zmq.Socket[bytes]):
        self._work = work
        self._loopbacks: dict[str, zmq.Socket[bytes]] = {}
        for server in server_ids(config):
            self._loopbacks[server] = connect_present(
                context, zmq.PUSH, place.endpoint(loopback(server)), linger_ms=LINGER_MS
            )
        self._pools: dict[str, zmq.Socket[bytes]] = {}
        self._context = context
        self._place = place
        self._answers: dict[str, list[Answer]] = {}
        self._forwards: dict[str, list[WireJob]] = {}
        self._bytes = 0
        self._finished: list[JobId] = []
        self._service_s = 0.0
        self._failed = 0
        self.counters = {"answers_dropped": 0, "forwards_dropped": 0}

    @property
    def large(self) -> bool:
        """Whether enough has gathered to be sent before the batch is done."""
        return self._bytes >= BATCH_BYTES

    def answer(self, origin: str, answer: Answer) -> None:
        self._answers.setdefault(origin, []).append(answer)
        self._bytes += len(answer.body)

    def forward(self, pool: str, job: WireJob) -> None:
        self._forwards.setdefault(pool, []).append(job)
        self._bytes += len(job.payload)

    def finished(self, job: JobId, service_s: float, failed: bool) -> None:
        self._finished.append(job)
        self._service_s += service_s
        self._failed += failed

    def dropped(self, jobs: list[JobId]) -> None:
        """Jobs that were cancelled before they began: nothing to send, off the books."""
        self._finished.extend(jobs)

    def flush(self, *, wait: bool) -> None:
        """Send what there is. `wait`: for a receiver that is slow or absent, up to a bound, then drop and count;
        otherwise what cannot be sent now stays, and `Done` with it."""
        for origin in list(self._answers):
            if self._send_answers(origin, self._answers[origin], wait):
                del self._answers[origin]
        for pool in list(self._forwards):
            if self._send_forwards(pool, self._forwards[pool], wait):
                del self._forwards[pool]
        if self._answers or self._forwards:
            return
        self._bytes = 0
        if self._finished:
            done = Done(self._finished, self._service_s, self._failed)
            if try_send(self._work, [frames.encode(done)]):
                self._finished, self._service_s, self._failed = [], 0.0, 0

    def _send_answers(self, origin: str, answers: list[Answer], wait: bool) -> bool:
        socket = self._loopbacks.get(origin)
        if socket is None:  # not a server of this configuration
            self.counters["answers_dropped"] += len(answers)
            return True
        frame = [frames.encode(Answers(answers))]
        if try_send(socket, frame):
            return True
        if not wait:
            return False
        if not self._wait_and_send(socket, frame, time.monotonic() + ABSENT_S):
            self.counters["answers_dropped"] += len(answers)
        return True

    def _send_forwards(self, pool: str, jobs: list[WireJob], wait: bool) -> bool:
        socket = self._pools.get(pool)
        if socket is None:
            socket = connect_present(
                self._context, zmq.DEALER, self._place.endpoint(pool_in(pool)), linger_ms=LINGER_MS
            )
            self._pools[pool] = socket
        frame = [frames.encode(Jobs(jobs))]
        if try_send(socket, frame):
            return True
        if not wait:
            return False
        # A full pool slows this one down: until the last of these clients has stopped waiting.
        if not self._wait_and_send(socket, frame, max(job.deadline for job in jobs)):
            self.counters["forwards_dropped"] += len(jobs)
        return True

    @staticmethod
    def _wait_and_send(socket: zmq.Socket[bytes], frame: list[bytes], until: float) -> bool:
        while (left := until - time.monotonic()) > 0:
            socket.poll(ceil(min(left, POLL_S) * 1000), zmq.POLLOUT)
            if try_send(socket, frame):
                return True
        return False

    def close(self) -> None:
        for socket in (*self._loopbacks.values(), *self._pools.values()):
            socket.close()
