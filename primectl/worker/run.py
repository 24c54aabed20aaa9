"""§ Steps 5 and 6: a worker process. Jobs in, one after the other through the handler, answers out.

This is the main thread, which runs the jobs; `watchdog` is the other. `desk` says who may touch what.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from math import ceil
from types import FrameType
from typing import NoReturn

import zmq
from msgspec import Struct

from primectl.config.affinity import as_key
from primectl.config.identity import IdentityFault
from primectl.config.topology import ClusterFile
from primectl.control import child
from primectl.control.begun import BegunLog
from primectl.control.report import Reporter
from primectl.control.sockets import readable, try_send
from primectl.message import Forward, Job, Response
from primectl.wire import frames
from primectl.wire.job import (
    Answer,
    Goodbye,
    HandBack,
    JobId,
    Jobs,
    Leave,
    Whereabouts,
    WireJob,
    hop_of,
    request_name,
    request_of,
)
from primectl.wire.journal import Hop, add_hop
from primectl.wire.stats import Role
from primectl.worker.bytecode import forget_young
from primectl.worker.desk import Desk
from primectl.worker.duty import HAND_BACK_S
from primectl.worker.handler import BODY_LIMIT, Handler, Outcome, Streamed, brief
from primectl.worker.interrupt import Interrupter
from primectl.worker.settle import settle_in
from primectl.worker.stream import Stream
from primectl.worker.watchdog import Watchdog

FLUSH_S = 0.001
"""Within a batch, finished answers are sent when they have waited this long."""
SWITCH_S = 0.001
"""How long a handler in pure Python may keep the watchdog from its turn (sys.setswitchinterval)."""
RETRY_MS = 100
GOODBYE_S = 1.0
"""How long a leaving worker waits for a proxy that does not answer."""


class Worker:
    """One worker: `run` returns when it has left."""

    def __init__(self, me: child.Child, pool: str, handler: Handler) -> None:
        cluster = me.cluster
        self._me = me
        self._pool = pool
        self._handler = handler
        self._begun = BegunLog(cluster.place.begun_file(me.id))
        self._desk = desk = Desk(me, pool)
        self._lock, self._duty, self._outbox, self._work = desk.lock, desk.duty, desk.outbox, desk.work
        self._reporter = Reporter(desk.context, cluster.place, me.id, me.incarnation, Role.WORKER, pool)

    def run(self) -> None:
        sys.setswitchinterval(SWITCH_S)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        watchdog = Watchdog(self._desk, self._reporter, self._handler, Interrupter(self._duty))
        thread = threading.Thread(target=watchdog.run, name="watchdog", daemon=True)
        thread.start()
        self._serve()
        self._desk.left = True
        self._desk.rouse_watchdog()
        thread.join()
        self._reporter.close()
        self._desk.close()
        self._begun.close()

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        self._duty.leaving = True
        self._desk.rouse_main()

    # --- messages -----------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        desk = self._desk
        arrivals = select.poll()
        arrivals.register(int(self._work.get(zmq.FD)), select.POLLIN)
        arrivals.register(desk.main_wake, select.POLLIN)
        leave_by: float | None = None
        while True:
            desk.pulse_asked = None
            if leave_by is None:
                if self._duty.leaving:
                    leave_by = time.monotonic() + GOODBYE_S
                    try_send(self._work, [frames.encode(Leave())])
                elif desk.announce_due:
                    self._announce()
                if self._outbox.gone:
                    with self._lock:
                        self._outbox.close_gone()
            elif time.monotonic() >= leave_by:
                self._me.log.warn("the proxy did not say goodbye")
                return
            # What was sent may have used up the edge that an arrival made: ask the socket before waiting for its fd.
            if not readable(self._work) and not self._wait(arrivals, leave_by):
                continue
            if self._take_in():
                return

    def _wait(self, arrivals: select.poll, leave_by: float | None) -> bool:
        """Until something comes by the work lane; False when something else is up."""
        timeout_ms = None if leave_by is None else max(0, ceil((leave_by - time.monotonic()) * 1000))
        if self._outbox.unsaid:  # the lane was full, and nothing tells when it has room
            timeout_ms = RETRY_MS
        ready = [fd for fd, _ in arrivals.poll(timeout_ms)]
        if self._desk.main_wake in ready:
            os.eventfd_read(self._desk.main_wake)
            ready.remove(self._desk.main_wake)
        if self._outbox.unsaid:
            self._send_off()
        return bool(ready)

    def _take_in(self) -> bool:
        """Read a message and do what it says; True when the proxy has said goodbye."""
        try:
            message = self._work.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:  # the fd tells of other things too
            return False
        said = self._desk.decode(message)
        if type(said) is Jobs and not (self._duty.leaving and self._sent_back(said.jobs)):
            self._work_off(said.jobs)
        return type(said) is Goodbye

    def _sent_back(self, jobs: list[WireJob]) -> bool:
        return try_send(self._work, [frames.encode(HandBack([wire.id for wire in jobs]))])

    def _announce(self) -> None:
        self._desk.announce_due = False
        with self._lock:
            self._desk.announce()

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _work_off(self, jobs: list[WireJob]) -> None:
        """Run what has come, in order; send what is ready at the end, and every millisecond meanwhile."""
        desk = self._desk
        now = flushed = time.monotonic()
        with self._lock:
            desk.drop(self._duty.accept(jobs, now), "cancelled")
            begun = self._begin(now)
        while begun is not None:
            wire, job = begun
            if desk.watchdog_rests:
                desk.watchdog_rests = False
                desk.rouse_watchdog()
            started = time.monotonic()
            outcome = self._handler.run(wire, job)
            if type(outcome.result) is Streamed:
                outcome = self._relay(wire, job, outcome.result, started)
            if outcome.trouble:
                self._me.log.error(f"request {job.request_id}: the handler raised", outcome.trouble)
            result: object = outcome.result
            failed = outcome.failed
            if isinstance(result, Forward):
                result = self._forward(wire, result, started)
                failed = type(result) is Response
            ended = time.monotonic()
            with self._lock:
                self._end(wire, job, result, failed, started, ended)
                flush = ended - flushed >= FLUSH_S or self._outbox.large
                begun = None if flush else self._begin(ended)
            del outcome, result  # a large answer is not kept beside the next
            now = ended
            if flush:
                self._send_off()
                now = flushed = time.monotonic()
                with self._lock:
                    begun = self._begin(now)
        self._send_off()
        self._begun.rest()

    def _begin(self, now: float) -> tuple[WireJob, Job] | None:
        """Under the lock: take the next job that somebody waits for."""
        wire = self._duty.next()
        while wire is not None and wire.deadline <= now:
            self._desk.drop([wire.id], "expired")
            self._tell_where(wire, Hop(self._pool, now, now, wire.attempt, failed=True))
            wire = self._duty.next()
        if wire is None:
            return None
        job = Job(wire.id, request_name(request_of(wire.id)), self._pool, self._me.id, wire.attempt, wire.deadline)
        self._begun.begin(wire.id, not wire.retryable, now)
        self._duty.begin(wire, job, now)
        return wire, job

    def _relay(self, wire: WireJob, job: Job, streamed: Streamed, started: float) -> Outcome:
        stream = Stream(self._desk, wire, job, streamed, started)
        with self._lock:
            self._desk.stream = stream
        return stream.send()

    def _forward(self, wire: WireJob, forward: Forward, started: float) -> Onward | Response:
        """The request as a job of the next pool; the answer to give instead where that cannot be."""
        if not self._desk.knows(forward.pool, time.monotonic()):
            trouble = f"the handler forwards to {forward.pool!r}, which is no pool of this cluster"
        elif hop_of(wire.id) >= self._desk.max_hops:
            trouble = f"forwarded more than {self._desk.max_hops} times (cluster.max_hops)"
        else:
            try:
                key = self._key(forward) if forward.key or forward.pool in self._desk.affinity.pools else ""
                kind, payload = frames.encode_payload(forward.payload)
                if len(payload) > BODY_LIMIT:
                    raise ValueError(f"it has {len(payload)} bytes, at most {BODY_LIMIT} travel")
            except Exception as error:  # encoding runs methods of what the handler has put into the payload
                trouble = f"the payload for pool {forward.pool} cannot be forwarded: {brief(error)}"
            else:
                next_id = JobId(wire.id + 1)
                trail = add_hop(wire.trail, Hop(self._me.id, started, time.monotonic(), wire.attempt))
                job = WireJob(next_id, wire.origin, wire.deadline, kind, wire.retryable, payload, key=key, trail=trail)
                return Onward(forward.pool, job)
        name = request_name(request_of(wire.id))
        self._me.log.error(f"request {name}: {trouble}")
        return Response.problem(500, f"pool {self._pool}: {trouble}", name)

    def _key(self, forward: Forward) -> str:
        """The handler's own word comes first."""
        return as_key(forward.key) if forward.key else self._desk.affinity.key(forward.pool, forward.payload)

    def _end(self, wire: WireJob, job: Job, result: object, failed: bool, started: float, ended: float) -> None:
        """Under the lock: the job has ended, its result goes where it has to go."""
        desk = self._desk
        desk.stream = None
        self._duty.end()
        if job.cancelled:
            desk.counters["cancelled"] += 1
            failed = False
            self._tell_where(wire, Hop(self._me.id, started, ended, wire.attempt, failed=True))
        elif type(result) is Response:
            trail = add_hop(wire.trail, Hop(self._me.id, started, ended, wire.attempt, failed))
            answer = Answer(wire.id, result.status, result.fields, result.body, self._me.id, wire.attempt, trail)
            self._outbox.answer(wire.origin, answer)
        elif type(result) is Onward:
            self._outbox.forward(result.pool, result.job)
        desk.jobs += 1
        desk.failed += failed
        self._outbox.finished(wire.id, ended - started, failed, wire.key)

    def _tell_where(self, wire: WireJob, hop: Hop) -> None:
        """Under the lock: nobody waits for this job any more, which was here. Its server hears it now or not at all."""
        self._outbox.send_at_once(wire.origin, Whereabouts([(request_of(wire.id), add_hop(wire.trail, hop))]))

    def _send_off(self) -> None:
        """Between jobs: send what is ready. Where that has to wait (a full pool, an absent server) what has not begun
        goes to others; what is cancelled meanwhile need not be sent."""
        began = now = time.monotonic()
        while True:
            self._desk.pulse_asked = None
            with self._lock:
                if self._outbox.flush(now):
                    return
                refused = self._outbox.refused
                if now - began >= HAND_BACK_S:
                    self._desk.hand_back(self._work)
            if not refused:
                return
            if self._desk.announce_due:
                self._announce()
            poller = zmq.Poller()
            for socket in refused:
                poller.register(socket, zmq.POLLOUT)
            poller.register(self._desk.main_wake, zmq.POLLIN)
            if self._desk.main_wake in dict(poller.poll(RETRY_MS)):
                os.eventfd_read(self._desk.main_wake)
            now = time.monotonic()


class Onward(Struct, frozen=True, gc=False):
    """A job for another pool."""

    pool: str
    job: WireJob


def serve(cluster: ClusterFile, worker: str, incarnation: int, handler: Handler) -> NoReturn:
    """Be this worker until it has left, and end the process: threads that the handler has left do not hold it."""
    status = 1
    try:
        pool = worker.rpartition(".")[0]
        me = child.become(cluster, worker, incarnation, int(cluster.config.pools[pool].umask, 8))
        handler.start()
        Worker(me, pool, handler).run()
        handler.stop()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        child.leave(status)


def main() -> None:
    options = child.arguments("primectl.worker", ("--id", "--incarnation"))
    cluster = child.read_cluster_file(options.cluster_file)
    sys.path.insert(0, cluster.import_path)
    pool = options.id.rpartition(".")[0]
    try:
        cluster = settle_in(cluster, pool)
    except IdentityFault as fault:
        sys.exit(str(fault))
    try:
        handler = Handler(cluster.config.pools[pool].handler)
    finally:
        forget_young(cluster.import_path)
    serve(cluster, options.id, int(options.incarnation), handler)
