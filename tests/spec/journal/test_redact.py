"""What shall not be written down is not, and can still be compared."""

from __future__ import annotations

import json
import string
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.config.model import JournalConfig
from primectl.journal.entry import OpenBlock, asked_of, packed, pages
from primectl.journal.redact import TOKEN, Redactor
from primectl.message import Headers, Request
from primectl.wire.journal import Record
from tests.support.records import PLAIN, a_record, asked

KEY = bytes(range(32))
FORM: Headers = (("Content-Type", "application/x-www-form-urlencoded"),)
JSON: Headers = (("content-type", "application/json"),)


def redactor(
    headers: tuple[str, ...] = (), query: tuple[str, ...] = (), body: tuple[str, ...] = (), key: bytes = KEY
) -> Redactor:
    return Redactor(JournalConfig(redact_headers=headers, redact_query=query, redact_body=body), key)


def through(rules: Redactor, record: Record) -> tuple[Record, list[str]]:
    """By the whole way that records go, and read again."""
    redacted = rules.records(packed([record]))
    [page] = pages("server.1", 0.0, redacted.records, redacted.names)
    return OpenBlock(page.block).at(0)


def request(
    rules: Redactor, target: str = "/", fields: Headers = PLAIN, body: bytes = b""
) -> tuple[Request, list[str]]:
    record, names = through(rules, a_record(request=asked(target, fields, body, "POST"), asked_bytes=len(body)))
    return asked_of(record), names


# Values that cannot be part of what stands around them, nor of a token.
SECRETS = st.text("GHJKLMNPQRSTUVWXYZ äöü+%&=/", min_size=4).map(lambda text: f"Z{text}Z")
HEADER_SECRETS = st.text("GHJKLMNPQRSTUVWXYZ=;,", min_size=4).map(lambda text: f"Z{text}Z")


@st.composite
def cases(draw: st.DrawFn, name: str) -> str:
    return "".join(draw(st.sampled_from((char.lower(), char.upper()))) for char in name)


@given(cases("authorization"), HEADER_SECRETS)
def test_a_header_is_redacted_however_its_name_is_written(name: str, secret: str):
    rules = redactor(headers=("Authorization",))
    record, names = through(
        rules, a_record(request=asked(fields=((name, secret), *PLAIN)), fields=((name, secret), ("x", "y")))
    )
    assert names == ["header authorization", "answer header authorization"]
    assert asked_of(record).fields == ((name, rules.token(secret.encode())), *PLAIN)
    assert record.fields == ((name, rules.token(secret.encode())), ("x", "y"))
    assert secret.encode() not in msgspec.msgpack.encode(record)


@given(SECRETS, SECRETS)
def test_equal_values_have_equal_tokens_and_others_have_others(one: str, other: str):
    rules = redactor()
    assert TOKEN.fullmatch(rules.token(one.encode()))
    assert (rules.token(one.encode()) == rules.token(other.encode())) == (one == other)


@given(SECRETS)
def test_another_key_gives_another_token(secret: str):
    assert redactor().token(secret.encode()) != redactor(key=bytes(32)).token(secret.encode())


def escaped(draw: st.DrawFn, text: str) -> str:
    """The text with any of its bytes as escapes."""
    return "".join(
        f"%{byte:02X}" if draw(st.booleans()) or chr(byte) not in string.ascii_letters else chr(byte)
        for byte in text.encode()
    )


@st.composite
def queries(draw: st.DrawFn) -> tuple[str, str, str]:
    """A secret, how it is written, and a query that has it somewhere under the key `api key`, escaped in any way."""
    secret = draw(SECRETS)
    key = escaped(draw, "api key") if draw(st.booleans()) else draw(st.sampled_from(("api+key", "api%20key")))
    value = draw(st.sampled_from((quote(secret, safe=""), quote_plus(secret), escaped(draw, secret))))
    pairs = draw(st.lists(st.sampled_from(("a=b", "c", "", "d=", "=e", "api=1")), max_size=3))
    pairs.insert(draw(st.integers(0, len(pairs))), f"{key}={value}")
    return secret, value, "&".join(pairs)


@given(queries())
def test_a_query_is_redacted_however_it_is_escaped(query: tuple[str, str, str]):
    secret, written, text = query
    rules = redactor(query=("api key",))
    found, names = request(rules, f"/path?{text}")
    assert names == ["query api key"]
    assert found.query["api key"] == rules.token(secret.encode())
    assert [item for item in found.query_items if item[0] != "api key"] == [
        item for item in Request("GET", f"/path?{text}").query_items if item[0] != "api key"
    ]
    assert written not in found.target


