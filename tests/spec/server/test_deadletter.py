"""What is kept of a request that was given up."""

from __future__ import annotations

import base64
import json

import pytest

from primectl.config.model import JournalConfig
from primectl.journal.redact import Redactor
from primectl.message import Request
from primectl.server.deadletter import BODY_LIMIT, dead_letter
from primectl.wire import frames
from primectl.wire.job import Answer, WireJob, first_job

REDACTOR = Redactor(
    JournalConfig(redact_headers=("authorization", "set-cookie"), redact_query=("token",), redact_body=("/password",)),
    b"k" * 32,
)


def letter_of(request: Request, body: bytes = b'{"detail": "why"}', payload: bytes | None = None) -> dict[str, object]:
    kind, encoded = frames.encode_payload(request)
    job = WireJob(first_job(1, 2), "server.1", 30.0, kind, True, encoded if payload is None else payload)
    answer = Answer(job.id, 502, (), body, "proxy.compute", 3)
    line = dead_letter(job, answer, "2026-01-01T00:00:00.000Z", REDACTOR)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return json.loads(line)


def test_the_pool_the_reason_and_the_attempts_are_those_of_the_proxy():
    letter = letter_of(Request("GET", "/x"))
    assert (letter["pool"], letter["detail"], letter["attempts"], letter["status"]) == ("compute", "why", 3, 502)


def test_secrets_are_left_out_wherever_they_are():
    fields = (("Authorization", "s3cret"), ("SET-COOKIE", "s3cret"), ("x", "open"))
    letter = letter_of(Request("POST", "/a?token=s3cret&b=1", fields, b'{"password": "s3cret", "user": "ana"}'))
    token = REDACTOR.token(b"s3cret")
    assert letter["fields"] == [["Authorization", token], ["SET-COOKIE", token], ["x", "open"]]
    assert letter["target"] == f"/a?token={token}&b=1"
    assert json.loads(str(letter["body"])) == {"password": token, "user": "ana"}
    assert letter["body_bytes"] == len(str(letter["body"]))
    assert "s3cret" not in json.dumps(letter)


def test_a_body_in_which_secrets_cannot_be_found_is_not_kept():
    letter = letter_of(Request("POST", "/", (("content-type", "application/json"),), b'{"password": "s3cret'))
    assert (letter["body"], letter["body_bytes"], letter["body_cut"]) == ("", 20, True)


@pytest.mark.parametrize("text", ["", "plain", 'é\n"\u2028\\', "\x00\x7f"])
def test_text_is_kept_as_text(text: str):
    letter = letter_of(Request("POST", "/", body=text.encode()))
    assert (letter["body"], letter["body_encoding"], letter["body_cut"]) == (text, "utf-8", False)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"half \xc3"])
def test_what_is_no_text_is_kept_as_base64(body: bytes):
    letter = letter_of(Request("POST", "/", body=body))
    assert letter["body_encoding"] == "base64"
    assert base64.b64decode(str(letter["body"])) == body


def test_a_long_body_is_cut_and_says_so():
    letter = letter_of(Request("POST", "/", body=b"x" * (BODY_LIMIT + 1)))
    assert (letter["body"], letter["body_cut"]) == ("x" * BODY_LIMIT, True)
    assert letter["body_bytes"] == BODY_LIMIT + 1


def test_a_cut_does_not_turn_text_into_bytes():
    letter = letter_of(Request("POST", "/", body=b"x" + "é".encode() * BODY_LIMIT))
    assert letter["body_encoding"] == "utf-8"
    assert str(letter["body"]) == "x" + "é" * (BODY_LIMIT // 2 - 1)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"detail": 7}'])
def test_an_answer_that_is_no_problem_has_no_detail(body: bytes):
    assert letter_of(Request("GET", "/"), body)["detail"] == ""


def test_a_payload_that_cannot_be_read_is_no_reason_to_lose_the_rest():
    letter = letter_of(Request("GET", "/"), payload=b"\xc1")
    assert (letter["method"], letter["target"], letter["request_id"]) == ("-", "-", "0001000000002")
