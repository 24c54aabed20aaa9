"""What is wrong with recording, in a line: where it is well, nothing is said."""

from __future__ import annotations

from primectl.wire.stats import JournalSnapshot
from tui.present.clean import clean

STOPPED = "stopped"


def journal_trouble(journal: JournalSnapshot) -> str:
    """Why requests are not recorded, how many rows are missing; empty where none of it is so."""
    said = []
    if journal.state == STOPPED:
        said.append(f"not recording: {clean(journal.trouble)}")
    if journal.dropped:
        said.append(f"{journal.dropped:,} row{'s' if journal.dropped != 1 else ''} dropped")
    return ", ".join(said)
