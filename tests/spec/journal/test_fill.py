"""What was redacted gets a value again."""

from __future__ import annotations

import pytest

from primectl.config.model import JournalConfig
from primectl.errors import ConfigError
from primectl.journal.fill import Missing, Secret, fill, not_redacted, parse_secret, unused
from primectl.journal.steps import Outgoing

TOKEN = "redacted:7:0123456789abcdef"
OTHER = "redacted:3:fedcba9876543210"
FORM = (("content-type", "application/x-www-form-urlencoded; charset=utf-8"),)


def test_a_redacted_field_is_left_out_unless_a_secret_gives_it():
    outgoing = Outgoing("GET", "/", (("Authorization", TOKEN), ("Cookie", OTHER), ("accept", "*/*")))
    assert fill(outgoing, ()).fields == (("accept", "*/*"),)
    assert fill(outgoing, [Secret("authorization", "Bearer x")]).fields == (
        ("Authorization", "Bearer x"),
        ("accept", "*/*"),
    )


def test_a_field_that_a_set_only_names_as_redacted_gets_its_value():
    secrets = [Secret("Authorization", "Bearer x"), Secret("x-other", "y")]
    assert fill(Outgoing("GET", "/"), secrets, ["header authorization"]).fields == (("authorization", "Bearer x"),)


def test_a_redacted_key_of_the_query_must_be_given():
    outgoing = Outgoing("GET", f"/a?b=1&token={TOKEN.replace(':', '%3A')}&c")
    with pytest.raises(Missing, match="query token"):
        fill(outgoing, [Secret("b", "x")])
    assert fill(outgoing, [Secret("token", "a b&c")]).target == "/a?b=1&token=a+b%26c&c"


def test_a_redacted_key_of_a_form_must_be_given():
    outgoing = Outgoing("POST", "/a", FORM, f"user=ana&pin={TOKEN}".encode())
    with pytest.raises(Missing, match="form pin"):
        fill(outgoing, ())
    assert fill(outgoing, [Secret("pin", "12+3")]).body == b"user=ana&pin=12%2B3"


def test_a_redacted_place_in_json_must_be_given_and_all_else_stays_as_it_was():
    outgoing = Outgoing("POST", "/", (), f'{{"n": 1.50, "cards":[{{"pin" : "{TOKEN}"}},{{"pin":"{OTHER}"}}]}}'.encode())
    with pytest.raises(Missing, match="body /cards/1/pin"):
        fill(outgoing, [Secret("/cards/0/pin", "1")])
    assert fill(outgoing, [Secret("/cards/*/pin", 'a"b')]).body == (
        b'{"n": 1.50, "cards":[{"pin" : "a\\"b"},{"pin":"a\\"b"}]}'
    )


def test_a_value_that_was_not_redacted_is_not_touched():
    outgoing = Outgoing("POST", "/?authorization=x&q=redacted:", (("authorization", "mine"),), b'"redacted:" {')
    assert fill(outgoing, [Secret("authorization", "theirs"), Secret("q", "x")]) == outgoing


def test_secrets_that_nothing_has_a_place_for_are_named():
    requests = [
        (Outgoing("GET", f"/?token={TOKEN}", (("Cookie", TOKEN),)), []),
        (Outgoing("POST", "/", FORM, f"pin={TOKEN}".encode()), ["header x-api-key"]),
        (Outgoing("POST", "/", (), f'{{"a":["{TOKEN}"]}}'.encode()), []),
    ]
    names = ["cookie", "token", "pin", "x-api-key", "/a/*", "authorization", "/a", "tokn"]
    assert unused([Secret(name, "x") for name in names], requests) == ["authorization", "/a", "tokn"]


def test_secrets_that_would_be_written_down_are_named():
    config = JournalConfig(redact_headers=("Authorization",), redact_query=("token",), redact_body=("/cards/*/pin",))
    names = ["authorization", "token", "/cards/*/pin", "/cards/0/pin", "cookie", "Token", "/cards"]
    assert not_redacted([Secret(name, "x") for name in names], config) == ["cookie", "Token", "/cards"]


def test_a_secret_comes_from_the_environment():
    secret = parse_secret("a=b=HERE", {"HERE": "hunter2"})
    assert (secret.name, secret.value) == ("a=b", "hunter2")
    assert "hunter2" not in repr(secret)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("authorization", '--secret: expected NAME=ENV, got "authorization". NAME is a header, a query key or a JSON'),
        ("=HERE", '--secret: expected NAME=ENV, got "=HERE"'),
        ("authorization=NOWHERE", "--secret authorization: the environment variable NOWHERE is not set"),
        ("authorization=LINES", "--secret authorization: the value in LINES has a line break. Give it in one line"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named_and_never_shown(text: str, says: str):
    with pytest.raises(ConfigError) as caught:
        parse_secret(text, {"HERE": "hunter2", "LINES": "hunter2\n"})
    assert str(caught.value).startswith(says)
    assert "hunter2" not in str(caught.value)
