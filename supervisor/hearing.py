"""What is heard and seen of the processes: their reports, what the kernel says of them, and silence."""

from __future__ import annotations

from typing import assert_never

from primectl.wire.control import Hello, process_topic
from primectl.wire.stats import (
    Acknowledged,
    Dumped,
    ProxySample,
    Ready,
    RecorderSample,
    ReportEnvelope,
    ServerSample,
    WorkerSample,
    WorkerStuck,
)
from supervisor import health, plan
from supervisor.adoption import Adoption
from supervisor.aggregate import is_sound
from supervisor.applying import Applying
from supervisor.books import Books
from supervisor.drains import Draining
from supervisor.dumps import Dumping
from supervisor.events import SUPERVISOR, Broadcast, DumpTaken, Kind, Looked, Probed, SignalStray
from supervisor.lifecycle import READY
from supervisor.lifecycle import ProcessState as S
from supervisor.lives import Lives
from supervisor.output import Output
from supervisor.process import Process
from supervisor.recording import Recording
from supervisor.reopening import Reopening
from supervisor.vitals import Finding
from supervisor.words import counted

STOPPED_S = 3.0
"""A process that has been stopped (SIGSTOP) for so long is killed and replaced: what it holds waits, and nobody may
come to let it go on. Shorter pauses are somebody's business; a debugger's (state `t`) never count."""


STRANGERS_A_BEAT = 64
"""Senders that are in no book and are asked who they are."""


