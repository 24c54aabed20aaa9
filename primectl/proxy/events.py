"""What can happen to the dispatcher of a pool, and what it may ask for in answer."""

from __future__ import annotations

from msgspec import Struct

from primectl.control.notes import Begun
from primectl.proxy.ticket import Address
from primectl.wire.job import Allow, FromOut, RequestId, WireJob
from primectl.wire.journal import Hop

# --- events -----------------------------------------------------------------------------------------------------------


class JobsArrived(Struct, frozen=True):
    """From `in`: jobs to queue behind all others."""

    jobs: list[WireJob]


class JobsSentAgain(Struct, frozen=True):
    """From `in`: what a server waits for since before this run of the proxy. See `reunion`."""

    jobs: list[WireJob]


class RequestsCancelled(Struct, frozen=True):
    """From `in`: nobody waits for these any more."""

    requests: list[RequestId]


class WorkerSpoke(Struct, frozen=True):
    """From `out`: anything that a worker says on one of its lanes, or a server on its own. With an `Announce`, `notes`
    tells whether the worker notes what it begins."""

    address: Address
    message: FromOut
    notes: bool = False


class WorkerLost(Struct, frozen=True):
    """A worker is gone: the supervisor saw it end, or its connection is no more. `begun` is None where nobody knows,
    and where it is not certain that it will not go on; with `unsent` it does not matter, since the socket did not take
    what the worker was dealt."""

    worker: str
    incarnation: int
    begun: Begun | None = None
    unsent: bool = False


class RosterTold(Struct, frozen=True):
    """The workers (id, incarnation) that an earlier run of this proxy served."""

    workers: list[tuple[str, int]]


class NotesRead(Struct, frozen=True):
    """The answer to `ReadNotes`."""

    notes: dict[str, Begun]


class DrainAsked(Struct, frozen=True):
    """Deal no more to these workers; with none named, take no more jobs into the pool."""

    workers: list[str]


class ResumeAsked(Struct, frozen=True):
    """The end of that."""

    workers: list[str]


class TurnEnded(Struct, frozen=True):
    """Everything that had arrived has been told: deal."""


class Ticked(Struct, frozen=True):
    """`next_deadline` has come."""


DispatchEvent = (
    JobsArrived
    | JobsSentAgain
    | RequestsCancelled
    | WorkerSpoke
    | WorkerLost
    | RosterTold
    | NotesRead
    | DrainAsked
    | ResumeAsked
    | TurnEnded
    | Ticked
)


# --- actions ----------------------------------------------------------------------------------------------------------


class SendJobs(Struct, frozen=True):
    """By the worker's work lane. If that is refused, say `WorkerLost` (unsent): the jobs are still booked here."""

    address: Address
    jobs: list[WireJob]


class SendCancel(Struct, frozen=True):
    """By the worker's urgent lane."""

    address: Address
    requests: list[RequestId]


class SendGoodbye(Struct, frozen=True):
    """By the worker's work lane, behind the last jobs."""

    address: Address


class PassAllow(Struct, frozen=True):
    """By the worker's urgent lane."""

    address: Address
    allow: Allow


class AskWho(Struct, frozen=True):
    """A worker spoke that has not announced itself to this proxy."""

    address: Address


class GiveUp(Struct, frozen=True):
    """Answer the job's client: `status` with `detail`. With 503 it may try again soon (Retry-After)."""

    job: WireJob
    status: int
    detail: str
    lost: Hop | None = None
    """What is known of the worker that had it; None where none had."""


class TellStuck(Struct, frozen=True):
    """A worker has not let go of a cancelled request in time: to the supervisor, which will end it."""

    worker: str
    incarnation: int
    request: RequestId


class ReadNotes(Struct, frozen=True):
    """Read what all workers of the pool, those there and those gone, have noted; say `NotesRead`."""


DispatchAction = SendJobs | SendCancel | SendGoodbye | PassAllow | AskWho | GiveUp | TellStuck | ReadNotes
