"""§ Step 6: what a worker has ready to send: answers to servers, jobs to other pools, then the word that it is done.

Answers leave before `Done`: a job is off the proxy's books only when its answer is on its way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

import zmq

from primectl.config.model import Config
from primectl.config.topology import Place, loopback, pool_in, server_ids
from primectl.control.sockets import connect_present, try_send
from primectl.wire import frames
from primectl.wire.frames import BATCH_BYTES
from primectl.wire.job import (
    Answer,
    Answers,
    Done,
    JobId,
    Jobs,
    RequestId,
    StreamBegun,
    Streaming,
    StreamPart,
    Whereabouts,
    WireJob,
    request_of,
)

SERVER = re.compile(r"server\.[1-9][0-9]{0,3}")
"""The origins that there are; more servers may come than there were when this worker began."""
LINGER_MS = 2000
ABSENT_S = 2.0
"""How long an answer is kept for a server that is not connected; its clients went with it."""

ItemT = TypeVar("ItemT")


class Outbox:
    """Batches by destination. Not thread-safe: the shell's lock is held around every call.

    `counters`: answers and forwards dropped because their receiver did not take them in time.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], place: Place, config: Config, work: zmq.Socket[bytes]):
        self._work = work
        self._context = context
        self._place = place
        self._loopbacks: dict[str, zmq.Socket[bytes]] = {}
        for server in server_ids(config):
            self._connect(server)
        self.gone: set[str] = set()
        """Servers that have ended: whoever has the sockets closes theirs (`close_gone`)."""
        self._pools: dict[str, zmq.Socket[bytes]] = {}
        self._answers: dict[str, list[Answer]] = {}
        self._forwards: dict[str, list[WireJob]] = {}
        self._refused_at: dict[str, float] = {}
        self._bytes = 0
        self._finished: list[JobId] = []
        self._service_s = 0.0
        self._failed = 0
        self.key = ""
        """Of the job that ran last."""
        self.counters = {"answers_dropped": 0, "forwards_dropped": 0}

    @property
    def large(self) -> bool:
        """Whether enough has gathered to be sent before the batch is done."""
        return self._bytes >= BATCH_BYTES

    @property
    def unsaid(self) -> list[JobId]:
        """Jobs that have ended, of which the proxy does not know yet."""
        return self._finished

    def answer(self, origin: str, answer: Answer) -> None:
        self._answers.setdefault(origin, []).append(answer)
        self._bytes += len(answer.body)

    def forward(self, pool: str, job: WireJob) -> None:
        self._forwards.setdefault(pool, []).append(job)
        self._bytes += len(job.payload)

    def finished(self, job: JobId, service_s: float, failed: bool, key: str) -> None:
        self._finished.append(job)
        self._service_s += service_s
        self._failed += failed
        self.key = key

    def dropped(self, jobs: list[JobId]) -> None:
        """Jobs that ended before they began: nothing to send, off the books."""
        self._finished.extend(jobs)

    def cancel(self, requests: frozenset[RequestId]) -> bool:
        """Nobody waits for these; whether one of them was among what could not be sent so far."""
        return _forget(self._answers, requests, lambda answer: answer.job) | _forget(
            self._forwards, requests, lambda job: job.id
        )

    def flush(self, now: float) -> bool:
        """Send what can be sent without waiting; whether that was all.

        What is refused stays, and `Done` behind it: a forward until its deadline, so that a full pool slows this one
        down, an answer until its server has been away for `ABSENT_S`. Then it is dropped and counted.
        """
        if self._answers:
            self._flush_answers(now)
        if self._forwards:
            self._flush_forwards(now)
        if self._answers or self._forwards:
            return False
        self._bytes = 0
        if not self._finished:
            return True
        if not _send(self._work, Done(self._finished, self._service_s, self._failed, self.key)):
            return False
        self._finished, self._service_s, self._failed = [], 0.0, 0
        return True

    def _flush_answers(self, now: float) -> None:
        for origin, answers in list(self._answers.items()):
            if self.send_at_once(origin, Answers(answers)):
                self._refused_at.pop(origin, None)
            elif now - self._refused_at.setdefault(origin, now) < ABSENT_S:
                continue
            else:
                self.counters["answers_dropped"] += len(answers)
            del self._answers[origin]

    def _flush_forwards(self, now: float) -> None:
        for pool, jobs in list(self._forwards.items()):
            if not _send(self._upstream(pool), Jobs(jobs)):
                waiting = [job for job in jobs if job.deadline > now]
                self.counters["forwards_dropped"] += len(jobs) - len(waiting)
                if waiting:
                    self._forwards[pool] = waiting
                    continue
            del self._forwards[pool]

    def send_at_once(self, origin: str, message: Answers | StreamBegun | StreamPart | Whereabouts) -> bool:
        """To a server; False when it does not take it now."""
        socket = self._loopbacks.get(origin)
        if socket is None:
            if not SERVER.fullmatch(origin):
                self.counters["answers_dropped"] += 1
                return True
            socket = self._connect(origin)
        return _send(socket, message)

    @property
    def servers(self) -> Collection[str]:
        """Those that we are connected to, or would be."""
        return self._loopbacks.keys()

    def close_gone(self) -> None:
        """Nobody calls where nobody is, five times a second; a server that comes back is found with its first job."""
        while self.gone:
            socket = self._loopbacks.pop(self.gone.pop(), None)
            if socket is not None:
                socket.close()

    def _connect(self, server: str) -> zmq.Socket[bytes]:
        endpoint = self._place.endpoint(loopback(server))
        socket = connect_present(self._context, zmq.PUSH, endpoint, linger_ms=LINGER_MS)
        self._loopbacks[server] = socket
        return socket

    def streaming(self, job: JobId) -> None:
        """Tell the proxy that the job's answer begins to be sent, so that no other worker may run it. Only a proxy
        that is away does not hear it, and that deals nothing."""
        _send(self._work, Streaming(job))

    def _upstream(self, pool: str) -> zmq.Socket[bytes]:
        socket = self._pools.get(pool)
        if socket is None:
            endpoint = self._place.endpoint(pool_in(pool))
            socket = self._pools[pool] = connect_present(self._context, zmq.DEALER, endpoint, linger_ms=LINGER_MS)
        return socket

    @property
    def refused(self) -> list[zmq.Socket[bytes]]:
        """The sockets of servers and pools that have to become writable before `flush` gets further."""
        return [self._loopbacks[origin] for origin in self._answers] + [self._pools[pool] for pool in self._forwards]

    def close(self) -> None:
        for socket in (*self._loopbacks.values(), *self._pools.values()):
            socket.close()


def _send(socket: zmq.Socket[bytes], message: object) -> bool:
    return try_send(socket, [frames.encode(message)])


def _forget(batches: dict[str, list[ItemT]], requests: frozenset[RequestId], job: Callable[[ItemT], JobId]) -> bool:
    found = False
    for destination, items in list(batches.items()):
        kept = [item for item in items if request_of(job(item)) not in requests]
        if len(kept) < len(items):
            found = True
            if kept:
                batches[destination] = kept
            else:
                del batches[destination]
    return found
