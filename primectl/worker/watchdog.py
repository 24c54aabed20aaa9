"""§ The second thread of a worker: awake while a job runs, whatever that does.

It has the urgent lane, the supervisor's commands and the clock. It beats and reports, obeys KILL, hands back what waits
behind a long job, sends off what is finished, and ends what nobody waits for.
"""

from __future__ import annotations

import os
import select
import signal
import time
from math import ceil, inf

import zmq

from primectl.control.report import Reporter
from primectl.control.sockets import readable, receive, try_send
from primectl.wire import frames
from primectl.wire.control import KillNow, ProcessGone, ProcessReady, Reread, Retire
from primectl.wire.job import Allow, Beat, Cancel, WhoIsThere
from primectl.wire.stats import Acknowledged, WorkerSample
from primectl.worker.desk import Desk
from primectl.worker.handler import Handler, told
from primectl.worker.interrupt import Interrupter

MESSAGES_A_TURN = 64
WATCH_S = 0.003
"""Its tick while jobs come …"""
REST_S = 0.1
"""… which it leaves when none has run for this long; then the next one wakes it."""
BEAT_S = 1.0
SAMPLE_S = 0.25
PULSE_S = 4.0
"""How often the main thread is roused while it runs no job. Of 64 idle workers that took 0.17 % of a core."""


