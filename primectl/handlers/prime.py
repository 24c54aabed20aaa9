"""Is this number prime? Two pools: `parse` reads the number, `compute` judges it with gmpy2.

    GET  /is_prime?possible_prime=N        POST /is_prime with N as the body

The answer is plain text: the number if it is prime, else -1. A number is ASCII digits and nothing else; around a body
white space is allowed. Leading zeros are allowed and not answered. Environment: PRIME_MAX_DIGITS (default 10000).
"""

from __future__ import annotations

import os

import gmpy2

from primectl.message import Forward, Job, Request, Response

KEY = "possible_prime"

_QUERY = f"{KEY}="
_INT_DIGITS = 640
"""Digits that int() and str() take whatever limit Python was started with (sys.set_int_max_str_digits)."""


def max_digits(text: str) -> int:
    """The limit in PRIME_MAX_DIGITS. Raises ValueError, which ends the import, for anything but a number above 0."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise ValueError(f'PRIME_MAX_DIGITS: expected a whole number above 0, got "{text}"')
    return int(text)


MAX_DIGITS = max_digits(os.environ.get("PRIME_MAX_DIGITS", "10000"))


def parse(request: Request, job: Job) -> Forward | Response:
    """The number in the request goes on to the pool `compute`; anything else is answered 400."""
    if request.method == "POST":
        text = request.body.strip().decode("latin-1")
    else:
        # By far most queries are this one key and plain digits: no need to decode them into a mapping.
        query = request.target.partition("?")[2]
        text = query[len(_QUERY) :] if query.startswith(_QUERY) else ""
        if not text.isdigit():
            values = [value for key, value in request.query_items if key == KEY]
            if len(values) != 1:
                return _refused(f"{KEY} must be given once, it is given {len(values)} times", request)
            text = values[0]
    # isdigit alone would take the digits of every script.
    if not (text.isdigit() and text.isascii()):
        return _refused("expected one whole number of the digits 0 to 9" if text else "there is no number", request)
    if len(text) > MAX_DIGITS:
        return _refused(f"the number has {len(text)} digits, at most {MAX_DIGITS} are allowed", request)
    return Forward("compute", int(text) if len(text) <= _INT_DIGITS else int(gmpy2.mpz(text)))


def compute(number: int, job: Job) -> Response:
    """The number itself if it is prime, else -1. Exact up to 2^64; beyond, Baillie-PSW and Miller-Rabin rounds."""
    return Response.text(gmpy2.digits(number) if gmpy2.is_prime(number) else "-1")


def _refused(why: str, request: Request) -> Response:
    how = "send just the number as the body" if request.method == "POST" else f"ask for /is_prime?{KEY}=97"
    return Response.text(f"{why}: {how}\n", status=400)
