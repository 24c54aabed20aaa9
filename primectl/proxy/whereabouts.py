"""Where a request was when its server called it off: that is recorded of one that timed out."""

from __future__ import annotations

from primectl.proxy.book import Book
from primectl.proxy.seats import Seats
from primectl.wire.job import RequestId, Whereabouts, WireJob, request_of
from primectl.wire.journal import Hop, add_hop

Places = dict[str, list[tuple[RequestId, bytes]]]
"""By server."""


def whereabouts(
    book: Book, seats: Seats, pool: str, requests: list[RequestId], now: float
) -> list[tuple[str, Whereabouts]]:
    """What to tell each server, by its name, of those of the requests that are here."""
    places: Places = {}
    for request in requests:
        ticket = book.by_request.get(request)
        if ticket is None or ticket.hollow:
            continue
        job = ticket.job
        seat = seats.all.get(ticket.holder)
        worker, begun = (pool, now) if seat is None else (seat.worker, seat.dealt or now)
        trail = add_hop(job.trail, Hop(worker, begun, now, job.attempt, failed=True))
        places.setdefault(job.origin, []).append((request, trail))
    return _told(places)


def waited(jobs: list[WireJob], pool: str, now: float) -> list[tuple[str, Whereabouts]]:
    """The same of jobs that have waited here until now."""
    places: Places = {}
    for job in jobs:
        trail = add_hop(job.trail, Hop(pool, now, now, job.attempt, failed=True))
        places.setdefault(job.origin, []).append((request_of(job.id), trail))
    return _told(places)


def _told(places: Places) -> list[tuple[str, Whereabouts]]:
    return [(origin, Whereabouts(found)) for origin, found in places.items()]
