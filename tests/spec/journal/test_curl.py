"""A recorded request as a line for the shell; what a shell makes of it is in tests/shell/journal."""

from __future__ import annotations

import pytest

from primectl.journal.curl import to_curl
from primectl.message import Headers
from primectl.wire.journal import Entry, Row

BASE = "http://127.0.0.1:8002"
AS_SENT: Headers = (("user-agent", "x"), ("accept", "*/*"))


def line(
    method: str = "GET",
    target: str = "/",
    fields: Headers = AS_SENT,
    body: bytes = b"",
    base: str = BASE,
    version: str = "1.1",
    cut_of: int = 0,
) -> str:
    path, _, query = target.partition("?")
    row = Row(
        id="0000000000abc", time=0.0, method=method, path=path, query=query, status=200, ms=1.0,
        cut=bool(cut_of), asked_size=cut_of,
    )  # fmt: skip
    return to_curl(Entry(row=row, fields=fields, body=body, version=version), base)


def test_a_plain_request_is_a_plain_line():
    assert (
        line(target="/is_prime?possible_prime=7")
        == "curl 'http://127.0.0.1:8002/is_prime?possible_prime=7' -H 'user-agent: x' -H 'accept: */*'"
    )


def test_what_curl_would_add_by_itself_is_switched_off():
    assert line(fields=()) == "curl http://127.0.0.1:8002/ -H User-Agent: -H Accept:"
    assert (
        line("POST", body=b"a")
        == "curl http://127.0.0.1:8002/ -H Content-Type: -H Expect: -H 'user-agent: x' -H 'accept: */*' --data-raw a"
    )


def test_a_head_is_asked_for_as_curl_does_it_and_without_a_body():
    assert line("HEAD", body=b"x").startswith("curl --head http://127.0.0.1:8002/ ")
    assert "data" not in line("HEAD", body=b"x")


def test_a_post_without_a_body_says_so():
    assert line("POST").endswith("--data-raw ''")
    assert line("PUT").startswith("curl -X PUT ")


def test_a_body_that_is_no_single_line_of_text_comes_through_printf():
    assert line("POST", body=b"a%b'\n\0\xff").startswith("printf 'a\\045b\\047\\012\\000\\377' | curl http")
    assert line("POST", body=b"a\n").endswith("--data-binary @-")


def test_a_long_body_is_no_argument_of_a_program():
    assert line("POST", body=b"x" * 200_000).startswith("printf 'xxx")


def test_a_body_that_looks_like_the_name_of_a_file_is_a_body():
    assert line("POST", body=b"@/etc/passwd").endswith("--data-raw @/etc/passwd")


def test_a_socket_and_an_old_version_are_said():
    assert line(base="unix:/run/a b.sock", version="1.0").startswith(
        "curl --unix-socket '/run/a b.sock' http://localhost/ --http1.0 "
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/a/../b", "--path-as-is http://127.0.0.1:8002/a/../b"),
        ("/a?b[]=1", "--globoff 'http://127.0.0.1:8002/a?b[]=1'"),
        ("/a#b", "--request-target '/a#b' http://127.0.0.1:8002/"),
        ("/\xe9", "--request-target \"$(printf '/\\351')\" http://127.0.0.1:8002/"),
        ("//there/a", "http://127.0.0.1:8002//there/a"),
    ],
)
def test_a_target_goes_out_as_it_came(target: str, words: str):
    assert line(target=target).startswith(f"curl {words} ")


def test_what_cannot_be_sent_again_is_a_comment_that_says_why():
    assert line("POST", body=b"abc", cut_of=9) == "# 0000000000abc: its body is cut at 3 of 9 bytes"
    assert line("GE\nT") == '# 0000000000abc: its method "GE?T" cannot be sent'


def test_what_was_redacted_stands_there_as_it_was_recorded():
    assert "-H 'cookie: redacted:7:0123456789abcdef'" in line(fields=(("cookie", "redacted:7:0123456789abcdef"),))
