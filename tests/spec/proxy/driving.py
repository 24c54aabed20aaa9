"""Short ways to tell a dispatcher what happens. Worker n is compute.<n>, incarnation <n>; it keeps notes."""

from __future__ import annotations

from msgspec import structs

from primectl.control.notes import NONE, Begun
from primectl.proxy.dispatch import Dispatch
from primectl.proxy.events import (
    DispatchAction,
    DispatchEvent,
    GiveUp,
    JobsArrived,
    RequestsCancelled,
    SendJobs,
    Ticked,
    TurnEnded,
    WorkerLost,
    WorkerSpoke,
)
from primectl.wire.job import Announce, Done, FromOut, JobId, WireJob, request_of
from tests.support.jobs import a_job, job_id, lane


def keyed(serial: int, key: str) -> WireJob:
    return structs.replace(a_job(serial), key=key)


def further(job: WireJob, hops: int = 1) -> WireJob:
    """The same request, forwarded so many times more."""
    return structs.replace(job, id=JobId(job.id + hops))


def arrive(dispatch: Dispatch, *jobs: WireJob, now: float = 0.0) -> None:
    assert dispatch.handle(JobsArrived(list(jobs)), now) == []


def join(
    dispatch: Dispatch,
    *numbers: int,
    holds: list[JobId] | None = None,
    key: str = "",
    notes: bool = True,
    now: float = 0.0,
) -> None:
    for number in numbers:
        message = Announce(f"compute.{number}", number, holds or [], key)
        assert dispatch.handle(WorkerSpoke(lane(number), message, notes), now) == []


def say(dispatch: Dispatch, number: int, message: FromOut, now: float = 0.0) -> list[DispatchAction]:
    return dispatch.handle(WorkerSpoke(lane(number), message), now)


def deal(dispatch: Dispatch, now: float = 0.0) -> list[DispatchAction]:
    return dispatch.handle(TurnEnded(), now)


def done(
    dispatch: Dispatch, number: int, *serials: int, service_s: float = 0.0, key: str = "", now: float = 0.0
) -> list[DispatchAction]:
    return say(dispatch, number, Done([job_id(serial) for serial in serials], service_s, 0, key), now)


def cancel(dispatch: Dispatch, *serials: int, now: float = 0.0) -> list[DispatchAction]:
    return dispatch.handle(RequestsCancelled([request_of(job_id(serial)) for serial in serials]), now)


def notes(
    *ids: int, current: int = 0, broken: tuple[int, ...] = (), complete_since: float = 0.0, alive: bool = False
) -> Begun:
    """Of jobs by their serials; `current` is among `ids` only when said so."""
    return Begun(
        job_id(current) if current else NONE,
        frozenset(map(job_id, ids)),
        complete_since,
        frozenset(map(job_id, broken)),
        alive,
    )


def lose(dispatch: Dispatch, number: int, begun: Begun | None = None, now: float = 0.0) -> list[DispatchAction]:
    return dispatch.handle(WorkerLost(f"compute.{number}", number, begun), now)


def tick(dispatch: Dispatch, now: float) -> list[DispatchAction]:
    """Time has come to `now`: everything that the dispatcher asks for comes due."""
    actions: list[DispatchAction] = []
    for _ in range(20):
        deadline = dispatch.next_deadline()
        if deadline is None or deadline > now:
            return actions
        actions += dispatch.handle(Ticked(), now)
    raise AssertionError(f"the dispatcher asks for {deadline} again and again")


def dealt(actions: list[DispatchAction]) -> dict[bytes, list[int]]:
    """The serials that each address was sent."""
    return {
        action.address: [request_of(job.id) & 0xFFFFFFFFF for job in action.jobs]
        for action in actions
        if isinstance(action, SendJobs)
    }


def given_up(actions: list[DispatchAction], status: int) -> list[JobId]:
    """All that these actions are: jobs given up with `status`."""
    assert all(isinstance(action, GiveUp) and action.status == status for action in actions), actions
    return [action.job.id for action in actions if isinstance(action, GiveUp)]


def tell(dispatch: Dispatch, event: DispatchEvent, now: float = 0.0) -> None:
    """Something that asks for no action by itself."""
    assert dispatch.handle(event, now) == []


def counted(dispatch: Dispatch, what: str) -> int:
    return dispatch.snapshot().counters.get(what, 0)