class Hearing:
    """Enters in the books what is heard, and tells what an operator should know of it."""

    def __init__(
        self,
        books: Books,
        out: Output,
        adoption: Adoption,
        lives: Lives,
        recording: Recording,
        dead_letters_file: str,
    ) -> None:
        self._books = books
        self._out = out
        self._recording = recording
        self._adoption = adoption
        self._strangers: set[str] = set()
        """Greeted since the last beat."""
        self._lives = lives
        self._dead_letters_file = dead_letters_file
        self._told_dead_letters = 0

    def heard(self, envelope: ReportEnvelope, now: float) -> None:
        report = envelope.report
        if isinstance(report, ServerSample) and report.draining and is_sound(report):
            self._heard_leaving(envelope, report)
        process = self._books.processes.get(envelope.sender)
        if process is None or process.incarnation != envelope.incarnation:
            self._heard_stranger(envelope, process)
            return
        if not is_sound(report):
            self._out.count("unsound_reports")
            return
        if envelope.sequence > process.sequence + 1 and process.sequence:
            self._out.count("lost_reports", min(envelope.sequence - process.sequence - 1, 1 << 32))
        process.sequence = envelope.sequence
        process.heard_at = now
        process.health.heard()
        match report:
            case WorkerSample():
                process.jobs, process.busy, process.job_s = report.jobs, report.busy, report.job_s
                process.counters = report.counters
                process.health.request, process.health.pulse_s = report.request, report.pulse_s
            case ProxySample():
                if process.kind is Kind.PROXY and process.alive:
                    self._heard_proxy(process, report, now)
            case ServerSample():
                self._heard_server(process, report, now)
            case RecorderSample():
                if process.kind is Kind.RECORDER and process.alive:
                    self._heard_recorder(process, report, now)
            case Ready():
                if process.state is S.STARTING:
                    self._lives.became_ready(process, now)
                self._adoption.heard_from(process, now)
            case WorkerStuck():
                if process.kind is Kind.PROXY:
                    self._stuck(report, now)
            case Acknowledged():
                self._acknowledged(process, report.command)
            case Dumped():
                for dumping in self._dumping():
                    dumping.answered(process.id, process.incarnation, report.command, report.text)
            case _:
                assert_never(report)

    def _heard_proxy(self, proxy: Process, sample: ProxySample, now: float) -> None:
        proxy.jobs, proxy.counters = sample.done, sample.counters
        self._books.pools[proxy.pool].add(proxy.incarnation, sample, now)
        self._books.drains[proxy.pool].heard(sample)
        self._out.moved |= self._is_waited_for(proxy.pool)

    def _heard_recorder(self, recorder: Process, sample: RecorderSample, now: float) -> None:
        recorder.jobs, recorder.counters = sample.rows, sample.counters
        first = self._books.journal.sample is None
        if first and recorder.adopted:
            self._recording.known(sample)
        self._books.journal.add(recorder.incarnation, sample, now)
        self._out.moved |= first  # a start may wait for that

    def _acknowledged(self, process: Process, command: int) -> None:
        process.heeded = max(process.heeded, command)
        self._out.moved |= any(isinstance(operation, Applying) for operation in self._books.desk.operations)
        if command == process.retire_command and process.state is S.DRAINING:
            process.acknowledged = True
            process.deadline = None
        elif process.kind is Kind.PROXY:
            self._books.drains[process.pool].acknowledged(command)
            self._out.moved = True
        for operation in self._books.desk.operations:
            if isinstance(operation, Reopening):
                operation.acknowledged(process.id, process.incarnation, command)
                self._out.moved = True

    def _stuck(self, report: WorkerStuck, now: float) -> None:
        worker = self._books.current(report.worker, report.incarnation)
        if worker is None or worker.kind is not Kind.WORKER or worker.state not in READY:
            return
        request = plan.printable(report.request)
        text = f"{worker.id} does not let go of request {request}, which is cancelled: killed and replaced"
        self._out.tell("stuck", worker.id, text)
        self._lives.put_down(worker, f"stuck in the cancelled request {request}", now)

    def _heard_server(self, process: Process, sample: ServerSample, now: float) -> None:
        if process.kind is not Kind.SERVER:
            return
        process.jobs = sample.requests
        process.counters = sample.counters
        if process.alive:
            if process.adopted and not self._books.front.knows(process.id):
                self._told_dead_letters += sample.counters.get("dead_letters", 0)  # an earlier supervisor has told
                self._recording.known(sample)
            self._books.front.add(process.id, process.incarnation, sample, now)

    def _heard_leaving(self, envelope: ReportEnvelope, sample: ServerSample) -> None:
        """Its last word may come when it is gone and forgotten already."""
        if self._books.stopping is not None:
            self._books.stopping.tally.heard(envelope.sender, envelope.incarnation, sample)
            self._out.moved |= sample.last

    def _heard_stranger(self, envelope: ReportEnvelope, process: Process | None) -> None:
        """Word from an earlier life, from nobody we know, or from a process that was started while whoever should have
        told or written it down died: its zygote, an earlier supervisor. That one is asked for its pid, and ended."""
        ours = self._lives.is_ours(envelope.incarnation)
        self._out.count("stale_reports" if ours else "unknown_senders")
        if isinstance(envelope.report, Ready):
            self._out.add(SignalStray(envelope.report.pid, envelope.sender))
        elif envelope.sender not in self._strangers and len(self._strangers) < STRANGERS_A_BEAT:
            self._strangers.add(envelope.sender)
            self._out.add(Broadcast(process_topic(envelope.sender), Hello()))

    def forget_strangers(self) -> None:
        """A beat is over."""
        self._strangers.clear()

    def dump_taken(self, event: DumpTaken) -> None:
        for dumping in self._dumping():
            dumping.taken(event.process, event.incarnation, event.text, event.how)

    def _dumping(self) -> list[Dumping]:
        found = [operation for operation in self._books.desk.operations if isinstance(operation, Dumping)]
        self._out.moved |= bool(found)
        return found

    def probed(self, event: Probed, now: float) -> None:
        process = (
            self._books.myself if event.process == SUPERVISOR else self._books.current(event.process, event.incarnation)
        )
        if process is None:
            return
        process.cpu_percent, process.rss_bytes = event.cpu_percent, event.rss_bytes
        if not event.stopped:
            process.stopped_at = None
        elif process.stopped_at is None:
            process.stopped_at = now
        elif (
            now - process.stopped_at >= self._patience_s(process) and process.alive and process.state is not S.STOPPING
        ):
            for_s = now - process.stopped_at
            text = f"{process.id} was stopped (SIGSTOP) and nobody let it go on for {for_s:.1f} s: killed and replaced"
            self._out.tell("suspended", process.id, text)
            self._lives.put_down(process, f"stopped for {for_s:.1f} s", now)

    def _patience_s(self, process: Process) -> float:
        """In a stop nobody sends on whom he has stopped, and all wait for it to leave; a server has clients to lose."""
        leaves = self._books.stopping is not None and process.state is S.DRAINING
        return 0.0 if leaves and process.kind is not Kind.SERVER else STOPPED_S

    def _is_waited_for(self, pool: str) -> bool:
        """Whether somebody wants to know when this pool holds nothing."""
        return any(
            isinstance(operation, Applying) or (isinstance(operation, Draining) and operation.pool == pool)
            for operation in self._books.desk.operations
        )

    def looked(self, event: Looked) -> None:
        process = self._books.current(event.process, event.incarnation)
        if process is not None:
            process.health.looked(event.works, event.request)

    def judge_health(self, now: float) -> None:
        """Tell of those who are silent, and put down who is dead inside."""
        for verdict in health.verdicts(self._books, now):
            process = verdict.process
            kind = {Finding.WELL: "heard", Finding.DEAD: "unresponsive"}.get(verdict.finding, "silent")
            self._out.tell(kind, process.id, verdict.text)
            if verdict.doom:
                self._lives.put_down(process, verdict.doom, now)
        self._out.extend(health.to_look_at(self._books, now))

    def tell_of_dead_letters(self) -> None:
        count = self._books.front.dead_letters - self._told_dead_letters
        if count > 0:
            self._told_dead_letters += count
            what = f"{counted(count, 'request')} could"
            text = f"{what} not be answered; kept in {self._dead_letters_file}"
            self._out.tell("dead_letter", self._books.config.cluster.name, text)
