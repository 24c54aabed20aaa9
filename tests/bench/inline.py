"""The work of both pools of the sample `prime` in one handler, as `bare_http` does it inline."""

from __future__ import annotations

import gmpy2

from primectl import Job, Request, Response


def is_prime(request: Request, job: Job) -> Response:
    """GET ?possible_prime=N, trusted to be a number."""
    number = int(request.target.rpartition("=")[2])
    return Response.text(str(number) if gmpy2.is_prime(number) else "-1")
