"""Several logs as one."""

from __future__ import annotations

import pytest

from primectl.cli.loglines import Prefixer, merge, processes_of
from primectl.wire.stats import LogLine

KNOWN = ["compute.1", "compute.2", "compute.10", "parse.1", "proxy.compute", "proxy.parse", "server.1", "supervisor"]
ZYGOTES = ["zygote.compute", "zygote.compute.next", "zygote.parse"]


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("all", ["compute.1", "compute.2", "compute.10", "parse.1", "proxy.compute", "proxy.parse", "server.1"]),
        ("compute", ["compute.1", "compute.2", "compute.10", "proxy.compute"]),
        ("compute.1", ["compute.1"]),
        ("server", ["server.1"]),
        ("supervisor", ["supervisor"]),
        ("comp", []),
        ("compute.3", []),
    ],
)
def test_a_target_is_all_a_pool_with_its_proxy_or_a_process_in_natural_order(target: str, named: list[str]) -> None:
    found = processes_of(target, reversed(KNOWN))
    assert [process for process in found if target != "all" or process != "supervisor"] == named


def test_a_pool_has_both_its_zygotes_with_it() -> None:
    assert processes_of("compute", [*ZYGOTES, "compute.1"]) == ["compute.1", "zygote.compute", "zygote.compute.next"]
    assert processes_of("zygote.compute.next", ZYGOTES) == ["zygote.compute.next"]


def test_entries_of_all_logs_come_in_order_of_time() -> None:
    logs = {
        "a.1": ["2026-01-01T12:00:00.100Z INFO one", "2026-01-01T12:00:00.300Z INFO three"],
        "b.1": ["2026-01-01T12:00:00.200Z INFO two"],
    }
    assert [line.text.split()[-1] for line in merge(logs, 100)] == ["one", "two", "three"]
    assert [line.process for line in merge(logs, 100)] == ["a.1", "b.1", "a.1"]


def test_lines_without_a_time_stay_behind_the_entry_that_they_belong_to() -> None:
    logs = {
        "a.1": ["2026-01-01T12:00:00.100Z ERROR failed", "  | Traceback", "  | ValueError"],
        "b.1": ["2026-01-01T12:00:00.100Z INFO at the same time", "2026-01-01T12:00:00.050Z INFO back in time"],
    }
    texts = [line.text for line in merge(logs, 100)]
    assert texts.index("  | Traceback") == texts.index("2026-01-01T12:00:00.100Z ERROR failed") + 1
    assert texts.index("  | ValueError") == texts.index("  | Traceback") + 1


@pytest.mark.parametrize(
    ("last", "kept"), [(0, []), (1, ["c"]), (2, ["b", "c"]), (3, ["a", "b", "c"]), (9, ["a", "b", "c"])]
)
def test_only_the_last_lines_of_all_logs_together_are_kept(last: int, kept: list[str]) -> None:
    assert [line.text for line in merge({"x.1": ["a", "b", "c"]}, last)] == kept


def test_every_line_stands_behind_its_process_in_one_column() -> None:
    prefixed = Prefixer(["compute.1", "server.1"], colour=False)
    assert prefixed(LogLine("compute.1", "ready")) == "compute.1 | ready"
    assert prefixed(LogLine("server.1", "ready")) == "server.1  | ready"
    assert prefixed(LogLine("compute.10", "a wider one moves the column")).startswith("compute.10 | ")
    assert prefixed(LogLine("server.1", "ready")) == "server.1   | ready"


def test_a_line_cannot_steer_the_terminal() -> None:
    shown = Prefixer(["a.1"], colour=True)(LogLine("a.1", "\x1b]52;c;YQ==\x07\x1b[2J gone?"))
    prefix, _, text = shown.partition(" ␛]52")
    assert prefix.endswith("a.1 |\x1b[0m")
    assert text.isprintable()
    assert text.endswith("gone?")


def test_in_a_pipe_a_line_is_what_was_logged() -> None:
    assert Prefixer(["a.1"], colour=False, raw=True)(LogLine("a.1", "tab\there")) == "a.1 | tab\there"


def test_a_process_keeps_its_colour() -> None:
    one, other = Prefixer([], colour=True), Prefixer(["compute.1"], colour=True)
    assert one(LogLine("compute.1", "x")) == other(LogLine("compute.1", "x"))
    assert one(LogLine("compute.1", "x")).startswith("\x1b[")
