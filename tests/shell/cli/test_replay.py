"""`primectl replay` as a process of its own, with sets made by hand, against a small real HTTP server."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.running import eventually

Run = Callable[..., subprocess.CompletedProcess[str]]
GONE_S = 60
IDS = [f"{number:013x}" for number in (1, 2, 3)]


class Target:
    """Answers every request with its target, or what `answers` has for it, and keeps what it was sent."""

    def __init__(self, path: str = "") -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.allowed = 0
        """So many are answered though the gate is shut."""
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                target.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                if len(target.asked) > target.allowed:
                    target.gate.wait(GONE_S)
                status, answer = target.answers.get(self.path, (200, self.path.encode()))
                self.send_response(status)
                kind = "application/json" if answer[:1] == b"{" else "text/plain"
                for name, value in (
                    ("content-type", kind),
                    ("content-length", str(len(answer))),
                    ("x-request-id", "b"),
                ):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        if path:
            self.server: ThreadingHTTPServer = UnixServer(path, Handler)  # type: ignore[arg-type]
            self.url = f"unix:{path}"
        else:
            self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


class UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    server_bind = TCPServer.server_bind  # HTTPServer's looks up the name of an address


@pytest.fixture
def target() -> Iterator[Target]:
    with serving() as target:
        yield target


@contextmanager
def serving(path: str = "") -> Iterator[Target]:
    """At a free port, or at a UNIX socket."""
    target = Target(path)
    thread = threading.Thread(target=target.server.serve_forever, args=(0.01,))
    thread.start()
    yield target
    target.gate.set()
    target.server.shutdown()
    thread.join()
    target.server.server_close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_STATE_HOME": str(tmp_path / "state")}
    return {**os.environ, **runtime, "TERM": "dumb"}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "primectl", "replay", *words]


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words),
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GONE_S,
            check=False,
        )

    return run


def a_line(target: str, body: str | None = None, status: int | None = 200, method: str = "GET", **more: Any) -> str:
    answer = {key: value for key, value in {"status": status, "body": body}.items() if value is not None}
    return json.dumps({"method": method, "target": target, "answer": answer, **more})


@pytest.fixture
def a_set(tmp_path: Path) -> Callable[..., str]:
    def a_set(*lines: str) -> str:
        (tmp_path / "set.jsonl").write_text("\n".join(lines))
        return "set.jsonl"

    return a_set


def dead_url() -> str:
    """Of a port that nobody listens at."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_a_set_whose_answers_are_the_same_passes(run: Run, target: Target, a_set: Callable[..., str]) -> None:
    done = run("run", a_set(a_line("/a", "/a"), a_line("/b", "/b")), "--to", target.url, "--fail-on", "diff")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == "2 sent  2 same"


def test_a_changed_answer_fails_a_test_and_is_told(run: Run, target: Target, a_set: Callable[..., str]) -> None:
    target.answers = {"/b": (404, b"no")}
    saved = a_set(a_line("/a", "/a"), a_line("/b", "/b"))
    done = run("run", saved, "--to", target.url, "--fail-on", "diff", "--diff")
    assert done.returncode == 1
    assert "2 sent  1 same  1 changed" in done.stdout
    assert "status     200 → 404" in done.stdout
    assert "           − /b" in done.stdout
    assert "           + no" in done.stdout
    assert run("run", saved, "--to", target.url, "--fail-on", "error").returncode == 0
    assert run("run", saved, "--to", target.url).returncode == 0


def test_a_new_error_fails_a_test_that_fails_on_errors(run: Run, target: Target, a_set: Callable[..., str]) -> None:
    target.answers = {"/a": (500, b"oh")}
    done = run("run", a_set(a_line("/a", "/a")), "--to", target.url, "--fail-on", "error")
    assert done.returncode == 1
    assert "1 new error" in done.stdout


