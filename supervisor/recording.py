"""How recording does: its state, whether a start waits for it, what is told of it.

Nothing depends on the recorder: whatever becomes of it, the cluster comes up, is ready and serves. What is here only
says so.
"""

from __future__ import annotations

from typing import NamedTuple

from primectl.config.topology import RECORDER
from primectl.wire.control import Refusal
from primectl.wire.stats import JournalSnapshot, RecorderSample, ServerSample
from supervisor.aggregate import Missing, missing_by, set_aside_by
from supervisor.books import Books
from supervisor.lifecycle import READY
from supervisor.lifecycle import ProcessState as S
from supervisor.output import Output
from supervisor.plan import printable
from supervisor.process import Process
from supervisor.words import counted

JOURNAL = "journal"
"""The kind of its events; one that has a cause is bad news."""
OFF, STARTING, RECORDING, STOPPED = "off", "starting", "recording", "stopped"
PATIENCE_S = 10.0
"""How long a start waits for the recorder. Then the cluster is up without it."""
CRASHES = 2
"""In a row. After one it is started again at once, what servers had said is said again, and nothing is amiss."""
SILENT_S = 3.0
TELL_AGAIN_S = 60.0
"""Between two events about rows that were dropped, or about further troubles while nothing is recorded."""
TROUBLE_LENGTH = 300


class Standing(NamedTuple):
    """A state of `JournalSnapshot`, and why, if nothing is recorded."""

    state: str
    trouble: str = ""


class Recording:
    """The journal, as the books have it."""

    def __init__(self, books: Books, out: Output) -> None:
        self._books = books
        self._out = out
        self._wait_until = 0.0
        self._told = ""
        """The trouble that operators know of; empty while all is well."""
        self._told_at = 0.0
        self._told_set_aside = 0
        self._told_missing = Missing()
        self._missing_told_at: float | None = None

    def begin(self, now: float) -> None:
        self._wait_until = now + PATIENCE_S

    def known(self, sample: RecorderSample | ServerSample) -> None:
        """The first word of a process that was adopted: an earlier supervisor has told of it."""
        self._told_missing = self._told_missing.plus(missing_by(sample))
        if isinstance(sample, RecorderSample):
            self._told_set_aside += set_aside_by(sample)

    # --- how it stands ------------------------------------------------------------------------------------------------

    def standing(self, now: float) -> Standing:
        recorder = self._books.recorder
        if not self._books.config.journal.enabled:
            return Standing(OFF)
        if recorder is None:
            return Standing(STARTING)
        if recorder.state is S.FAILED:
            return Standing(STOPPED, f"the recorder has failed: {recorder.cause}")
        if recorder.state not in READY:
            if recorder.crashes.crashes(None, self._books.config.supervisor) < CRASHES:
                return Standing(STARTING)
            return Standing(STOPPED, f"the recorder ended: {recorder.cause}")
        # Looked at more closely for a while, as `health` does: a supervisor that was stopped takes nobody for silent.
        if now - recorder.heard_at >= SILENT_S and recorder.health.works is not None:
            return Standing(STOPPED, "the recorder is silent")
        sample = self._books.journal.sample
        if sample is None:
            return Standing(STARTING)
        return Standing(STOPPED, printable(sample.trouble, TROUBLE_LENGTH)) if sample.trouble else Standing(RECORDING)

    def holds_up(self, recorder: Process, now: float) -> bool:
        """Whether a start waits for it: until it records, or it is known why it does not, or that takes too long."""
        if self.standing(now).state != STARTING or now >= self._wait_until:
            return False
        # One that was adopted says how it does within a second; nobody waits for that.
        return not (recorder.adopted and recorder.state is S.RUNNING)

    def unrecorded(self, now: float) -> str:
        """Why requests are not recorded; empty when they are, or shall not be."""
        recorder = self._books.recorder
        state, trouble = self.standing(now)
        late = state == STARTING and (recorder is None or recorder.state is not S.RUNNING)
        return "the recorder is not ready yet" if late else trouble

    def recorder(self, now: float) -> int | Refusal:
        """The incarnation of the one that can be asked, or why none can."""
        recorder = self._books.recorder
        if recorder is not None and recorder.state in READY:
            return recorder.incarnation
        mend = "`primectl requests` reads by itself what there is"
        if not self._books.config.journal.enabled:
            return Refusal("requests are not recorded: journal.enabled is false", mend=mend)
        why = self.standing(now).trouble or "it is being started"
        return Refusal(f"the recorder does not run: {why}", mend=mend)

    def snapshot(self, now: float) -> JournalSnapshot:
        state, trouble = self.standing(now)
        return self._books.journal.snapshot(JournalSnapshot(state=state, trouble=trouble), self._books.front, now)

    # --- what is told of it -------------------------------------------------------------------------------------------

    def tell(self, now: float) -> None:
        """What operators do not know yet; to be asked each second."""
        state, trouble = self.standing(now)
        if state == STOPPED:
            if trouble != self._told and (not self._told or now - self._told_at >= TELL_AGAIN_S):
                self._told, self._told_at = trouble, now
                self._out.tell(JOURNAL, RECORDER, f"requests are not recorded: {trouble}", cause=trouble)
        elif state != STARTING and self._told:
            self._told = ""
            if state == RECORDING:
                self._out.tell(JOURNAL, RECORDER, "requests are recorded again")
        if self._books.journal.set_aside > self._told_set_aside:
            self._told_set_aside = self._books.journal.set_aside
            text = "the journal was damaged: it was set aside, and a new one begun; the recorder's log names it"
            self._out.tell(JOURNAL, RECORDER, text, cause="the journal was damaged")
        missing = self._books.journal.missing(self._books.front)
        count = missing.since(self._told_missing)
        if count and (self._missing_told_at is None or now - self._missing_told_at >= TELL_AGAIN_S):
            self._told_missing, self._missing_told_at = missing, now
            cause = "they came faster than they were written, or could not be written"
            self._out.tell(JOURNAL, RECORDER, f"{counted(count, 'row')} dropped: {cause}", cause=cause)