class Watchdog:
    """`run` is the thread's body; it ends when the worker has left."""

    def __init__(self, desk: Desk, reporter: Reporter, handler: Handler, interrupter: Interrupter) -> None:
        self._desk = desk
        self._reporter = reporter
        self._handler = handler
        self._interrupter = interrupter
        self._beat_at = self._sample_at = self._worked_at = self._pulse_at = time.monotonic()
        self._sampled_at = 0.0
        self._busy_then = False
        reporter.about = self._about

    def run(self) -> None:
        try:
            self._watch()
        except BaseException as error:
            # A worker without its watchdog obeys nobody: another one shall take its place.
            self._desk.me.log.error("the watchdog failed", told(error))
            os._exit(1)

    def _watch(self) -> None:
        desk, urgent = self._desk, self._desk.urgent
        commands_fd, urgent_fd = int(self._reporter.commands.get(zmq.FD)), int(urgent.get(zmq.FD))
        poller = select.poll()
        for fd in (commands_fd, urgent_fd, desk.watchdog_wake):
            poller.register(fd, select.POLLIN)
        self._obey()
        while not desk.left:
            now = time.monotonic()
            look_at = min(self._report(now), self._attend(now))
            # What was sent by the urgent lane may have used up the edge that an arrival made.
            if readable(urgent):
                self._heed()
                continue
            ready = [fd for fd, _ in poller.poll(max(0, ceil((look_at - now) * 1000)))]
            if desk.watchdog_wake in ready:
                os.eventfd_read(desk.watchdog_wake)
            if commands_fd in ready:
                self._obey()
        self._reporter.publish(self._sample(time.monotonic()))

    # --- the supervisor and the proxy ---------------------------------------------------------------------------------

    def _report(self, now: float) -> float:
        """Beat and sample when they are due; when the next is."""
        desk = self._desk
        if now >= self._beat_at:
            self._beat_at = now + BEAT_S
            with desk.lock:
                holding = desk.duty.holding
            try_send(desk.urgent, [frames.encode(Beat(desk.me.id, desk.me.incarnation, holding))])
            desk.me.log.tend()
            self._feel_pulse(now)
            self._sample_at = now
        busy = desk.duty.running
        if busy != self._busy_then:
            self._sample_at = min(self._sample_at, self._sampled_at + SAMPLE_S)
        if now >= self._sample_at:
            self._busy_then = busy
            self._sampled_at = now
            self._sample_at = inf
            self._reporter.publish(self._sample(now))
        return min(self._beat_at, self._sample_at)

    def _feel_pulse(self, now: float) -> None:
        """Does the main thread wake up when it is called? One that runs a job is not asked."""
        desk = self._desk
        if desk.duty.running:
            desk.pulse_asked = None
        elif desk.pulse_asked is None and now >= self._pulse_at:
            self._pulse_at = now + PULSE_S
            desk.pulse_asked = now
            desk.rouse_main()

    def _sample(self, now: float) -> WorkerSample:
        desk = self._desk
        with desk.lock:
            duty = desk.duty.snapshot(now)
            request = desk.duty.job.request_id if desk.duty.job else ""
            counters = {**desk.outbox.counters, **desk.counters}
        counters["malformed"] += self._reporter.malformed
        counters["log_lines_dropped"] = desk.me.log.dropped
        counters["affinity_errors"] = desk.affinity.errors
        asked = desk.pulse_asked
        pulse_s = 0.0 if asked is None or duty.running else now - asked
        return WorkerSample(desk.jobs, desk.failed, duty.running, duty.job_s, counters, request, pulse_s)

    def _about(self) -> str:
        """What a dump says first. Without the lock, which the thread that is looked for may hold."""
        job, duty = self._desk.duty.job, self._desk.duty.snapshot(time.monotonic())
        running = f"runs request {job.request_id} for {duty.job_s:.1f} s" if job else "runs no job"
        waiting = self._handler.awaited()
        return f"{running}\n\n{waiting}" if waiting else running

    def _obey(self) -> None:
        desk = self._desk
        for command in self._reporter.receive():
            if isinstance(command, KillNow):
                self._reporter.publish(Acknowledged(command.command))
                os._exit(0)
            elif isinstance(command, Retire):
                self._reporter.publish(Acknowledged(command.command))
                desk.duty.leaving = True
                with desk.lock:
                    if desk.duty.running:
                        desk.hand_back(desk.urgent)
                desk.rouse_main()
            elif isinstance(command, ProcessReady):
                self._announce_again()
            elif isinstance(command, ProcessGone) and command.process in desk.outbox.servers:
                desk.outbox.gone.add(command.process)
                desk.rouse_main()
            elif isinstance(command, Reread):
                desk.reread()
                self._reporter.publish(Acknowledged(command.command))

    def _heed(self) -> None:
        desk = self._desk
        for message in receive(desk.urgent, MESSAGES_A_TURN):
            said = desk.decode(message)
            if type(said) is Cancel:
                self._cancel(said)
            elif type(said) is Allow:
                with desk.lock:
                    if desk.stream is not None and desk.stream.job == said.job:
                        desk.stream.allow(said.limit, time.monotonic())
                        desk.rouse_main()
            elif type(said) is WhoIsThere:
                self._announce_again()

    def _cancel(self, cancel: Cancel) -> None:
        desk = self._desk
        requests = frozenset(cancel.requests)
        with desk.lock:
            unsent = desk.outbox.cancel(requests)
            desk.drop(desk.duty.cancel(requests, time.monotonic()), "cancelled")
        if unsent:
            desk.rouse_main()

    def _announce_again(self) -> None:
        """By whichever thread has the work lane."""
        desk = self._desk
        with desk.lock:
            if desk.duty.running:
                desk.announce()
                return
        desk.announce_due = True
        desk.rouse_main()

    # --- the running job ----------------------------------------------------------------------------------------------

    def _attend(self, now: float) -> float:
        """Do for the running job what is due; when to look again."""
        desk, duty = self._desk, self._desk.duty
        with desk.lock:
            if not duty.running:
                if now - self._worked_at < REST_S:
                    return now + WATCH_S
                desk.watchdog_rests = True
                return inf
            self._worked_at = now
            duty.expire(now)
            if duty.overdue(now):
                self._relieve(now)
            if times := duty.urge(now):
                self._urge(times)
            if duty.stuck(now):
                self._end_process()
            if desk.stream is not None:
                desk.stream.tend(now)
            if duty.overdue(now):
                return now + WATCH_S
            # Relieved of what waited it may run for long: no tick then, but the next job shall wake us.
            desk.watchdog_rests = desk.watchdog_rests or duty.relieved
            look_at = duty.look_at()
            return look_at if desk.stream is None else min(look_at, desk.stream.look_at())

    def _relieve(self, now: float) -> None:
        """A job runs long: give back those behind it, and send off what is done."""
        self._desk.hand_back(self._desk.urgent)
        if self._desk.outbox.flush(now) and not self._desk.duty.waiting:
            self._desk.duty.relieve()

    def _urge(self, times: int) -> None:
        """Have the handler see that nobody waits for it."""
        awaiting = self._handler.cancel_task()
        if not awaiting or times > 1:
            self._interrupter.interrupt()
        if self._desk.stream is not None:
            self._desk.rouse_main()

    def _end_process(self) -> None:
        """In no way does the handler let go: this process is no use any more."""
        desk = self._desk
        job = desk.duty.job
        name = job.request_id if job else ""
        desk.me.log.error(f"request {name} is cancelled and its handler does not let go: the worker is killed")
        os.kill(os.getpid(), signal.SIGKILL)
