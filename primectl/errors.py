"""Every error of the product, in one tree, split by who can mend it.

PrimectlError
├── ConfigError        the user: a config file or an argument is wrong            exit code 2
├── ProtocolError      a client: malformed or refused HTTP, carries a status
├── WireError          a peer process: a frame that is not one of our messages
├── CommandRefused     the operator: understood, but not possible now             exit code 1
│   ├── NotFound       no such cluster, pool or process                           exit code 3
│   └── TimedOut       not done in the time given                                 exit code 4
├── ChannelLost        the operator: the supervisor does not answer               exit code 3
├── StartFailed        the user: a process of the cluster did not come up         exit code 1
├── JournalError       the operator: recorded requests cannot be read or written  exit code 1
│   ├── JournalNewer   written by a newer version of this program
│   └── JournalDamaged not one of our files, or not whole
└── IllegalTransition  us: a state machine was asked for what its table forbids
"""

from __future__ import annotations

from collections.abc import Sequence


class PrimectlError(Exception):
    """What is wrong, where it is, and how to mend it; printed as one line."""

    exit_code = 1

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        super().__init__(what, where, mend)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f". {self.mend}" if self.mend else ""
        return f"{place}{self.what.rstrip('.') if remedy else self.what}{remedy}"


class ConfigError(PrimectlError):
    """A config file or an argument that cannot be used. `problems` holds one line for each mistake."""

    exit_code = 2

    def __init__(self, what: str, where: str = "", mend: str = "", *, problems: tuple[str, ...] = ()) -> None:
        super().__init__(what, where, mend)
        self.problems = problems or (PrimectlError.__str__(self),)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ProtocolError(PrimectlError):
    """A request that is refused before any handler sees it; `status` is the HTTP status of the refusal."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class WireError(PrimectlError):
    """Frames on an internal socket that are not one of our messages."""


class CommandRefused(PrimectlError):
    """The supervisor understood a command and cannot do it now, or tried and failed. `lines` are the end of the
    traceback or the log that tells why."""

    def __init__(self, what: str, where: str = "", mend: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(what, where, mend)
        self.lines = tuple(lines)

    def __str__(self) -> str:
        return "\n".join((super().__str__(), *(f"  | {line}" for line in self.lines)))


class NotFound(CommandRefused):
    """The cluster, pool or process that a command names does not exist."""

    exit_code = 3


class TimedOut(CommandRefused):
    """A command was not finished within its time."""

    exit_code = 4


class ChannelLost(PrimectlError):
    """No supervisor answers at the control endpoint."""

    exit_code = 3


class StartFailed(PrimectlError):
    """A process of the cluster did not become ready."""


class JournalError(PrimectlError):
    """Recorded requests cannot be read or written now: a full disk, no rights, a file that is in use."""


class JournalNewer(JournalError):
    """The journal was written by a newer version of this program, which alone knows what is in it."""


class JournalDamaged(JournalError):
    """The file is no journal of ours, or is damaged."""


class IllegalTransition(PrimectlError):
    """A state machine was handed an event that its table has no row for: a mistake of ours, nothing has moved."""
