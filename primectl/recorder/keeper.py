"""§ The journal as the recorder has it: open, or not, and then why; tried again until it is.

Nothing that happens to the file ends the recorder. A damaged one is set aside and a new one begun; one of a newer
version is left alone for good; whatever else is in the way (a full disk, no rights) may pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from primectl.clock import Clock
from primectl.config.model import JournalConfig
from primectl.config.topology import Place
from primectl.control.log import ProcessLog
from primectl.errors import JournalDamaged, JournalError, JournalNewer
from primectl.journal import store
from primectl.journal.entry import Page, pages
from primectl.journal.heard import Heard, Run
from primectl.journal.key import read_key
from primectl.journal.redact import Redactor
from primectl.journal.store import Journal, Kept
from primectl.recorder.intake import Taken

TRY_AGAIN_S = 1.0
BUSY_MS = 200
"""How long to wait for another writer before it is counted as trouble: what servers say waits as long."""


class Keeper:
    """`trouble` says in words why nothing is recorded, empty when it is. `rows` counts what was written, `malformed`
    frames that had no records in them."""

    def __init__(self, place: Place, settings: JournalConfig, log: ProcessLog, clock: Clock) -> None:
        self._place = place
        self._settings = settings
        self._log = log
        self._clock = clock
        self._journal: Journal | None = None
        self._redactor: Redactor | None = None
        self._retry_at = 0.0
        self._more = False
        self.trouble = ""
        self.hopeless = False
        """The journal is one of a newer version."""
        self.rows = 0
        self.malformed = 0
        self.set_aside = 0
        self._kept = Kept(0, 0, 0.0)
        self.heard: dict[Run, Heard] = {}
        """How far the servers had been heard, as the journal said when it was opened last."""

    def configure(self, settings: JournalConfig) -> None:
        """From now on."""
        self._settings = settings
        if self._redactor is not None:
            self._redactor = None
            self._attempt(self._take_key)
        if self._journal is not None:
            self._attempt(self._set_bounds)

    # --- open or not --------------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether something can be written, as far as is known; tries to open the journal when it is time."""
        if self._clock.monotonic() < self._retry_at:
            return False
        return (self._journal is not None and self._redactor is not None) or self._attempt(self._open)

    def _open(self) -> None:
        self.hopeless = False
        self._take_key()
        if self._journal is None:
            self._journal = Journal.open_writer(self._place.journal_file, wait_ms=BUSY_MS)
            self.heard = dict(self._journal.heard)
            self._set_bounds()

    def _take_key(self) -> None:
        if self._redactor is None:
            self._redactor = Redactor(self._settings, read_key(self._place.journal_key_file))

    def _set_bounds(self) -> None:
        assert self._journal is not None
        self._journal.configure(self._settings.max_size)

    def _attempt(self, act: Callable[[], None]) -> bool:
        """Do it; where it fails say why, and when to try again. A damaged file is replaced, and it is done again."""
        try:
            try:
                act()
            except JournalDamaged as damaged:
                self._replace(damaged)
                act()
        except JournalError as error:
            self._fail(error)
            return False
        if self.trouble:
            self._log.info("recording again")
            self.trouble = ""
        return True

    def _replace(self, damaged: JournalDamaged) -> None:
        self.close()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock.wall()))
        with store.trouble(self._place.journal_file):
            aside = store.set_aside(self._place.journal_file, stamp)
        self.set_aside += 1
        self._log.error(f"{damaged}; it is kept as {aside}, and a new one is begun")
        self._open()

    def _fail(self, error: JournalError) -> None:
        self.hopeless = isinstance(error, JournalNewer)
        self._retry_at = self._clock.monotonic() + TRY_AGAIN_S
        if self.trouble != str(error):
            self.trouble = str(error)
            self._log.error(f"nothing is recorded: {error}")

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, taken: Sequence[Taken], heard: Mapping[Run, Heard]) -> bool:
        """Whether it is on disk."""
        if not self.ready():
            return False
        return self._attempt(lambda: self._write(taken, heard))

    def _write(self, taken: Sequence[Taken], heard: Mapping[Run, Heard]) -> None:
        assert self._journal is not None
        malformed = 0
        found: list[Page] = []
        for each in taken:
            try:
                found += self._pages(each)
            except msgspec.MsgspecError:
                malformed += 1
        written = self._journal.append(found, self._clock.wall(), heard)
        self.malformed += malformed
        if written is not None:
            self.rows += written[1] - written[0] + 1

    def _pages(self, taken: Taken) -> list[Page]:
        assert self._redactor is not None
        redacted = self._redactor.records(taken.records)
        return pages(taken.server, taken.clock, redacted.records, redacted.names, skip=taken.skip)

    def prune(self) -> bool:
        """A small step; whether there is more to do."""
        self._more = False
        if self.ready():
            self._attempt(self._step)
        return self._more

    def _step(self) -> None:
        assert self._journal is not None
        self._more = self._journal.prune(self._clock.wall(), self._settings.keep, self._settings.max_size)

    def look(self) -> Kept:
        """What is in the journal, or was when it could be asked last.

        A file that somebody has removed is noticed here, and begun anew.
        """
        if self._journal is not None and not self._journal.is_current():
            self._log.warn(f"{self._place.journal_file} is gone, a new one is begun")
            self.close()
        if self.ready():
            self._attempt(self._ask)
        return self._kept

    def _ask(self) -> None:
        assert self._journal is not None
        self._kept = self._journal.kept()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
