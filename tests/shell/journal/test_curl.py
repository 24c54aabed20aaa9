"""What a POSIX shell makes of the lines: `curl` here is a script that says what it was given."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primectl.journal import plan
from primectl.journal.curl import to_curl
from primectl.journal.steps import Outgoing
from primectl.wire.journal import Entry, Row

PRINTER = """#!/bin/sh
for word in "$@"; do printf '%s\\0' "$word"; done
case "$*" in *"--data-binary @-") printf 'stdin\\0'; cat;; esac
"""

names = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,6}", fullmatch=True)
values = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=8).map(
    lambda text: text.strip()
)
targets = st.from_regex(r"/[!-~\x80-\xff]{0,8}", fullmatch=True)
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "BR'EW"])
bodies = (
    st.binary(max_size=40) | st.text(max_size=20).map(str.encode) | st.sampled_from([b"@a", b"-n", b"a\n", b"%s\\n"])
)


@pytest.fixture(scope="module")
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "curl")
        script.write_text(PRINTER)
        script.chmod(0o755)
        yield f"{folder}:{os.environ['PATH']}"


def as_asked_for(given_: bytes) -> Outgoing:
    """The request that curl sends when it is given these words; what it adds by itself is not there."""
    words = iter(given_.split(b"\0"))
    method, url, target, data = "", b"", b"", None
    fields: list[tuple[str, str]] = []
    dropped: list[bytes] = []
    for word in words:
        match word:
            case b"-X":
                method = next(words).decode("latin-1")
            case b"--head":
                method = "HEAD"
            case b"--request-target":
                target = next(words)
            case b"--data-raw":
                data = next(words)
            case b"--data-binary":
                assert next(words) == b"@-"
                assert next(words) == b"stdin"
                data = b"\0".join(words)
            case b"-H":
                field = next(words)
                name, _, value = field.partition(b": ")
                if value:
                    fields.append((name.decode("latin-1"), value.decode("latin-1")))
                elif field.endswith(b";"):
                    fields.append((field[:-1].decode("latin-1"), ""))
                else:
                    dropped.append(field)
            case b"--globoff" | b"--path-as-is" | b"":
                pass
            case _:
                assert url == b"", (word, url)
                url = word
    assert url.startswith(b"http://h:1/")
    target = target or url.removeprefix(b"http://h:1")
    implied = "GET" if data is None else "POST"
    return Outgoing(method or implied, target.decode("latin-1"), tuple(fields), data or b"")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=methods,
    target=targets,
    fields=st.lists(st.tuples(names, values), max_size=3).map(tuple),
    body=bodies,
)
def test_a_shell_gives_curl_just_what_was_asked(
    path: str, method: str, target: str, fields: tuple[tuple[str, str], ...], body: bytes
):
    where, _, query = target.partition("?")
    row = Row(id="1", time=0.0, method=method, path=where, query=query, status=200, ms=1.0, asked_size=len(body))
    entry = Entry(row=row, fields=fields, body=body)
    line = to_curl(entry, "http://h:1")
    assert "\n" not in line
    ran = subprocess.run(["sh", "-c", line], env={"PATH": path}, capture_output=True, check=True)
    assert ran.stderr == b""
    wanted = plan.bare(entry)
    if method == "HEAD":
        wanted = Outgoing("HEAD", wanted.target, wanted.fields)
    assert as_asked_for(ran.stdout) == wanted


def test_a_body_longer_than_an_argument_may_be_gets_through(path: str):
    body = bytes(range(256)) * 2000
    row = Row(id="1", time=0.0, method="POST", path="/", status=200, ms=1.0, asked_size=len(body))
    line = to_curl(Entry(row=row, body=body), "http://h:1")
    # from a file, as an exported script would be: the line itself is too long for an argument
    ran = subprocess.run(["sh"], input=line.encode(), env={"PATH": path}, capture_output=True, check=True)
    assert as_asked_for(ran.stdout).body == body
