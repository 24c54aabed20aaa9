"""A request as a text that a person changes, and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from primectl.errors import ConfigError
from primectl.journal import plan
from primectl.journal.editing import from_text, to_text
from primectl.journal.steps import Outgoing

names = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,6}", fullmatch=True).filter(
    lambda name: name.lower() not in plan.MADE_ANEW
)
values = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=8).map(
    lambda t: t.strip(" \t")
)
targets = st.from_regex(r"/[!-~\x80-\xff]{0,8}", fullmatch=True)
bodies = st.binary(max_size=200) | st.text(max_size=20).map(str.encode) | st.text("a\n\t #", max_size=8).map(str.encode)


@given(
    st.builds(
        Outgoing,
        method=st.sampled_from(["GET", "POST", "BREW"]),
        target=targets,
        fields=st.lists(st.tuples(names, values), max_size=3).map(tuple),
        body=bodies,
    )
)
@example(Outgoing("GET", "/\xa0\x85"))
@example(Outgoing("POST", "/", (("#a", ""),), b"\n\n# body: base64\n"))
def test_a_text_that_nobody_changed_is_the_request_that_it_was(outgoing: Outgoing):
    assert from_text(to_text(outgoing)) == outgoing


def test_a_request_is_shown_as_people_know_it():
    text = to_text(Outgoing("POST", "/a?b", (("accept", "*/*"), ("x-empty", "")), b"c\nd"))
    assert [line for line in text.split("\n") if not line.startswith("#")] == [
        "POST /a?b HTTP/1.1",
        "accept: */*",
        "x-empty:",
        "",
        "c",
        "d",
        "",
    ]


def test_a_body_that_is_no_text_is_shown_as_base64_and_may_be_made_text():
    text = to_text(Outgoing("POST", "/", (), b"\0\xff"))
    assert "# body: base64\nPOST / HTTP/1.1\n\nAP8=\n" in text
    assert from_text(text.replace("# body: base64\n", "").replace("AP8=", "hello")) == Outgoing(
        "POST", "/", (), b"hello"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n# this\n", "# no line end"])
def test_an_emptied_text_is_no_request(text: str):
    assert from_text(text) is None


@pytest.mark.parametrize(
    ("text", "outgoing"),
    [
        ("GET /", Outgoing("GET", "/")),
        ("\n# x\nGET / HTTP/1.1\n", Outgoing("GET", "/")),
        ("GET /\r\nA:b \r\n\r\nbody\r\n", Outgoing("GET", "/", (("A", "b"),), b"body")),
        ("GET /\nhost: there\ncontent-length: 9\na: b\n\n", Outgoing("GET", "/", (("a", "b"),))),
        ("POST / \na:b\n \t\nx\n \n", Outgoing("POST", "/", (("a", "b"),), b"x\n ")),
        ("POST /\n\nno line end", Outgoing("POST", "/", (), b"no line end")),
    ],
)
def test_what_editors_and_people_make_of_it_is_understood(text: str, outgoing: Outgoing):
    assert from_text(text) == outgoing


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("GET", 'line 1: expected "METHOD /target HTTP/1.1", got "GET"'),
        ("# a\n\nGET a", 'line 3: its target "a" is no path'),
        ("GE/T /", 'line 1: its method "GE/T" cannot be sent'),
        ("GET / HTTP/1.1 x", 'line 1: expected "METHOD /target HTTP/1.1", got'),
        ("GET /\na: b\noops\n", 'line 3: expected "Name: value", got "oops". An empty line ends the header fields'),
        ("GET /\na b: c", 'line 2: expected "Name: value", got "a b: c"'),
        ("GET /\na: ☃", 'line 2: the value of "a" has a character that is not in Latin-1'),
        ("# body: base64\nPOST /\na: b\n\n!", "line 5: the body is not base64: Only base64 data is allowed. To write"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, says: str):
    with pytest.raises(ConfigError) as caught:
        from_text(text)
    assert str(caught.value).startswith(says)
