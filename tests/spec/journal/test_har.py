"""HAR 1.2, out and in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primectl.errors import ConfigError
from primectl.journal.har import END, begin, read_har, to_har
from primectl.message import Headers
from primectl.wire.journal import Entry, HopTimes, Row

names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,6}", fullmatch=True)
latin1 = st.text(st.characters(max_codepoint=255, exclude_characters="\n"), max_size=8)
headers: st.SearchStrategy[Headers] = st.lists(st.tuples(names, latin1), max_size=3).map(
    lambda some: (("host", "example.test:8080"), *some)
)
hops = st.builds(HopTimes, pool=names, worker=names, queued_ms=st.floats(0, 9), served_ms=st.floats(0, 9))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """What HAR can hold: HTTP with a Host."""
    body, answer_body = draw(st.binary(max_size=20)), draw(st.binary(max_size=20))
    cut, answer_cut = draw(st.booleans()), draw(st.booleans())
    target = draw(st.from_regex(r"/[!-\"$->@-~]{0,8}(\?[!-~]{1,8})?", fullmatch=True) | st.just("*") | latin1)
    path, _, query = target.partition("?")
    return Entry(
        row=Row(
            id=f"{draw(st.integers(1, 1 << 52 - 1)):013x}",
            number=draw(st.integers(0, 99)),
            time=draw(st.integers(0, 4_102_444_800_000).map(lambda ms: ms / 1000)),
            method=draw(st.sampled_from(["GET", "POST", ""])),
            path=path,
            query=query,
            status=draw(st.sampled_from([0, 200, 503])),
            ms=draw(st.floats(0, 1e6)),
            worker=draw(names),
            size=len(answer_body) + (3 if answer_cut else 0),
            asked_size=len(body) + (3 if cut else 0),
            problem=draw(latin1),
            hops=draw(st.lists(hops, max_size=2)),
            cut=cut,
            answer_cut=answer_cut,
            dead=draw(st.booleans()),
        ),
        version=draw(st.sampled_from(["1.0", "1.1"])),
        scheme=draw(st.sampled_from(["http", "https"])),
        fields=draw(headers),
        body=body,
        answer_fields=draw(headers),
        answer_body=answer_body,
        redacted=draw(st.lists(names, max_size=2)),
    )


def archive(*some: Any) -> bytes:
    return begin("0.1.0") + b",\n".join(map(msgspec.json.encode, some)) + END


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine it says nothing
@given(st.lists(entries(), max_size=2))
def test_what_is_written_is_read_again(some: list[Entry]):
    assert list(read_har(archive(*map(to_har, some)), "a.har")) == some


def test_an_archive_is_what_other_programs_expect():
    row = Row(
        id="0000000000001", time=1_767_225_600.0, method="POST", path="/a", query="b=1&c=%20", status=404, ms=12.5
    )
    entry = Entry(
        row=row,
        fields=(("host", "x.test"), ("content-type", "text/plain")),
        body=b"hello",
        answer_fields=(("content-type", "image/png"),),
        answer_body=b"\xff",
    )
    whole = msgspec.json.decode(archive(to_har(entry)))
    assert whole["log"]["version"] == "1.2"
    assert whole["log"]["creator"] == {"name": "primectl", "version": "0.1.0"}
    (told,) = whole["log"]["entries"]
    told.pop("_primectl")
    assert told == {
        "startedDateTime": "2026-01-01T00:00:00.000Z",
        "time": 12.5,
        "request": {
            "method": "POST",
            "url": "http://x.test/a?b=1&c=%20",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{"name": "host", "value": "x.test"}, {"name": "content-type", "value": "text/plain"}],
            "queryString": [{"name": "b", "value": "1"}, {"name": "c", "value": " "}],
            "headersSize": -1,
            "bodySize": 0,
            "postData": {"mimeType": "text/plain", "text": "hello"},
        },
        "response": {
            "status": 404,
            "statusText": "Not Found",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{"name": "content-type", "value": "image/png"}],
            "content": {"size": 0, "mimeType": "image/png", "text": "/w==", "encoding": "base64"},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": 0,
        },
        "cache": {},
        "timings": {"send": 0, "wait": 12.5, "receive": 0},
    }


def one(entry: dict[str, Any]) -> Entry:
    (found,) = read_har(msgspec.json.encode({"log": {"entries": [entry]}}), "a.har")
    return found


def asked(**request: Any) -> Entry:
    return one({"request": {"method": "GET", "url": "http://x.test/", **request}})


def test_an_entry_of_a_browser_is_understood():
    entry = one(
        {
            "_initiator": {"type": "other"},
            "startedDateTime": "2026-01-01T01:00:00.250+01:00",
            "time": 31.4,
            "comment": "the form",
            "request": {
                "method": "POST",
                "url": "https://x.test/form?a=b#there",
                "httpVersion": "h2",
                "headers": [{"name": ":authority", "value": "x.test"}, {"name": "accept", "value": "*/*"}],
                "queryString": [{"name": "a", "value": "b"}],
                "cookies": [],
                "bodySize": 7,
                "postData": {"mimeType": "text/plain", "text": "é=1"},
            },
            "response": {
                "status": 200,
                "headers": [{"name": "set-cookie", "value": "a=1\nb=2"}, {"name": "content-encoding", "value": "gzip"}],
                "content": {"size": 2, "mimeType": "text/html", "text": "aGk=", "encoding": "base64"},
            },
            "timings": {"wait": 30},
        }
    )
    assert entry == Entry(
        row=Row(
            id="0000000000001",
            time=1_767_225_600.25,
            method="POST",
            path="/form",
            query="a=b",
            status=200,
            ms=31.4,
            size=2,
            asked_size=4,
        ),
        scheme="https",
        fields=(("host", "x.test"), ("accept", "*/*")),
        body="é=1".encode(),
        answer_fields=(("set-cookie", "a=1"), ("set-cookie", "b=2")),
        answer_body=b"hi",
    )


def test_an_entry_needs_a_method_and_a_url_only():
    entry = asked()
    assert (entry.row.status, entry.row.time, entry.fields) == (0, 0.0, (("host", "x.test"),))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://x.test", "/"),
        ("http://x.test?a=b", "/?a=b"),
        ("http://x.test/a b/é?c d", "/a%20b/%C3%A9?c%20d"),
        ("HTTP://ana:pw@x.test:81/a//b?c=http://d/#e", "/a//b?c=http://d/"),
    ],
)
def test_a_url_becomes_the_target_of_a_request(url: str, target: str):
    assert asked(url=url).target == target


def test_a_query_that_stands_beside_the_url_is_used():
    assert asked(queryString=[{"name": "a", "value": "b c"}, {"name": "d"}]).target == "/?a=b+c&d="


@pytest.mark.parametrize(
    ("post", "body"),
    [
        ({"text": "a"}, b"a"),
        ({"text": "/w==", "encoding": "base64"}, b"\xff"),
        ({"text": None, "params": [{"name": "a", "value": "b c"}, {"name": "d", "value": None}]}, b"a=b+c&d="),
        (
            {"mimeType": "multipart/form-data; boundary=XX", "params": [{"name": "a", "value": "b"}]},
            b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--XX--\r\n',
        ),
    ],
)
def test_a_body_may_be_text_base64_or_fields_of_a_form(post: dict[str, Any], body: bytes):
    entry = asked(method="POST", postData=post)
    assert (entry.body, entry.row.cut) == (body, False)


@pytest.mark.parametrize(
    "request_",
    [
        {"bodySize": 9},
        {"bodySize": 9, "postData": {"mimeType": "image/png", "text": ""}},
        {"postData": {"mimeType": "multipart/form-data", "params": [{"name": "a", "value": "b"}]}},
        {"postData": {"mimeType": "multipart/form-data; boundary=X", "params": [{"name": "a", "fileName": "b.png"}]}},
    ],
)
def test_a_body_that_the_archive_does_not_have_counts_as_cut(request_: dict[str, Any]):
    assert asked(method="POST", **request_).row.cut


def test_an_answer_that_the_archive_does_not_have_counts_as_cut():
    entry = one({"request": {"method": "GET", "url": "http://x/"}, "response": {"status": 200, "content": {"size": 9}}})
    assert (entry.row.answer_cut, entry.row.size) == (True, 9)


def test_what_is_no_http_is_passed_over():
    urls = ["data:text/plain,a", "ws://x/", "blob:http://x/1", "http://x/a"]
    data = msgspec.json.encode({"log": {"entries": [{"request": {"method": "GET", "url": url}} for url in urls]}})
    assert [(entry.target, entry.row.id) for entry in read_har(data, "a.har")] == [("/a", "0000000000004")]


def test_a_mark_at_the_front_of_the_file_does_not_matter():
    assert list(read_har(b"\xef\xbb\xbf" + b'{"log": {"entries": []}}', "a.har")) == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"log":\n{"entries": [\n}', "a.har:3: not JSON: Expecting value. A HAR file is one JSON object"),
        (
            b'{"log": {"entries": [{"request": {"method": "\xff"',
            "a.har: not JSON: 'utf-8' codec can't decode byte 0xff",
        ),
        (b"[]", "a.har: expected an object, got a list"),
        (b"{}", 'a.har: the key "log" is missing'),
        (
            b'{"log": {"entries": [{"request": {"method": "GET"}}]}}',
            'a.har: log.entries[0].request: the key "url" is missing',
        ),
        (
            b'{"log": {"entries": [{"request": {"method": "GET", "url": "http://x/"}, "startedDateTime": "now"}]}}',
            "a.har: log.entries[0]: time: expected a time such as",
        ),
        (
            b'{"log": {"entries": [{"request": {"method": "GET", "url": "http://x/"},'
            b' "response": {"content": {"text": "!", "encoding": "base64"}}}]}}',
            "a.har: log.entries[0].response.content.text: not base64: Only base64 data is allowed",
        ),
    ],
)
def test_a_broken_archive_is_refused_with_the_place(data: bytes, says: str):
    with pytest.raises(ConfigError) as caught:
        list(read_har(data, "a.har"))
    assert str(caught.value).startswith(says)