def test_json_is_one_object_with_counts_and_rows(run: Run, target: Target, a_set: Callable[..., str]) -> None:
    target.answers = {"/b": (200, b'{"n": 2, "at": 5, "x": 1.0000001}')}
    lines = [
        a_line("/a", "/a", id=IDS[0]),
        a_line("/b", '{"n": 1, "at": 4, "x": 1.0}', id=IDS[1]),
        a_line("/c", method="POST", id=IDS[2]),
    ]
    done = run("run", a_set(*lines), "--to", target.url, "--json", "--ignore", "/at", "--tolerance", "1e-3")
    report = json.loads(done.stdout)
    counts = {name: report[name] for name in ("sent", "same", "changed", "failed", "skipped", "not_sent", "stopped")}
    assert counts == {"sent": 2, "same": 1, "changed": 1, "failed": 0, "skipped": 1, "not_sent": 0, "stopped": ""}
    assert report["target"] == target.url
    assert [(row["id"], row["outcome"]) for row in report["requests"]] == [
        (IDS[0], "same"),
        (IDS[1], "changed"),
        (IDS[2], "skipped"),
    ]
    assert report["requests"][1]["differences"] == [{"what": "body /n", "before": "1", "after": "2"}]
    marks = {asked[2]["x-primectl-replay"] for asked in target.asked}
    assert marks == {f"{report['run']}/{each}" for each in IDS[:2]}


def test_what_may_change_something_is_skipped_where_nobody_can_be_asked(
    run: Run, target: Target, a_set: Callable[..., str]
) -> None:
    saved = a_set(a_line("/a", "/a"), a_line("/p", "/p", method="POST"), a_line("/d", method="DELETE"))
    done = run("run", saved, "--to", target.url)
    assert done.returncode == 0
    assert "2 of 3 may change something: 1 DELETE, 1 POST: skipped, nobody can be asked here" in done.stderr
    assert "1 sent  1 same  2 skipped" in done.stdout
    assert [asked[0] for asked in target.asked] == ["GET"]
    quiet = run("run", saved, "--to", target.url, "--unsafe", "skip")
    assert quiet.stderr == ""
    sent = run("run", saved, "--to", target.url, "--unsafe", "send")
    assert "3 sent  3 same" in sent.stdout


def test_when_all_is_skipped_nothing_was_done(run: Run, target: Target, a_set: Callable[..., str]) -> None:
    done = run("run", a_set(a_line("/p", method="POST")), "--to", target.url)
    assert done.returncode == 1
    assert "0 sent  1 skipped" in done.stdout


def test_a_dead_target_stops_the_run_which_says_how_many_were_not_sent(run: Run, a_set: Callable[..., str]) -> None:
    saved = a_set(*(a_line(f"/{number}") for number in range(100)))
    done = run("run", saved, "--to", dead_url(), "--json", "--in-flight", "1")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert "cannot be reached" in report["stopped"]
    assert report["sent"] == report["failed"] > 0
    assert report["sent"] + report["not_sent"] == 100


def test_what_a_dead_target_was_not_sent_is_sent_when_the_run_goes_on(run: Run, a_set: Callable[..., str]) -> None:
    saved = a_set(*(a_line(f"/{number}", f"/{number}") for number in range(30)))
    with TemporaryDirectory(prefix="pctl-") as folder:
        stopped = json.loads(run("run", saved, "--to", f"unix:{folder}/s", "--json", "--in-flight", "1").stdout)
        assert (stopped["failed"], stopped["not_sent"]) == (5, 25)
        with serving(f"{folder}/s") as target:
            done = json.loads(run("--resume", stopped["run"], "--json").stdout)
        assert (done["run"], done["sent"], done["same"]) == (stopped["run"], 30, 30)
        assert sorted(asked[1] for asked in target.asked) == sorted(f"/{number}" for number in range(30))


def test_a_dry_run_sends_nothing(run: Run, target: Target, a_set: Callable[..., str]) -> None:
    saved = a_set(a_line("/a", request={"body": "four"}), a_line("/p", method="POST"))
    done = run(saved, "--to", target.url, "--dry-run", "--repeat", "3")
    assert done.stdout.startswith("3 requests (3 GET), 12B of bodies, in 0")
    planned = json.loads(run(saved, "--to", target.url, "--dry-run", "--json").stdout)
    assert (planned["count"], planned["bytes"], planned["skipped"], planned["seconds"]) == (1, 4, 1, 0.0)
    assert target.asked == []


