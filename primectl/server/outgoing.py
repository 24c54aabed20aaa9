"""What one server has yet to say to one pool's proxy, in the order in which it is said.

Whatever cannot be sent now waits here and is offered again: jobs, since each is an open request; cancels, until nobody
would do the work any more; of the limits of a streamed answer the latest.
"""

from __future__ import annotations

from collections.abc import Iterator

from primectl.wire import frames
from primectl.wire.job import Allow, Cancel, JobId, Jobs, JobsAgain, RequestId, WireJob, request_of

CANCELS_KEPT = 20_000
"""Cancels that wait for one proxy; the oldest is dropped beyond it, its job then ends by its deadline."""
CANCELS_A_FRAME = 4096


class Outgoing:
    """For one pool. Frames are made when asked for and stay due until `sent` says how far it went."""

    __slots__ = ("_again", "_allows", "_cancels", "_jobs", "add", "cancels_dropped")

    def __init__(self) -> None:
        self._jobs: list[WireJob] = []
        self.add = self._jobs.append
        """Takes a new job: a method that costs as little as it does."""
        self._again: dict[RequestId, WireJob] = {}
        self._cancels: dict[RequestId, float] = {}
        self._allows: dict[JobId, Allow] = {}
        self.cancels_dropped = 0

    def add_again(self, jobs: list[WireJob]) -> None:
        """What was sent to the proxy's predecessor, and is lost with it. What has not left yet is not lost."""
        waiting = {job.id for job in self._jobs}
        self._again.update((request_of(job.id), job) for job in jobs if job.id not in waiting)

    def add_anew(self, jobs: list[WireJob]) -> None:
        """What may have gone on from this pool and been lost there. The proxy drops what it has itself."""
        waiting = {job.id for job in (*self._jobs, *self._again.values())}
        self._jobs += [job for job in jobs if job.id not in waiting]

    def cancel(self, request: RequestId, deadline: float) -> None:
        """Nobody waits for the request any more. After `deadline` nobody needs to be told."""
        self._again.pop(request, None)
        self._cancels[request] = deadline
        if len(self._cancels) > CANCELS_KEPT:
            del self._cancels[next(iter(self._cancels))]
            self.cancels_dropped += 1

    def withdraw(self, requests: frozenset[RequestId]) -> frozenset[RequestId]:
        """Drop jobs that have not left; tells which of the requests these were."""
        if not self._jobs:
            return frozenset()
        found = frozenset(request_of(job.id) for job in self._jobs) & requests
        if found:
            self._jobs[:] = [job for job in self._jobs if request_of(job.id) not in found]
        return found

    def allow(self, allow: Allow) -> None:
        self._allows[allow.job] = allow

    def forget_stream(self, job: JobId) -> None:
        """A streamed answer has ended: its worker waits for no limit any more."""
        self._allows.pop(job, None)

    @property
    def idle(self) -> bool:
        return not (self._jobs or self._again or self._cancels or self._allows)

    def urgent(self, now: float) -> Iterator[tuple[bytes, Cancel | Allow]]:
        """What must not queue behind jobs: frames, and what to give to `urgent_sent` for each that has left."""
        if self._cancels:
            over = [request for request, deadline in self._cancels.items() if deadline <= now]
            for request in over:
                del self._cancels[request]
            requests = list(self._cancels)
            for start in range(0, len(requests), CANCELS_A_FRAME):
                cancel = Cancel(requests[start : start + CANCELS_A_FRAME])
                yield frames.encode(cancel), cancel
        for allow in list(self._allows.values()):
            yield frames.encode(allow), allow

    def urgent_sent(self, message: Cancel | Allow) -> None:
        if type(message) is Allow:
            if self._allows.get(message.job) == message:
                del self._allows[message.job]
        else:
            assert type(message) is Cancel
            for request in message.requests:
                self._cancels.pop(request, None)

    def again(self) -> Iterator[tuple[bytes, int]]:
        """What is sent again: frames, each with its number of jobs; `again_sent` takes their sum."""
        for batch in frames.batches(list(self._again.values())):
            yield frames.encode(JobsAgain(batch)), len(batch)

    def again_sent(self, count: int) -> None:
        for request in list(self._again)[:count]:
            del self._again[request]

    def jobs(self) -> Iterator[tuple[bytes, int]]:
        """New jobs in order, like `again`."""
        for batch in frames.batches(self._jobs):
            yield frames.encode(Jobs(batch)), len(batch)

    def jobs_sent(self, count: int) -> None:
        del self._jobs[:count]
