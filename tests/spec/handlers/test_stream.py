"""The counting handler of the sample `stream`."""

from __future__ import annotations

import pytest

from primectl.handlers import stream
from primectl.message import HTTPError, Job, Request

JOB = Job(1, "0001", "count", "count.1", 1, 1e9)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_reached", {})


def ask(who: str, query: str = "to=2&every=0") -> list[str]:
    return list(stream.count(Request("GET", f"/count/{who}?{query}", path_params={"who": who}), JOB))


def test_it_counts_on_for_each_name_where_it_got_to():
    assert ask("anna") == ["anna 1 from count.1\n", "anna 2 from count.1\n"]
    assert ask("ben") == ["ben 1 from count.1\n", "ben 2 from count.1\n"]
    assert ask("anna") == ["anna 3 from count.1\n", "anna 4 from count.1\n"]


def test_a_count_that_is_broken_off_has_got_to_its_last_line():
    lines = stream.count(Request("GET", "/count/anna?every=0", path_params={"who": "anna"}), JOB)
    assert [next(lines), next(lines)] == ["anna 1 from count.1\n", "anna 2 from count.1\n"]
    lines.close()
    assert ask("anna")[0] == "anna 3 from count.1\n"


def test_the_names_not_asked_for_longest_are_forgotten():
    for number in range(stream.MOST_NAMES):
        ask(f"n{number}")
    ask("n0")
    ask("one more")
    assert ask("n0")[0] == "n0 5 from count.1\n"
    assert ask("n1")[0] == "n1 1 from count.1\n"


@pytest.mark.parametrize("query", ["to=x", "to=-1", "to=1e9", "every=11", "every=nan", "every=x"])
def test_numbers_out_of_reason_are_refused_before_the_first_line(query: str):
    with pytest.raises(HTTPError, match="expected a number"):
        ask("anna", query)


def test_the_key_of_a_request_is_its_name():
    assert stream.who(Request("GET", "/count/anna", path_params={"who": "anna"})) == "anna"