def test_progress_for_programs_is_json_lines_on_stderr(run: Run, target: Target, a_set: Callable[..., str]) -> None:
    done = run("run", a_set(a_line("/a", "/b")), "--to", target.url, "--json", "--progress", "json")
    last = json.loads(done.stderr.splitlines()[-1])
    assert last.keys() == {"sent", "total", "same", "changed", "failed", "skipped", "waiting", "lag_ms"}
    assert (last["sent"], last["total"], last["changed"]) == (1, 1, 1)


def test_requests_can_be_changed_and_get_their_secrets_from_the_environment(
    run: Run, target: Target, a_set: Callable[..., str], environment: dict[str, str]
) -> None:
    environment["TOKEN"] = "abc"
    headers = {"authorization": "redacted:3:0011223344556677", "x-a": "1", "x-b": "2"}
    line = a_line("/a", "/a", request={"headers": headers}, redacted=["header authorization"])
    changes = ["--set-header", "X-A: 9", "--set-header", "x-b:", "--secret", "authorization=TOKEN"]
    assert run(a_set(line), "--to", target.url, *changes).returncode == 0
    [(_, _, fields, _)] = target.asked
    assert (fields["x-a"], fields.get("x-b"), fields["authorization"]) == ("9", None, "abc")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "replay: no request is chosen. Name ids, files (.jsonl, .har), --last N, --where FILTER"),
        (["a1", "--last", "3"], "ids and a filter choose together"),
        (["run"], "no request is chosen"),
        (["run", "a1"], "replay run: expected a saved set"),
        (["none.jsonl", "--to", "http://127.0.0.1:1"], "none.jsonl: No such file or directory"),
        (["a1", "--to", "ftp://x"], "ftp://x"),
        (["a1", "--unsafe", "no"], '--unsafe: expected ask, skip or send, got "no"'),
        (["a1", "--speed", "fast"], "--speed"),
        (["a1", "--rate", "-1"], '--rate: expected a number >= 0, got "-1"'),
        (["a1", "--in-flight", "0"], "--in-flight"),
        (["a1", "--ignore", "a b"], "--ignore"),
        (["a1", "--fail-on", "x"], '--fail-on: expected diff or error, got "x"'),
        (["a1", "--progress", "x"], "--progress: expected json"),
        (["a1", "--stop-if", "queue<5"], "--stop-if"),
        (
            ["a1", "--stop-if", "queue>5", "--to", "http://127.0.0.1:1"],
            "queue is known of the cluster's own front only",
        ),
        (["a1", "--replays"], "--replays: it goes with a filter"),
        (["--resume", "1a2b3c4d", "--speed", "max"], "--resume: it goes on as the run began"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(run: Run, words: list[str], says: str) -> None:
    done = run(*words)
    assert says in done.stderr
    assert (done.returncode, done.stdout) == (2, "")


def test_without_a_cluster_and_a_target_there_is_nowhere_to_send(run: Run, a_set: Callable[..., str]) -> None:
    done = run(a_set(a_line("/a")))
    assert done.returncode == 3
    assert "cluster prime is not running" in done.stderr


def test_without_a_journal_nothing_can_be_chosen_from_it(run: Run) -> None:
    done = run("--last", "3", "--to", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "no request of cluster prime is recorded" in done.stderr


def test_a_run_that_is_not_remembered_cannot_be_resumed(run: Run) -> None:
    assert run("--resume", "1a2b3c4d").returncode == 3


def test_ctrl_c_ends_with_the_report_so_far_and_the_run_can_go_on(
    target: Target, a_set: Callable[..., str], tmp_path: Path, environment: dict[str, str], run: Run
) -> None:
    target.allowed = 3
    target.gate.clear()
    saved = a_set(*(a_line(f"/{number}", f"/{number}") for number in range(10)))
    child = subprocess.Popen(
        command("run", saved, "--to", target.url, "--json", "--in-flight", "1"),
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: len(target.asked) == 4)
    child.send_signal(signal.SIGINT)
    # What is open may still be answered; what is not sent is not sent any more.
    target.gate.set()
    out, _ = child.communicate(timeout=GONE_S)
    report = json.loads(out)
    assert child.returncode == 130
    assert report["sent"] + report["not_sent"] == 10
    assert report["not_sent"] >= 6
    assert report["stopped"]
    before = len(target.asked)
    done = run("--resume", report["run"], "--json")
    rest = json.loads(done.stdout)
    assert (done.returncode, rest["run"], rest["sent"], rest["same"]) == (
        0,
        report["run"],
        10 - report["same"],
        rest["sent"],
    )
    assert sorted({asked[1] for asked in target.asked}) == sorted(f"/{number}" for number in range(10))
    assert len(target.asked) == before + rest["sent"]
    assert run("--resume", report["run"]).stdout == f"nothing of run {report['run']} is left to be sent\n"


@contextmanager
def at_a_terminal(
    words: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = pty.openpty()
    try:
        child = subprocess.Popen(
            command(*words), cwd=folder, env=environment, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE
        )
        os.close(theirs)
        yield child, ours
        child.communicate(timeout=GONE_S)
    finally:
        os.close(ours)


def read_until(terminal: int, what: bytes) -> None:
    seen = b""
    while what not in seen:
        with suppress(InterruptedError):
            seen += os.read(terminal, 4096)


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        ([b"y"], ["DELETE", "GET", "POST"]),
        ([b""], ["GET"]),
        ([b"each", b"n", b"y"], ["DELETE", "GET"]),
    ],
)
def test_on_a_terminal_the_operator_is_asked_once(
    target: Target,
    a_set: Callable[..., str],
    tmp_path: Path,
    environment: dict[str, str],
    answers: list[bytes],
    sent: list[str],
) -> None:
    saved = a_set(a_line("/a"), a_line("/p", method="POST"), a_line("/d", method="DELETE"))
    with at_a_terminal(["run", saved, "--to", target.url], tmp_path, environment) as (child, terminal):
        read_until(terminal, b"2 of 3 may change something: 1 DELETE, 1 POST: send them? [y/N/each] ")
        os.write(terminal, answers[0] + b"\n")
        for answer in answers[1:]:
            read_until(terminal, b"[y/N] ")
            os.write(terminal, answer + b"\n")
        child.wait(GONE_S)
    assert sorted(asked[0] for asked in target.asked) == sent


def test_a_request_can_be_changed_in_an_editor(
    target: Target, a_set: Callable[..., str], tmp_path: Path, environment: dict[str, str]
) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i "s|/a|/changed|" "$1"\n')
    editor.chmod(0o755)
    environment["EDITOR"] = str(editor)
    environment.pop("VISUAL", None)
    with at_a_terminal([a_set(a_line("/a")), "--to", target.url, "--edit"], tmp_path, environment) as (child, _):
        child.wait(GONE_S)
    assert [asked[1] for asked in target.asked] == ["/changed"]


def test_an_editor_that_is_a_program_needs_no_terminal_and_its_mistakes_are_told(
    run: Run, target: Target, a_set: Callable[..., str], tmp_path: Path, environment: dict[str, str]
) -> None:
    environment.pop("VISUAL", None)
    for script, code, asked in (("s|/a|/changed|", 0, ["/changed"]), ("1s|.*|nonsense|", 2, ["/changed"])):
        environment["EDITOR"] = f"sed -i '{script}'"
        done = run(a_set(a_line("/a")), "--to", target.url, "--edit")
        assert (done.returncode, [each[1] for each in target.asked]) == (code, asked), done.stderr
    assert "nonsense" in done.stderr


def test_without_a_terminal_and_an_editor_nothing_can_be_edited(
    run: Run, target: Target, a_set: Callable[..., str], environment: dict[str, str]
) -> None:
    environment.pop("VISUAL", None)
    environment.pop("EDITOR", None)
    done = run(a_set(a_line("/a")), "--to", target.url, "--edit")
    assert (done.returncode, target.asked) == (2, [])
    assert "--edit: there is no terminal" in done.stderr
