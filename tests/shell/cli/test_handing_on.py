"""`requests export` and `requests import` on a journal that the store has written."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from primectl.cli import exporting, importing
from primectl.cli.choose import Selection
from primectl.cli.exporting import Chosen, export_requests
from primectl.cli.importing import import_requests, journal_config
from primectl.config import topology
from primectl.config.model import JournalConfig
from primectl.config.topology import Place
from primectl.errors import ConfigError, JournalError, NotFound
from primectl.journal.archive import Archive
from primectl.journal.entry import packed, pages, record_of
from primectl.journal.har import read_har
from primectl.journal.sets import read_set
from primectl.journal.store import Journal
from primectl.wire.journal import Entry, HopTimes, Row

TOKEN = "redacted:7:0123456789abcdef"
URL = "http://127.0.0.1:8002"
MARK = "12345678/00000000000a1"


def an_entry(number: int, **row: object) -> Entry:
    return Entry(
        row=Row(
            **{
                "id": f"{number:013x}",
                "time": 1_767_225_600.0 + number,
                "method": "POST",
                "path": "/is_prime",
                "query": f"n={number}",
                "status": 200,
                "ms": 2.0,
                "pool": "parse",
                "worker": "compute.1",
                "server": "server.1",
                "client": "127.0.0.1:4000",
                "size": 1,
                "asked_size": 3,
                "hops": [HopTimes("parse", "parse.1", 0.5, 0.25), HopTimes("compute", "compute.1", 0.25, 1.0)],
                **row,
            }
        ),
        fields=(("host", "x.test"), ("authorization", TOKEN)),
        body=b"a\0b",
        answer_fields=(("content-type", "text/plain"),),
        answer_body=b"7",
        redacted=["header authorization"],
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_STATE_HOME": str(tmp_path / "state")}
    return topology.place("prime", environment, tempfile.gettempdir(), os.getuid())


Record = Callable[..., None]


@pytest.fixture
def record(place: Place) -> Record:
    """Writes entries as the recorder does."""

    def record(*entries: Entry) -> None:
        journal = Journal.open_writer(place.journal_file)
        try:
            redacted = {number: entry.redacted for number, entry in enumerate(entries)}
            taken = pages("server.1", 0.0, packed([record_of(entry) for entry in entries]), redacted)
            journal.append(taken, entries[-1].row.time + 1)
        finally:
            journal.close()

    return record


def kept(place: Place, where: str = "") -> list[Entry]:
    """What is in the journal, replays too, without what only tells the place in it."""
    with Archive(place.journal_file) as archive:
        found = list(archive.entries(where=where, originals=False))
    return [structs.replace(entry, row=structs.replace(entry.row, number=0)) for entry in found]


def test_a_set_that_is_exported_and_imported_elsewhere_is_what_it_was(place: Place, record: Record, tmp_path: Path):
    record(an_entry(1), an_entry(2))
    file = tmp_path / "set.jsonl"
    export_requests(place, Chosen(), output=str(file))
    elsewhere = structs.replace(place, state=str(tmp_path / "elsewhere"))
    import_requests(elsewhere, JournalConfig(), str(file))
    imported = kept(elsewhere)
    assert all(entry.row.imported for entry in imported)
    assert [structs.replace(entry, row=structs.replace(entry.row, imported=False)) for entry in imported] == kept(place)


def test_an_archive_goes_the_same_way(place: Place, record: Record, tmp_path: Path):
    record(an_entry(1), an_entry(2))
    file = tmp_path / "a.har"
    export_requests(place, Chosen(), output=str(file))
    elsewhere = structs.replace(place, state=str(tmp_path / "elsewhere"))
    import_requests(elsewhere, JournalConfig(), str(file))
    assert [entry.body for entry in kept(elsewhere)] == [b"a\0b", b"a\0b"]
    assert [entry.row.id for entry in kept(elsewhere)] == [entry.row.id for entry in kept(place)]


def test_stdout_gets_the_requests_and_stderr_what_is_to_say_of_them(
    place: Place, record: Record, capfdbinary: pytest.CaptureFixture[bytes]
):
    record(an_entry(1), an_entry(2))
    export_requests(place, Chosen())
    out, err = capfdbinary.readouterr()
    assert [entry.row.id for entry in read_set(out.splitlines(), "-")] == ["0000000000001", "0000000000002"]
    assert err == b"2 requests exported; 2 with values that were redacted when they were recorded\n"


def test_a_har_goes_to_stdout_whole_also_with_nothing_in_it(
    place: Place, record: Record, capfdbinary: pytest.CaptureFixture[bytes]
):
    record(an_entry(1), an_entry(2))
    for where, ids in (("", ["0000000000001", "0000000000002"]), ("status=404", [])):
        export_requests(place, Chosen(where=where), named_format="har")
        assert [entry.row.id for entry in read_har(capfdbinary.readouterr().out, "-")] == ids


def test_curl_lines_say_where_to_send(place: Place, record: Record, capfd: pytest.CaptureFixture[str]):
    record(an_entry(1), an_entry(2))
    export_requests(place, Chosen(last="1"), named_format="curl", to=URL)
    out, _ = capfd.readouterr()
    assert out.startswith(f"printf 'a\\000b' | curl '{URL}/is_prime?n=2' ")
    assert out.count("\n") == 1


def test_curl_lines_without_a_cluster_need_to_be_told_where_to_send(place: Place, record: Record):
    record(an_entry(1))
    with pytest.raises(
        ConfigError, match=r"curl lines say where to send, and cluster prime is not running\. Add --to URL"
    ):
        export_requests(place, Chosen(), named_format="curl")
    with pytest.raises(ConfigError, match=r'expected "http://host:port", .* got "there"'):
        export_requests(place, Chosen(), named_format="curl", to="there")
    with pytest.raises(ConfigError, match="--to: only curl lines say where to send"):
        export_requests(place, Chosen(), to=URL)


def test_requests_are_chosen_by_id_or_by_filter(
    place: Place, record: Record, capfdbinary: pytest.CaptureFixture[bytes]
):
    record(an_entry(1), an_entry(2, status=500), an_entry(3))
    ids = {}
    for name, chosen in {
        "ids": Chosen(ids=("3", "0000000000001")),
        "where": Chosen(where="status=500"),
        "last": Chosen(last="2"),
        "since": Chosen(since="2026-01-01T00:00:03Z"),
        "until": Chosen(until="2026-01-01T00:00:01Z"),
        "dead": Chosen(dead=True),
    }.items():
        export_requests(place, chosen)
        ids[name] = [int(entry.row.id, 16) for entry in read_set(capfdbinary.readouterr().out.splitlines(), "-")]
    assert ids == {"ids": [1, 3], "where": [2], "last": [2, 3], "since": [3], "until": [1], "dead": []}
    with pytest.raises(ConfigError, match="ids and a filter choose together"):
        export_requests(place, Chosen(ids=("1",), last="2"))
    with pytest.raises(ConfigError, match="--last: expected a whole number >= 1"):
        export_requests(place, Chosen(last="some"))


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(place: Place, record: Record, tmp_path: Path):
    record(an_entry(1))
    file = tmp_path / "set.jsonl"
    file.write_text("mine")
    with pytest.raises(ConfigError, match=r"is there already. Name another file, or replace it with --force"):
        export_requests(place, Chosen(), output=str(file))
    assert file.read_text() == "mine"
    export_requests(place, Chosen(), output=str(file), force=True)
    assert len(file.read_bytes().splitlines()) == 1
    assert os.listdir(tmp_path) == ["state", "set.jsonl"] or sorted(os.listdir(tmp_path)) == ["set.jsonl", "state"]


def test_an_export_that_fails_leaves_no_file(place: Place, record: Record, tmp_path: Path):
    record(an_entry(1))
    for force in (False, True):
        with pytest.raises(NotFound):
            export_requests(place, Chosen(ids=("fff",)), output=str(tmp_path / "set.jsonl"), force=force)
    assert os.listdir(tmp_path) == ["state"]


def test_an_exported_file_is_for_its_owner_only(place: Place, record: Record, tmp_path: Path):
    record(an_entry(1))
    export_requests(place, Chosen(), output=str(tmp_path / "set.jsonl"))
    assert (tmp_path / "set.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_was_exported_is_told_as_json(
    place: Place, record: Record, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    record(an_entry(1), an_entry(2, cut=True, asked_size=99))
    file = str(tmp_path / "set.sh")
    export_requests(place, Chosen(), output=file, to=URL, as_json=True)
    assert json.loads(capfd.readouterr().out) == {
        "file": file,
        "format": "curl",
        "requests": 2,
        "redacted": 2,
        "cut": 1,
        "unusable": 1,
    }
    with pytest.raises(ConfigError, match="--json: it goes to stdout"):
        export_requests(place, Chosen(), as_json=True)


def test_a_cluster_without_a_journal_exports_nothing(place: Place, capfd: pytest.CaptureFixture[str]):
    export_requests(place, Chosen())
    assert capfd.readouterr() == ("", "no request of cluster prime is recorded\n0 requests exported\n")


# --- import -----------------------------------------------------------------------------------------------------------


def test_what_the_cluster_redacts_is_redacted_in_what_is_imported(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    file = tmp_path / "set.jsonl"
    line = {"method": "GET", "target": "/a?pin=12", "request": {"headers": {"Cookie": "hunter2", "X-Other": TOKEN}}}
    file.write_text(json.dumps({**line, "redacted": ["header x-other"], "answer": {"status": 200}}))
    import_requests(place, JournalConfig(redact_query=("pin",)), str(file), as_json=True)
    assert json.loads(capfd.readouterr().out) == {
        "file": str(file),
        "cluster": "prime",
        "requests": 1,
        "redacted": 1,
    }
    (entry,) = kept(place)
    assert entry.redacted == ["header x-other", "query pin", "header cookie"]
    assert "hunter2" not in repr(entry)
    assert entry.fields[1] == ("X-Other", TOKEN)


def test_the_mark_of_a_replay_stays(place: Place, tmp_path: Path):
    file = tmp_path / "set.jsonl"
    line = {"method": "GET", "target": "/", "request": {"headers": {"X-Primectl-Replay": MARK}}}
    file.write_text(json.dumps(line))
    import_requests(place, JournalConfig(), str(file))
    (entry,) = kept(place)
    assert (entry.row.replay_run, entry.row.replay_of) == ("12345678", "00000000000a1")


def test_lines_that_say_little_get_an_id_the_time_of_now_and_say_that_there_was_no_answer(place: Place, tmp_path: Path):
    file = tmp_path / "set.jsonl"
    file.write_text('{"method": "GET", "target": "/a"}\n' * 3)
    before = time.time()
    import_requests(place, JournalConfig(), str(file))
    entries = kept(place)
    assert all(before <= entry.row.time <= time.time() for entry in entries)
    assert len({entry.row.id for entry in entries}) == 3
    assert {(entry.row.status, entry.row.problem) for entry in entries} == {(0, "imported without an answer")}


def test_more_than_goes_in_at_once_goes_in(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 4)
    file = tmp_path / "set.jsonl"
    lines = [{"method": "GET", "target": f"/{number}", "server": f"server.{number // 3}"} for number in range(10)]
    file.write_text("\n".join(map(json.dumps, lines)))
    import_requests(place, JournalConfig(), str(file))
    assert [(entry.target, entry.row.server) for entry in kept(place)] == [
        (f"/{number}", f"server.{number // 3}") for number in range(10)
    ]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("set.jsonl", '{"method": "GET", "target": "/"}\n{"method": "GET"}\n', ':2: the key "target" is missing'),
        ("a.har", '{"log": {"entries": [}}', ":1: not JSON: Expecting value"),
        ("a.har", '{"log": {"entries": [{}]}}', ': log.entries[0]: the key "request" is missing'),
    ],
)
def test_a_broken_file_changes_nothing(place: Place, tmp_path: Path, name: str, text: str, says: str):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        import_requests(place, JournalConfig(), str(file))
    assert str(caught.value).startswith(f"{file}{says}")
    assert not os.path.exists(place.journal_file)


def test_a_file_or_a_folder_that_is_not_there_is_named(place: Place, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no.har: No such file or directory$"):
        import_requests(place, JournalConfig(), "no.har")
    with pytest.raises(ConfigError, match=r"/no: No such file or directory. Name a folder to write to with -o$"):
        export_requests(place, Chosen(), output=str(tmp_path / "no" / "set.jsonl"))


def test_a_line_without_an_end_is_refused(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importing, "LONGEST_LINE", 1 << 20)
    monkeypatch.setattr(importing, "LARGEST_HAR", 1 << 20)
    for name, says in (("set.jsonl", ":1: the line is longer than 1 MiB"), ("a.har", ": a HAR file may have 1 MiB")):
        (tmp_path / name).write_text("x" * ((1 << 20) + 1))
        with pytest.raises(ConfigError, match=says):
            import_requests(place, JournalConfig(), str(tmp_path / name))


def test_a_full_disk_says_how_many_were_imported(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 2)
    append = Journal.append
    calls = []

    def until_full(self: Journal, *arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise JournalError("the journal cannot be used: the disk is full", self.path)
        return append(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "append", until_full)
    file = tmp_path / "set.jsonl"
    file.write_text('{"method": "GET", "target": "/a"}\n' * 5)
    with pytest.raises(JournalError, match="the disk is full; 2 requests were imported before"):
        import_requests(place, JournalConfig(), str(file))


@pytest.mark.parametrize(
    ("given", "path", "found"),
    [(None, "a.JSONL", "jsonl"), (None, "a.har", "har"), ("har", "a.json", "har"), (None, "-", "jsonl")],
)
def test_the_format_is_that_of_the_name_or_what_is_said(given: str | None, path: str, found: str):
    assert importing.format_of(given, path) == found


def test_a_format_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"a.json: its name does not tell its format. Add --format jsonl or --format"):
        importing.format_of(None, "a.json")
    with pytest.raises(ConfigError, match='--format: expected "jsonl" or "har", got "curl"'):
        importing.format_of("curl", "a.sh")
    with pytest.raises(
        ConfigError, match=r'--format: expected "jsonl", "har" or "curl", got "hra". Did you mean "har"'
    ):
        exporting.format_of("hra", "-")


def test_what_a_cluster_redacts_is_known_of_its_file(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "primectl.toml"
    file.write_text(
        '[pools.a]\nhandler = "primectl.handlers.echo:echo"\n[routes]\n"/*" = "a"\n[journal]\nredact_headers = ["x"]\n'
    )
    monkeypatch.chdir(tmp_path)
    assert journal_config(Selection(), place).redact_headers == ("x",)
    other = structs.replace(place, cluster="other")
    assert journal_config(Selection(), other) == JournalConfig()
