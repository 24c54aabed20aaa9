"""§ Whether a running cluster records what it is asked, said on stderr where it does not."""

from __future__ import annotations

from primectl.cli.terminal import tell
from primectl.config.topology import Place
from primectl.control.running import supervisor_pid
from primectl.errors import ChannelLost, CommandRefused, WireError
from primectl.wire.stats import ClusterSnapshot, JournalSnapshot
from tui.present.journal import journal_trouble

PATIENCE_S = 1.0
OFF = "requests are not recorded (journal.enabled = false)"


def tell_recording(place: Place) -> None:
    """A line if requests are not recorded now, or some could not be; nothing where that cannot be known."""
    if supervisor_pid(place) is None:
        return
    from primectl.control.client import ControlClient

    try:
        with ControlClient(place) as client:
            journal = client.ask("GET", "/cluster", None, ClusterSnapshot, timeout_s=PATIENCE_S).journal
    except (ChannelLost, CommandRefused, WireError):
        return  # the recorded requests were asked for, and a supervisor that is busy or leaves is no part of them
    if said := recording_text(journal):
        tell(f"cluster {place.cluster}: {said}")


def recording_text(journal: JournalSnapshot) -> str:
    """What is wrong with recording, "" for nothing."""
    return OFF if journal.state == "off" else journal_trouble(journal)
