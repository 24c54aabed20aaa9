"""§ Steps 5 and 6: a worker process. Jobs in, one after the other through the handler, answers out.

Two threads. The main one runs jobs. The *watchdog* has the urgent lane, the supervisor's commands and the clock: it
beats, reports, cancels, hands back what waits behind a long job and sends off what is finished, and obeys KILL.

Who may touch what: `_lock` guards the duty and the outbox's contents. The sockets of the main thread (work lane and
outbox) are its own while no job runs; while one runs they are the watchdog's, as long as it holds the lock. Since a
job ends under the lock, both never use them at once.
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
from typing import cast

import zmq

from primectl.config.topology import ClusterFile, pool_out
from primectl.control import child
from primectl.control.report import Reporter
from primectl.control.sockets import BATCH_QUEUE, open_socket, receive, try_send
from primectl.errors import WireError
from primectl.message import Forward, Job, Response
from primectl.wire import frames
from primectl.wire.control import KillNow, ProcessReady, Retire
from primectl.wire.job import (
    URGENT,
    Announce,
    Answer,
    Beat,
    Cancel,
    Goodbye,
    HandBack,
    JobId,
    Jobs,
    Leave,
    WhoIsThere,
    WireJob,
    hop_of,
    request_name,
    request_of,
    work_lane,
)
from primectl.wire.stats import Acknowledged, Role, WorkerSample
from primectl.worker.duty import HAND_BACK_S, Duty
from primectl.worker.handler import Handler, Outcome
from primectl.worker.outbox import Outbox

MESSAGES_A_TURN = 64
FLUSH_S = 0.001
"""Within a batch, finished answers are sent when they have waited this long."""
WATCH_S = 0.005
"""The watchdog's tick while jobs run …"""
REST_S = 0.25
"""… which it leaves when none has run for this long."""
BEAT_S = 1.0
SAMPLE_S = 0.25
GOODBYE_S = 1.0
"""How long a leaving worker waits for a proxy that does not answer."""