@given(queries())
def test_a_form_is_redacted_like_a_query(query: tuple[str, str, str]):
    secret, written, text = query
    rules = redactor(query=("api key",))
    found, names = request(rules, fields=FORM, body=text.encode())
    assert names == ["body api key"]
    assert Request("GET", f"/?{found.body.decode()}").query["api key"] == rules.token(secret.encode())
    assert written.encode() not in found.body


def test_every_value_of_a_key_that_is_repeated_is_redacted():
    rules = redactor(query=("k",))
    assert request(rules, "/?k=1&k=2")[0].target == f"/?k={rules.token(b'1')}&k={rules.token(b'2')}"


@pytest.mark.parametrize("target", ["*", "/k=1", "/?k", "/?a=k=1", "/?K=1", "/?"])
def test_what_is_no_value_of_the_key_stays(target: str):
    assert request(redactor(query=("k",)), target) == (Request("POST", target, PLAIN, b"", "127.0.0.1:5000"), [])


DOCUMENT = {"user": {"name": "Ann", "keys": [{"id": 1, "secret": "s1"}, {"id": 2, "secret": "s2"}]}, "a/b": 7, "m~n": 8}


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("/user/name", {"/user/name": "Ann"}),
        ("/user/keys/1/secret", {"/user/keys/1/secret": "s2"}),
        ("/user/keys/*/secret", {"/user/keys/0/secret": "s1", "/user/keys/1/secret": "s2"}),
        ("/user/*/0/id", {"/user/keys/0/id": 1}),
        ("/*/name", {"/user/name": "Ann"}),
        ("/a~1b", {"/a~1b": 7}),
        ("/m~0n", {"/m~0n": 8}),
        ("/user/keys", {"/user/keys": DOCUMENT["user"]["keys"]}),  # type: ignore[index]
    ],
)
def test_a_pointer_finds_its_places(pointer: str, expected: dict[str, Any]):
    rules = redactor(body=(pointer,))
    found, names = request(rules, fields=JSON, body=json.dumps(DOCUMENT).encode())
    assert names == [f"body {pointer}"]
    assert differences("", DOCUMENT, json.loads(found.body)) == expected


@pytest.mark.parametrize("pointer", ["/user/name/x", "/user/keys/2", "/user/keys/-", "/user/keys/٣", "/nobody", "/"])
def test_a_pointer_that_leads_nowhere_changes_nothing(pointer: str):
    body = json.dumps(DOCUMENT, indent=1).encode()
    assert request(redactor(body=(pointer,)), fields=JSON, body=body) == (
        Request("POST", "/", JSON, body, "127.0.0.1:5000"),
        [],
    )


def differences(at: str, before: Any, after: Any) -> dict[str, Any]:
    """Where tokens stand now, and what stood there."""
    if isinstance(after, str) and TOKEN.fullmatch(after):
        return {at: before}
    found: dict[str, Any] = {}
    if isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            found |= differences(f"{at}/{key.replace('~', '~0').replace('/', '~1')}", before[key], after[key])
    elif isinstance(before, list):
        assert len(before) == len(after)
        for number, each in enumerate(before):
            found |= differences(f"{at}/{number}", each, after[number])
    else:
        assert before == after
    return found


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab*/~"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES, HEADER_SECRETS, st.lists(st.sampled_from(("a", "b", 0)), max_size=4), st.booleans())
def test_a_secret_at_the_end_of_a_pointer_is_nowhere_in_what_is_stored(
    around: Any, secret: str, way: list[str | int], says_json: bool
):
    document: Any = {"secret": secret, "around": around}
    for step in reversed(way):
        document = [document] if step == 0 else {step: document}
    pointer = "".join(f"/{step}" for step in way) + "/secret"
    loose = "".join("/*" for _ in way) + "/secret"
    body = json.dumps(document).encode()
    for each in (pointer, loose):
        rules = redactor(body=(each,))
        record, _ = through(
            rules, a_record(request=asked(fields=JSON if says_json else PLAIN, body=body), asked_bytes=len(body))
        )
        assert secret.encode() not in record.asked
        assert len(asked_of(record).body) >= record.asked_bytes


