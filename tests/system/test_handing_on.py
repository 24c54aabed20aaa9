"""Requests go from one cluster to another, and to a shell, by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import ClusterUnderTest, wait_until

CONFIG = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"

[routes]
"/*" = "length"

[pools.length]
handler = "length:length"
workers = 1

[journal]
redact_query = ["pin"]
"""
HANDLER = """
from primectl import Response

def length(request, job):
    return Response.text(f"{request.method} {len(request.body)} {request.headers.get('authorization') == 'hunter2'}")
"""
BODY = b"a'b%\\\n\0\xff"
CURL = f"""#!{sys.executable}
# what curl would send of the words that are used here, by the standard library
import sys, urllib.request
words = iter(sys.argv[1:])
url, fields, data, method = "", {{}}, None, None
for word in words:
    if word == "-H":
        name, colon, value = next(words).partition(": ")
        fields.update({{name: value}} if colon else {{}})
    elif word == "-X":
        method = next(words)
    elif word == "--data-binary":
        assert next(words) == "@-"
        data = sys.stdin.buffer.read()
    else:
        url = word
print(urllib.request.urlopen(urllib.request.Request(url, data, fields, method=method)).read().decode())
"""


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest(CONFIG, name="length", files={"length.py": HANDLER}) as cluster:
        yield cluster.up()


def ask(
    cluster: ClusterUnderTest, method: str, target: str, body: bytes | None = None, fields: dict[str, str] | None = None
) -> bytes:
    with urllib.request.urlopen(
        urllib.request.Request(f"{cluster.url}{target}", body, fields or {}, method=method)
    ) as answer:
        found: bytes = answer.read()
        return found


def listed(cluster: ClusterUnderTest, where: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(cluster.cli("requests", "--where", where, "--json").stdout)["requests"]
    return rows


def test_what_was_recorded_goes_out_comes_in_again_and_is_sent_again(cluster: ClusterUnderTest) -> None:
    """1 two requests are recorded, 2 exported, no secret among them, 3 imported beside what is recorded meanwhile,
    4 sent again with the secret given."""
    ask(cluster, "GET", "/a?pin=sesame", fields={"Authorization": "hunter2"})
    ask(cluster, "POST", "/b", BODY)
    wait_until(lambda: len(listed(cluster)) == 2, what="two recorded requests")
    for name, requests, redacted in (("set.jsonl", 2, 1), ("set.har", 4, 2)):
        file = cluster.folder / name
        told = json.loads(cluster.cli("requests", "export", "-o", str(file), "--json").stdout)
        assert (told["requests"], told["redacted"]) == (requests, redacted)
        assert b"hunter2" not in file.read_bytes()
        assert b"sesame" not in file.read_bytes()
        cluster.cli("requests", "import", str(file))
    assert len(listed(cluster, "imported")) == 6
    assert {row["status"] for row in listed(cluster, "imported")} == {200}
    report = json.loads(
        cluster.cli(
            "replay", "run", str(cluster.folder / "set.har"), "--unsafe", "send", "--fail-on", "diff", "--json",
            "--secret", "authorization=WORD", "--secret", "pin=PIN", WORD="hunter2", PIN="sesame",
        ).stdout
    )  # fmt: skip
    assert (report["sent"], report["same"]) == (4, 4)


def test_curl_lines_ask_the_running_cluster_just_the_same(cluster: ClusterUnderTest, tmp_path: Path) -> None:
    answers = [ask(cluster, "GET", "/a?b=c"), ask(cluster, "PUT", "/b", BODY)]
    wait_until(lambda: len(listed(cluster)) == 2, what="two recorded requests")
    lines = cluster.cli("requests", "export", "--format", "curl").stdout
    assert lines.count(f" {cluster.url}/") + lines.count(f" '{cluster.url}/") == 2
    curl = tmp_path / "curl"
    curl.write_text(CURL)
    curl.chmod(0o755)
    ran = subprocess.run(["sh"], input=lines, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True)
    assert ran.stdout.encode().splitlines() == answers, ran.stderr
