"""§ What a proxy itself tells servers: answers for the jobs that it gives up, and where a cancelled request was."""

from __future__ import annotations

from collections import Counter

import zmq

from primectl.config.topology import Place, loopback
from primectl.control.log import ProcessLog
from primectl.control.sockets import connect_present, try_send
from primectl.message import Response
from primectl.proxy.events import GiveUp
from primectl.wire import frames
from primectl.wire.frames import BATCH_JOBS
from primectl.wire.job import Answer, Answers, Whereabouts, request_name, request_of
from primectl.wire.journal import Hop, add_hop

KEPT = 10_000
"""Answers kept for servers that are not connected just now; the oldest go beyond it."""


class GivenUp:
    """`dropped` counts the answers that no server took in time. `servers` are those that there are at first."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], place: Place, servers: list[str], me: str, log: ProcessLog
    ) -> None:
        self._context = context
        self._place = place
        self._me = me
        self._pool = me.removeprefix("proxy.")
        self._log = log
        self._loopbacks: dict[str, zmq.Socket[bytes]] = {}
        self._unsent: dict[str, list[Answer]] = {}
        self._refused: Counter[str] = Counter()
        self.dropped = 0
        for server in servers:  # so that the first thing that cannot wait does not wait for the connection
            self._loopback(server)

    def add(self, action: GiveUp, now: float) -> None:
        """To be sent with the next `flush`."""
        job, status, detail = action.job, action.status, action.detail
        name = request_name(request_of(job.id))
        told = f"pool {self._pool}: {detail}"
        if status == 503:
            problem = Response.unavailable(told, name)
            self._refused[detail] += 1
        else:
            problem = Response.problem(status, told, name)
            self._log.warn(f"request {name} is given up with {status}: {detail}")
        trail = add_hop(job.trail, action.lost or Hop(self._pool, now, now, job.attempt, failed=True))
        answer = Answer(job.id, status, problem.fields, problem.body, self._me, job.attempt, trail)
        self._unsent.setdefault(job.origin, []).append(answer)

    def flush(self) -> None:
        """Send; what a server that is not connected does not take stays for the next time."""
        for origin, answers in list(self._unsent.items()):
            socket = self._loopback(origin)
            while answers and try_send(socket, [frames.encode(Answers(answers[:BATCH_JOBS]))]):
                del answers[:BATCH_JOBS]
            if not answers:
                del self._unsent[origin]
            elif len(answers) > KEPT:
                self.dropped += len(answers) - KEPT
                del answers[:-KEPT]

    def tell(self, server: str, whereabouts: Whereabouts) -> None:
        """At once or not at all: it is not waited for."""
        try_send(self._loopback(server), [frames.encode(whereabouts)])

    def _loopback(self, server: str) -> zmq.Socket[bytes]:
        socket = self._loopbacks.get(server)
        if socket is None:
            endpoint = self._place.endpoint(loopback(server))
            socket = connect_present(self._context, zmq.PUSH, endpoint, linger_ms=500)
            self._loopbacks[server] = socket
        return socket

    def server_gone(self, process: str) -> None:
        """Nobody is called there for now; one that comes back is found again."""
        socket = self._loopbacks.pop(process, None)
        if socket is not None:
            socket.close()

    def log_refusals(self) -> None:
        """One line for all of a kind since the last time: a pool without workers refuses thousands a second."""
        for detail, count in self._refused.items():
            self._log.warn(f"{count} request{'s' * (count > 1)} answered 503: {detail}")
        self._refused.clear()

    def close(self) -> None:
        for socket in self._loopbacks.values():
            socket.close()
