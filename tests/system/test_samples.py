"""Each file of sample_configs/ brought up as it stands, but for its port, and asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from primectl.http.client import HttpClient
from tests.support.cluster import ClusterUnderTest, wait_until

SAMPLES = Path(__file__).parents[2] / "sample_configs"
M521 = 2**521 - 1


@contextmanager
def a_sample(name: str) -> Iterator[Asker]:
    text = (SAMPLES / f"{name}.toml").read_text()
    on_a_free_port = re.sub(r'^listen = "http://127\.0\.0\.1:\d+"', 'listen = "http://127.0.0.1:0"', text, flags=re.M)
    assert on_a_free_port != text
    with ClusterUnderTest(on_a_free_port, name=name) as cluster:
        cluster.up()
        yield Asker(cluster)


class Asker:
    """Asks one cluster, a connection a question."""

    def __init__(self, cluster: ClusterUnderTest) -> None:
        self.cluster = cluster
        self.url = cluster.url

    async def __call__(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        client = HttpClient(self.url, timeout=20)
        try:
            answer = await client.ask(method, target, headers, body)
        finally:
            await client.close()
        return answer.status, answer.body, {name.lower(): value for name, value in answer.fields}


async def test_prime_tells_primes_from_other_numbers():
    with a_sample("prime") as ask:
        for number, answer in (
            (7919, b"7919"),
            (7917, b"-1"),
            (0, b"-1"),
            (1, b"-1"),
            (2, b"2"),
            (M521, str(M521).encode()),
        ):
            assert (await ask("GET", f"/is_prime?possible_prime={number}"))[:2] == (200, answer)
            assert (await ask("POST", "/is_prime", f"{number}\n".encode()))[:2] == (200, answer)
        huge = "1" + "0" * 5000
        assert (await ask("GET", f"/is_prime?possible_prime={huge}"))[:2] == (200, b"-1")
        for bad in (
            "",
            "?possible_prime=",
            "?possible_prime=x",
            "?possible_prime=1.5",
            "?possible_prime=-7",
            "?other=7",
        ):
            status, text, headers = await ask("GET", f"/is_prime{bad}")
            assert (status, headers["content-type"]) == (400, "text/plain; charset=utf-8")
            assert b"possible_prime" in text
        status, _, _ = await ask("POST", "/is_prime", b"9" * 10_001)
        assert status == 400
        status, _, headers = await ask("DELETE", "/is_prime")
        assert status == 405
        assert {"GET", "POST"} <= set(headers["allow"].split(", "))
        assert (await ask("GET", "/elsewhere"))[0] == 404
        assert (await ask("GET", "/health"))[0] == 200
        assert (await ask("GET", "/ready"))[0] == 200


async def test_art_draws():
    with a_sample("art") as ask:
        status, text, headers = await ask("GET", "/art?text=Hello")
        assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert len(text.decode().splitlines()) >= 3


async def test_files_serves_its_folder_and_no_path_escapes_it():
    with a_sample("files") as ask:
        status, body, headers = await ask("GET", "/")
        assert (status, headers["content-type"].partition(";")[0]) == (200, "text/html")
        assert b"<html" in body
        head = await ask("HEAD", "/")
        assert (head[0], head[1], head[2]["content-length"]) == (200, b"", str(len(body)))
        for path in (
            "/../../../../../../../../etc/passwd",
            "/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
            "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "/%252e%252e/%252e%252e/etc/passwd",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/x%00.html",
        ):
            status, body, _ = await ask("GET", path)
            assert status in (400, 403, 404), path
            assert b"root:" not in body


async def test_echo_tells_what_it_was_asked():
    with a_sample("echo") as ask:
        status, body, _ = await ask("POST", "/echo/a%20b?x=1&x=2", b"hi", {"X-Own": "yes"})
        told = json.loads(body)
        assert status == 200
        assert (told["method"], told["path"], told["headers"]["x-own"]) == ("POST", "/echo/a b", "yes")
        assert (await ask("GET", "/echo?fail=1"))[0] == 500
        assert (await ask("GET", "/echo?hops=5"))[0] == 200
        status, body, headers = await ask("GET", "/echo?hops=300")
        assert (status, headers["content-type"]) == (500, "application/problem+json")
        assert "max_hops" in json.loads(body)["detail"]


async def test_stream_counts_line_by_line_and_the_worker_that_knows_a_name_counts_on():
    with a_sample("stream") as ask:
        reached = 0
        for asked in range(1, 6):
            status, text, headers = await ask("GET", "/count/anna?to=3&every=0")
            assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
            assert headers.get("transfer-encoding") == "chunked"
            lines = text.decode().splitlines()
            assert [line.rpartition(" from ")[0] for line in lines] == [f"anna {reached + n}" for n in (1, 2, 3)]
            reached += 3
            # An answer may be here before its worker is idle again, and only an idle one is preferred.
            wait_until(lambda asked=asked: ask.cluster.pool("count")["done"] == asked, what="an idle worker")
        assert (await ask("GET", "/count/anna?to=many"))[0] == 400


@pytest.mark.parametrize("sample", sorted(path.stem for path in SAMPLES.glob("*.toml")))
def test_every_sample_has_a_test_here(sample: str):
    assert f'a_sample("{sample}")' in Path(__file__).read_text()


def test_the_url_of_a_cluster_has_the_port_that_it_really_has():
    with a_sample("echo") as ask:
        assert urlsplit(ask.url).port
