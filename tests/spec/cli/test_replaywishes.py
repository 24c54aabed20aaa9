"""The options of a replay that say how to send, understood; where it goes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from primectl.cli.replaytarget import asked_at
from primectl.cli.replaywishes import Wanted, understood
from primectl.errors import ConfigError
from primectl.journal.pace import MAX
from primectl.journal.steps import Outgoing


def test_unsaid_it_is_the_pace_of_then_and_nothing_that_may_change_something() -> None:
    meant = understood(Wanted(), {})
    assert (meant.wishes.speed, meant.wishes.rate, meant.wishes.repeat) == (1.0, 0.0, 1)
    assert (meant.wishes.unsafe, meant.wishes.allowed) == ("ask", frozenset())
    assert (meant.in_flight, meant.timeout_s, meant.brakes) == (128, 60.0, ())


def test_all_of_it_is_understood() -> None:
    wanted = Wanted(
        speed="max",
        rate="2.5",
        repeat="3",
        in_flight="7",
        timeout="500ms",
        unsafe="send",
        secret=["authorization=TOKEN"],
        set_header=["X-A: 1"],
        stop_if=["queue>50", "errors>5%"],
        ignore=["x-build", "/at"],
        tolerance="1e-9",
    )
    meant = understood(wanted, {"TOKEN": "abc"})
    assert (meant.wishes.speed, meant.wishes.rate, meant.wishes.repeat) == (MAX, 2.5, 3)
    assert (meant.wishes.unsafe, meant.in_flight, meant.timeout_s) == ("send", 7, 0.5)
    assert [(secret.name, secret.value) for secret in meant.wishes.secrets] == [("authorization", "abc")]
    assert meant.wishes.set_headers == (("X-A", "1"),)
    assert [brake.field for brake in meant.brakes] == ["queue", "errors"]
    assert (meant.rules.tolerance, meant.rules.pointers) == (1e-9, (("at",),))
    assert "x-build" in meant.rules.headers


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"unsafe": "no"}, "--unsafe"),
        ({"rate": "nan"}, "--rate"),
        ({"rate": "inf"}, "--rate"),
        ({"tolerance": "-1"}, "--tolerance"),
        ({"repeat": "0"}, "--repeat"),
        ({"in_flight": "10001"}, "--in-flight: expected at most 10000"),
        ({"timeout": "soon"}, "--timeout"),
        ({"secret": ["a=NONE"]}, "NONE is not set"),
        ({"set_header": ["nothing"]}, "--set-header"),
        ({"stop_if": ["queue"]}, "--stop-if"),
        ({"ignore": ["a b"]}, "--ignore"),
    ],
)
def test_what_means_nothing_is_named_by_its_option(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as mistake:
        understood(Wanted(**wanted), {})
    assert says in str(mistake.value)


def test_a_run_is_remembered_as_it_was_wished_edits_included_and_secrets_by_the_names_of_their_variables() -> None:
    edits = {"a1": Outgoing("POST", "/x", (("a", "b"),), b"\x00\xff"), "a2": None}
    wanted = Wanted(speed="max", allowed=["a1"], secret=["authorization=TOKEN"], edits=edits)
    kept = msgspec.json.encode(msgspec.to_builtins(wanted))
    assert b"abc" not in kept
    assert msgspec.convert(msgspec.json.decode(kept), Wanted) == wanted


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("http://127.0.0.1:8002", "http://127.0.0.1:8002"),
        ("http://0.0.0.0:8002", "http://127.0.0.1:8002"),
        ("https://[::]:8443", "https://[::1]:8443"),
        ("unix:/run/prime", "unix:/run/prime"),
    ],
)
def test_who_listens_everywhere_is_asked_on_this_host(listen: str, url: str) -> None:
    assert asked_at(listen) == url