class Worker:
    """One worker: `run` returns when it has left."""

    def __init__(self, me: child.Child, pool: str, handler: Handler) -> None:
        place = me.cluster.place
        self._me = me
        self._pool = pool
        self._handler = handler
        self._max_hops = me.cluster.config.cluster.max_hops
        self._pools = frozenset(me.cluster.config.pools)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        lane = work_lane(me.id, me.incarnation)
        endpoint = place.endpoint(pool_out(pool))
        self._work = self._lane(lane, endpoint)
        self._urgent = self._lane(URGENT + lane, endpoint)
        self._outbox = Outbox(self._context, place, me.cluster.config, self._work)
        self._reporter = Reporter(self._context, place, me.id, me.incarnation, Role.WORKER, pool)
        self._lock = threading.Lock()
        self._duty = Duty()
        self._announce_due = True
        self._jobs = 0
        self._failed = 0
        self._malformed = 0
        self._wake_main = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake_watchdog = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._watchdog_rests = True
        self._left = False

    def _lane(self, identity: bytes, endpoint: str) -> zmq.Socket[bytes]:
        socket = open_socket(self._context, zmq.DEALER, queue=BATCH_QUEUE, identity=identity, linger_ms=500)
        socket.connect(endpoint)
        return socket

    # --- the main thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._on_sigterm)
        watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        poller = zmq.Poller()
        poller.register(self._work, zmq.POLLIN)
        poller.register(self._wake_main, select.POLLIN)
        watchdog.start()
        leave_by: float | None = None
        said_goodbye = False
        while not said_goodbye:
            if leave_by is None:
                if self._duty.leaving:
                    leave_by = time.monotonic() + GOODBYE_S
                    try_send(self._work, [frames.encode(Leave())])
                    continue
                if self._announce_due:
                    self._announce()
                _poll(poller, None, self._wake_main)
            else:
                left = leave_by - time.monotonic()
                if left <= 0:
                    self._me.log.warn("the proxy did not say goodbye")
                    break
                _poll(poller, left, self._wake_main)
            said_goodbye = self._take_in()
            self._work_off()
        self._outbox.flush(wait=True)
        self._left = True
        _notify(self._wake_watchdog)
        watchdog.join()
        self._close()

    def _take_in(self) -> bool:
        """Read the work lane; True when the proxy has said goodbye."""
        goodbye = False
        for message in receive(self._work, MESSAGES_A_TURN):
            said = self._decode(message)
            if type(said) is Jobs:
                if self._duty.leaving:
                    self._return([wire.id for wire in said.jobs], self._work)
                else:
                    with self._lock:
                        self._duty.accept(said.jobs)
            elif type(said) is Goodbye:
                goodbye = True
        return goodbye

    def _decode(self, message: list[bytes]) -> object:
        if len(message) != 1:
            self._malformed += 1
            return None
        try:
            return frames.to_worker(message[0])
        except WireError:
            self._malformed += 1
            return None

    def _work_off(self) -> None:
        """Run what is held, in order; send what is ready at the end, and every millisecond meanwhile."""
        flushed = time.monotonic()
        while True:
            with self._lock:
                wire = self._duty.next()
                if wire is None:
                    break
                job = Job(
                    wire.id,
                    request_name(request_of(wire.id)),
                    self._pool,
                    self._me.id,
                    wire.attempt,
                    wire.deadline,
                )
                began = time.monotonic()
                self._duty.begin(wire, job, began)
            if self._watchdog_rests:
                self._watchdog_rests = False
                _notify(self._wake_watchdog)
            outcome = self._handler.run(wire, job)
            now = time.monotonic()
            with self._lock:
                self._duty.end()
                self._book(wire, outcome, now - began)
            if now - flushed >= FLUSH_S or self._outbox.large:
                self._outbox.flush(wait=True)
                flushed = now
        self._outbox.flush(wait=True)

    def _book(self, wire: WireJob, outcome: Outcome, service_s: float) -> None:
        """Put the outcome where it has to go."""
        self._jobs += 1
        result = outcome.result
        failed = outcome.failed
        if outcome.trouble:
            self._me.log.error(f"request {request_name(request_of(wire.id))}: the handler raised", outcome.trouble)
        response: Response | None
        if type(result) is Forward:
            response = self._forward(wire, result)
            failed = failed or response is not None
        else:
            response = cast("Response", result)
        if response is not None:
            answer = Answer(wire.id, response.status, response.fields, response.body, self._me.id, wire.attempt)
            self._outbox.answer(wire.origin, answer)
        self._failed += failed
        self._outbox.finished(wire.id, service_s, failed)

    def _forward(self, wire: WireJob, forward: Forward) -> Response | None:
        """Hand the request on; the answer to give instead where that cannot be."""
        if forward.pool not in self._pools:
            trouble = f"the handler forwards to {forward.pool!r}, which is no pool of this cluster"
        elif hop_of(wire.id) >= self._max_hops:
            trouble = f"forwarded more than {self._max_hops} times (cluster.max_hops)"
        else:
            try:
                kind, payload = frames.encode_payload(forward.payload)
            except (TypeError, ValueError, RecursionError) as error:
                trouble = f"the payload for pool {forward.pool} cannot be forwarded: {error}"
            else:
                job = WireJob(JobId(wire.id + 1), wire.origin, wire.deadline, kind, wire.retryable, payload)
                self._outbox.forward(forward.pool, job)
                return None
        name = request_name(request_of(wire.id))
        self._me.log.error(f"request {name}: {trouble}")
        return Response.problem(500, f"pool {self._pool}: {trouble}", name)

    def _announce(self) -> None:
        self._announce_due = False
        with self._lock:
            holds = self._duty.holds()
        try_send(self._work, [frames.encode(Announce(self._me.id, self._me.incarnation, holds))])

    def _return(self, jobs: list[JobId], lane: zmq.Socket[bytes]) -> None:
        if jobs:
            try_send(lane, [frames.encode(HandBack(jobs))])

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        self._duty.leaving = True
        _notify(self._wake_main)

    def _close(self) -> None:
        self._reporter.close()
        self._outbox.close()
        self._work.close()
        self._urgent.close()
        self._context.term()
        os.close(self._wake_main)
        os.close(self._wake_watchdog)

    # --- the watchdog -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        poller = zmq.Poller()
        poller.register(self._reporter.commands, zmq.POLLIN)
        poller.register(self._urgent, zmq.POLLIN)
        poller.register(self._wake_watchdog, select.POLLIN)
        beat_at = sample_at = worked_at = time.monotonic()
        busy_then = False
        while not self._left:
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + BEAT_S
                try_send(self._urgent, [frames.encode(Beat(self._me.id, self._me.incarnation, self._holding()))])
                self._me.log.rotate_if_large()
                sample_at = now
            if now >= sample_at or (self._duty.running != busy_then and now >= sample_at - BEAT_S + SAMPLE_S):
                busy_then = self._duty.running
                sample_at = now + BEAT_S
                self._reporter.publish(self._sample(now))
            if self._duty.running:
                worked_at = now
            elif now - worked_at >= REST_S:
                self._watchdog_rests = True
            wait_s = (beat_at - now) if self._watchdog_rests and not self._duty.running else WATCH_S
            ready = _poll(poller, max(0.0, wait_s), self._wake_watchdog)
            if self._reporter.commands in ready:
                self._obey()
            if self._urgent in ready:
                self._heed()
            if self._duty.overdue(time.monotonic()):
                self._relieve()
        self._reporter.publish(self._sample(time.monotonic()))

    def _holding(self) -> int:
        with self._lock:
            return len(self._duty.holds())

    def _sample(self, now: float) -> WorkerSample:
        with self._lock:
            duty = self._duty.snapshot(now)
        counters = {
            **self._outbox.counters,
            "malformed": self._malformed + self._reporter.malformed,
            "log_lines_dropped": self._me.log.dropped,
        }
        return WorkerSample(self._jobs, self._failed, duty.running, duty.job_s, counters)

    def _obey(self) -> None:
        for command in self._reporter.receive():
            if isinstance(command, KillNow):
                self._reporter.publish(Acknowledged(command.command))
                os._exit(0)
            elif isinstance(command, Retire):
                self._reporter.publish(Acknowledged(command.command))
                self._duty.leaving = True
                self._relieve()
                _notify(self._wake_main)
            elif isinstance(command, ProcessReady):
                self._announce_again()

    def _heed(self) -> None:
        for message in receive(self._urgent, MESSAGES_A_TURN):
            said = self._decode(message)
            if type(said) is Cancel:
                with self._lock:
                    self._outbox.dropped(self._duty.cancel(frozenset(said.requests)))
            elif type(said) is WhoIsThere:
                self._announce_again()

    def _announce_again(self) -> None:
        """By whichever thread has the work lane."""
        with self._lock:
            if self._duty.running:
                announce = Announce(self._me.id, self._me.incarnation, self._duty.holds())
                try_send(self._work, [frames.encode(announce)])
                return
        self._announce_due = True
        _notify(self._wake_main)

    def _relieve(self) -> None:
        """While a job runs long: give back those behind it, and send off what is done."""
        with self._lock:
            if not self._duty.running:
                return
            self._return(self._duty.hand_back(), self._urgent)
            self._outbox.flush(wait=False)


def _notify(fd: int) -> None:
    os.eventfd_write(fd, 1)


def _poll(poller: zmq.Poller, timeout_s: float | None, wake: int) -> list[object]:
    """Wait for anything; tells what is ready. `wake` is an eventfd that is reset."""
    ready: list[object] = [source for source, _ in poller.poll(None if timeout_s is None else ceil(timeout_s * 1000))]
    if wake in ready:
        os.eventfd_read(wake)
    return ready


def serve(cluster: ClusterFile, worker: str, incarnation: int, handler: Handler) -> None:
    """Be this worker until it has left."""
    me = child.become(cluster, worker, incarnation)
    handler.start()
    Worker(me, worker.rpartition(".")[0], handler).run()
    handler.stop()


def main() -> None:
    options = child.arguments("primectl.worker", ("--id", "--incarnation"))
    cluster = child.read_cluster_file(options.cluster_file)
    sys.path.insert(0, cluster.import_path)
    pool = cluster.config.pools[options.id.rpartition(".")[0]]
    serve(cluster, options.id, int(options.incarnation), Handler(pool.handler))


assert HAND_BACK_S < WATCH_S