def test_the_same_value_is_known_again_in_a_header_a_query_and_a_body():
    rules = redactor(headers=("x-key",), query=("key",), body=("/key",))
    fields = (("X-Key", "Sesame"), *JSON)
    found, names = request(rules, "/?key=Se%73ame", fields, b'{"key": "Sesame"}')
    token = rules.token(b"Sesame")
    assert token.startswith("redacted:6:")
    assert (found.target, found.fields[0][1], found.body) == (f"/?key={token}", token, f'{{"key":"{token}"}}'.encode())
    assert names == ["query key", "header x-key", "body /key"]


def test_what_was_redacted_before_keeps_its_token():
    rules = redactor(headers=("x-key",))
    token = rules.token(b"Sesame")
    assert request(rules, fields=(("x-key", token),))[0].fields == (("x-key", token),)


@pytest.mark.parametrize(
    ("fields", "body", "asked_bytes", "kept"),
    [
        (JSON, b'{"secret": "Ses', 99, False),
        (PLAIN, b' {"secret": "Ses', 99, False),
        (PLAIN, b"plain text, the beginning", 99, True),
        (JSON, b'{"secret": "Sesame"', 19, False),
        ((("content-type", "application/problem+json"),), b"\x1f\x8b", 2, False),
        (PLAIN, b"no JSON", 7, True),
        (JSON, b"[" * 100_000, 100_000, False),
        (PLAIN, b"[" * 100_000, 100_000, False),
    ],
)
def test_a_body_in_which_pointers_cannot_be_followed_is_kept_only_if_it_is_no_json(
    fields: Headers, body: bytes, asked_bytes: int, kept: bool
):
    record, _ = through(
        redactor(body=("/secret",)), a_record(request=asked(fields=fields, body=body), asked_bytes=asked_bytes)
    )
    assert (asked_of(record).body, record.asked_bytes) == (body if kept else b"", asked_bytes)


@pytest.mark.parametrize("depth", [10, 300, 480, 500, 900, 980, 990, 1000, 2000])
def test_a_secret_is_found_or_the_body_is_left_out_however_deep_its_neighbours_are(depth: int):
    body = f'{{"deep": {"[" * depth}{"]" * depth}, "t": "Sesame"}}'.encode()
    found, _ = request(redactor(body=("/t",)), body=body)
    assert b"Sesame" not in found.body


def test_a_number_with_too_many_digits_hides_no_secret():
    body = f'{{"n": {"7" * 5000}, "t": "Sesame"}}'.encode()
    assert request(redactor(body=("/t",)), body=body)[0].body == b""


def test_a_target_from_elsewhere_may_have_any_text():
    assert "Ω" not in request(redactor(query=("k",)), "/?k=Ω")[0].target


def test_bodies_of_answers_are_redacted_too():
    rules = redactor(query=("k",), body=("/t",))
    record, names = through(rules, a_record(fields=JSON, body=b'{"t": 5}'))
    assert (record.body, names) == (f'{{"t":"{rules.token(b"5")}"}}'.encode(), ["answer body /t"])


def test_a_body_that_became_shorter_is_as_whole_as_before():
    rules = redactor(body=("/t",))
    body = json.dumps({"t": "x" * 1000}).encode()
    record, _ = through(rules, a_record(request=asked(fields=JSON, body=body), asked_bytes=len(body)))
    assert record.asked_bytes == len(asked_of(record).body) < len(body)
    record, _ = through(rules, a_record(fields=JSON, body=body))
    assert record.body_bytes == len(record.body) < len(body)


def test_what_is_no_request_is_not_written():
    record, _ = through(redactor(headers=("authorization",)), a_record(request=b"\xc1authorization: Sesame"))
    assert record.asked == b""


def test_of_several_records_only_those_that_have_a_secret_are_changed():
    rules = redactor(headers=("cookie",))
    records = [a_record(1), a_record(2, request=asked(fields=(("Cookie", "Sesame"),))), a_record(3)]
    redacted = rules.records(packed(records))
    after = msgspec.msgpack.decode(redacted.records, type=list[Record])
    assert (after[0], after[2], redacted.names) == (records[0], records[2], {1: ["header cookie"]})
    assert b"Sesame" not in redacted.records


def test_nothing_to_redact_leaves_the_very_bytes():
    records = packed([a_record()])
    assert redactor(headers=("cookie",)).records(records).records is records


@given(st.binary(max_size=60))
def test_what_is_no_list_of_records_is_refused_in_one_way(data: bytes):
    try:
        redactor(headers=("a",), query=("k",), body=("/t",)).records(data)
    except msgspec.MsgspecError:
        return
    msgspec.msgpack.decode(data, type=list[Record])
