"""What becomes of a job whose worker is lost."""

from __future__ import annotations

from msgspec import structs

from primectl.control.notes import Begun
from primectl.proxy.ticket import Ticket
from primectl.wire.job import WireJob

SPARED_LIMIT = 10
"""A job whose worker was lost before it was begun, so often, counts as begun: it may be what ends them."""


class LossRules:
    """`retry`: all jobs may run again or none, None leaves it to each."""

    __slots__ = ("_max_attempts", "_retry")

    def __init__(self, max_attempts: int, retry: bool | None) -> None:
        self._max_attempts = max_attempts
        self._retry = retry

    def may_run_again(self, job: WireJob) -> bool:
        return job.retryable if self._retry is None else self._retry

    def spares(self, ticket: Ticket, dealt: float, begun: Begun | None) -> bool:
        """Whether it is certain that the worker had not begun this job, which it was dealt at `dealt`."""
        job = ticket.job
        if begun is None or ticket.streaming or ticket.spared >= SPARED_LIMIT:
            return False
        if job.id in begun.ids or job.id == begun.current or job.id in begun.broken:
            return False
        # Only what may run once by its own method is noted for good.
        return self.may_run_again(job) or (not job.retryable and begun.complete_since <= dealt)

    def verdict(self, ticket: Ticket, worker: str) -> str:
        """Why a job that was begun, or may have been, is given up; "" when it is to be tried again."""
        job = ticket.job
        if ticket.streaming:
            return f"{worker} was lost in the middle of its answer"
        if not self.may_run_again(job):
            return f"{worker} was lost and may have begun it, and it may not be run twice"
        if job.attempt >= self._max_attempts:
            return f"{job.attempt} workers were lost while they ran it, the last was {worker}; it is not tried again"
        return ""

    @staticmethod
    def again(ticket: Ticket) -> None:
        """One attempt further, and alone."""
        ticket.job = structs.replace(ticket.job, attempt=ticket.job.attempt + 1)
        ticket.solo = True
