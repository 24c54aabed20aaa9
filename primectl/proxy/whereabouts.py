"""Where a request was when its server called it off: that is recorded of one that timed out."""

from __future__ import annotations

from primectl.proxy.book import Book
from primectl.proxy.seats import Seats
from primectl.wire.job import RequestId, Whereabouts
from primectl.wire.journal import Hop, add_hop


def whereabouts(
    book: Book, seats: Seats, pool: str, requests: list[RequestId], now: float
) -> list[tuple[str, Whereabouts]]:
    """What to tell each server, by its name, of those of the requests that are here."""
    places: dict[str, list[tuple[RequestId, bytes]]] = {}
    for request in requests:
        ticket = book.by_request.get(request)
        if ticket is None or ticket.hollow:
            continue
        job = ticket.job
        seat = seats.all.get(ticket.holder)
        worker, begun = (pool, now) if seat is None else (seat.worker, seat.dealt or now)
        trail = add_hop(job.trail, Hop(worker, begun, now, job.attempt, failed=True))
        places.setdefault(job.origin, []).append((request, trail))
    return [(origin, Whereabouts(found)) for origin, found in places.items()]
