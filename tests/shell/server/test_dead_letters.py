"""Requests that a proxy gives up are kept in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from primectl.journal.redact import TOKEN
from primectl.wire.job import request_name, request_of
from tests.shell.server.bench import Bench, a_bench
from tests.support.plane import wait_for


@pytest.fixture
def bench() -> Iterator[Bench]:
    with a_bench() as bench:
        yield bench


def test_a_request_that_is_given_up_is_answered_and_kept_with_what_it_was_and_why(bench: Bench):
    client = bench.client()
    client.request("POST", "/do?a=1", b"payload", {"Authorization": "secret", "X-Own": "yes"})
    (job,) = bench.jobs()
    bench.fail(job, detail="3 workers were lost")
    answer = client.getresponse()
    assert (answer.status, json.loads(answer.read())["detail"]) == (502, "3 workers were lost")
    path = Path(bench.plane.place.dead_letters_file)
    (letter,) = map(json.loads, path.read_text().splitlines())
    fields = dict(letter.pop("fields"))
    assert (TOKEN.fullmatch(fields["authorization"]) is not None, fields["x-own"]) == (True, "yes")
    assert letter.pop("time").endswith("Z")
    assert letter.pop("client").startswith("127.0.0.1:")
    assert letter == {
        "request_id": request_name(request_of(job.id)),
        "pool": "web",
        "status": 502,
        "detail": "3 workers were lost",
        "attempts": 3,
        "method": "POST",
        "target": "/do?a=1",
        "body": "payload",
        "body_encoding": "utf-8",
        "body_bytes": 7,
        "body_cut": False,
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_other_answers_of_proxies_and_502s_of_handlers_are_no_dead_letters(bench: Bench):
    clients = [bench.ask("GET", "/do") for _ in range(2)]
    first, second = bench.jobs(2)
    bench.fail(first, status=503)
    bench.begin(second, status=502)
    bench.end(second)
    assert sorted(client.getresponse().status for client in clients) == [502, 503]
    assert not Path(bench.plane.place.dead_letters_file).exists()


def test_a_file_that_cannot_be_written_is_told_and_counted_and_the_client_has_its_answer(bench: Bench):
    Path(bench.plane.place.dead_letters_file).mkdir()
    for _ in range(3):
        client = bench.ask("GET", "/do")
        (job,) = bench.jobs()
        bench.fail(job)
        assert client.getresponse().status == 502
    bench.counter("dead_letters_dropped", 3)
    wait_for(lambda: "dead letters cannot be written" in bench.plane.log("server.1"), "the line in the log")
    assert bench.plane.log("server.1").count("dead letters cannot be written") == 1
