"""The sample `prime`: which requests hold a number, and what is answered."""

import sys

import gmpy2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.handlers import prime
from primectl.message import Forward, Job, Request, Response

HOW_GET = "ask for /is_prime?possible_prime=97\n"
HOW_POST = "send just the number as the body\n"
ANY_JOB = Job(1, "r", "parse", "parse.1", 1, 0.0)


def get(query: str) -> Forward | Response:
    return prime.parse(Request("GET", f"/is_prime{query}"), ANY_JOB)


def post(body: bytes) -> Forward | Response:
    return prime.parse(Request("POST", "/is_prime", body=body), ANY_JOB)


def refusal(text: str) -> Response:
    return Response.text(text, status=400)


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("?possible_prime=97", 97),
        ("?possible_prime=0", 0),
        ("?possible_prime=007", 7),
        ("?possible_prime=%39%37", 97),
        ("?possible%5Fprime=97", 97),
        ("?verbose=1&possible_prime=97", 97),
        ("?possible_prime=97&verbose=1", 97),
    ],
)
def test_the_number_of_a_get_is_in_the_query(query: str, number: int) -> None:
    assert get(query) == Forward("compute", number)


@pytest.mark.parametrize(("body", "number"), [(b"97", 97), (b" 97\r\n", 97), (b"\t0007\n", 7)])
def test_the_number_of_a_post_is_the_body_with_or_without_white_space_around(body: bytes, number: int) -> None:
    assert post(body) == Forward("compute", number)


@pytest.mark.parametrize(
    "value", ["-7", "%2B7", "+7", "7.0", "1e3", "0x7", "7_000", "seven", "7%2C7", "%D9%A7", "%C2%B2", "7%00"]
)
def test_anything_but_digits_is_refused(value: str) -> None:
    assert get(f"?possible_prime={value}") == refusal(f"expected one whole number of the digits 0 to 9: {HOW_GET}")


def test_a_missing_empty_or_repeated_number_is_refused() -> None:
    for query in ("", "?", "?other=7", "?x=?possible_prime=7"):
        assert get(query) == refusal(f"possible_prime must be given once, it is given 0 times: {HOW_GET}")
    assert get("?possible_prime=") == refusal(f"there is no number: {HOW_GET}")
    assert get("?possible_prime=7&possible_prime=7") == refusal(
        f"possible_prime must be given once, it is given 2 times: {HOW_GET}"
    )


@pytest.mark.parametrize("body", [b"7 7", b"possible_prime=7", b"-7", b"\xd9\xa7", b"\xb2", b"7\x007", b"\xff"])
def test_a_body_that_is_no_number_is_refused(body: bytes) -> None:
    assert post(body) == refusal(f"expected one whole number of the digits 0 to 9: {HOW_POST}")


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_body_is_refused(body: bytes) -> None:
    assert post(body) == refusal(f"there is no number: {HOW_POST}")


def test_the_number_of_digits_has_a_limit() -> None:
    assert isinstance(post(b"1" * 10_000), Forward)
    assert post(b"1" * 10_001) == refusal(f"the number has 10001 digits, at most 10000 are allowed: {HOW_POST}")


def test_the_limit_comes_from_the_environment_and_must_make_sense() -> None:
    assert prime.max_digits("5") == 5
    for text in ("", "0", "-1", "many", "1" * 10):
        with pytest.raises(ValueError, match=r"^PRIME_MAX_DIGITS: expected a whole number above 0, got "):
            prime.max_digits(text)


@pytest.mark.parametrize("number", [2, 3, 5, 104_729, 2**61 - 1, 2**127 - 1])
def test_a_prime_is_answered_with_itself(number: int, job: Job) -> None:
    assert prime.compute(number, job) == Response.text(str(number))


@pytest.mark.parametrize("number", [0, 1, 4, 104_730, 561, 3_215_031_751, 2**67 - 1])
def test_anything_else_is_answered_with_minus_one(number: int, job: Job) -> None:
    assert prime.compute(number, job) == Response.text("-1")


def test_thousands_of_digits_travel_through_both_pools(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """2^19937 - 1 has 6002 digits, more than Python turns into an int or a text by itself.

    It is prime; showing that takes seconds, so here its being so is taken for granted.
    """
    mersenne = 2**19_937 - 1
    assert sys.get_int_max_str_digits() < 6002
    digits = gmpy2.digits(mersenne)
    asked = post(digits.encode())
    assert asked == Forward("compute", mersenne) == get(f"?possible_prime={digits}")
    assert type(asked.payload) is int  # type: ignore[union-attr]
    assert prime.compute(mersenne - 1, job) == Response.text("-1")
    monkeypatch.setattr(gmpy2, "is_prime", lambda number: True)
    assert prime.compute(mersenne, job) == Response.text(digits)


@given(st.integers(min_value=0, max_value=10**30))
def test_every_whole_number_is_understood_the_same_by_get_and_post(number: int) -> None:
    assert get(f"?possible_prime={number}") == Forward("compute", number) == post(b"%d" % number)


@given(st.integers(min_value=0, max_value=5000))
def test_the_answer_is_that_of_trial_division(number: int) -> None:
    is_prime = number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))
    assert prime.compute(number, ANY_JOB).body == (b"%d" % number if is_prime else b"-1")


@given(st.text(), st.binary())
def test_nothing_that_is_sent_makes_it_raise(query: str, body: bytes) -> None:
    assert isinstance(get(f"?{query}"), Forward | Response)
    assert isinstance(post(body), Forward | Response)
