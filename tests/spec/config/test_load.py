"""Files: which one is meant, what is no config at all, and where things are looked for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from primectl.config.load import Loaded, default_config, load, load_sample, sample_names
from primectl.errors import ConfigError

SOUND = '[routes]\n"GET /x" = "work"\n[pools.work]\nhandler = "json:dumps"\n'


def problems(path: Path | str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    return caught.value.problems


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_is_loaded_with_its_folder_as_import_path(tmp_path: Path) -> None:
    Path("conf").mkdir()
    Path("conf/my.toml").write_text(SOUND)
    loaded = load("conf/my.toml")
    assert (loaded.path, loaded.import_path) == (str(tmp_path / "conf" / "my.toml"), str(tmp_path / "conf"))
    assert (loaded.name, loaded.warnings) == ("conf/my.toml", ())
    assert loaded.config.routes == {"GET /x": "work"}


def test_a_missing_file() -> None:
    assert problems("no.toml") == ('no.toml: there is no such file. "primectl init" writes one to start from.',)


def test_a_folder_and_the_file_in_it_that_may_be_meant() -> None:
    Path("conf").mkdir()
    assert problems("conf") == ("conf: is a folder, expected a TOML file. Name a TOML file in it.",)
    Path("conf/primectl.toml").write_text(SOUND)
    assert problems("conf") == ("conf: is a folder, expected a TOML file. Did you mean conf/primectl.toml?",)


def test_a_path_that_no_file_can_have() -> None:
    Path("file").write_text("")
    assert problems("file/my.toml") == (
        "file/my.toml: cannot be read: Not a directory. Check the path and its permissions.",
    )


def test_a_file_that_is_not_utf_8_names_the_line() -> None:
    Path("my.toml").write_bytes(b"[cluster]\nname = 'caf\xe9'\n")
    assert problems("my.toml") == ("my.toml: line 2 is not UTF-8. Save the file as UTF-8.",)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    Path("my.toml").write_bytes(b"\xef\xbb\xbf" + SOUND.replace("\n", "\r\n").encode())
    assert load("my.toml").config.routes == {"GET /x": "work"}


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n"])
def test_an_empty_file(text: str) -> None:
    Path("my.toml").write_text(text)
    assert problems("my.toml") == (
        'my.toml: is empty, expected [routes] and a [pools.<name>]. "primectl init" writes a file to start from.',
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[cluster]\nname = prime\n", "line 2, column 8: not TOML: invalid value. Is every text in quotes?"),
        ("[cluster]\nname = 'a", 'line 2, column 10: not TOML: expected "\'". Is every text in quotes?'),
        ("a = 1\na = 2\n", "line 2, column 6: not TOML: cannot overwrite a value. Is every text in quotes?"),
        ("a = 1" + "0" * 5000, "holds a number of thousands of digits"),
        ("a = " + "[" * 5000, "is nested too deeply"),
    ],
)
def test_what_is_not_toml_is_told_with_line_and_column(text: str, problem: str) -> None:
    Path("my.toml").write_text(text)
    assert problems("my.toml") == (f"my.toml: {problem}",)


def test_a_huge_file_is_not_read_to_its_end() -> None:
    with Path("my.toml").open("wb") as file:
        file.truncate(1 << 40)
    assert problems("my.toml") == ("my.toml: is larger than 4MiB, expected a TOML file. Is it the right file?",)


def test_a_pipe_can_be_loaded() -> None:
    reader, writer = os.pipe()
    os.write(writer, SOUND.encode())
    os.close(writer)
    try:
        assert load(f"/dev/fd/{reader}").config.routes == {"GET /x": "work"}
    finally:
        os.close(reader)


# --- which file is meant ----------------------------------------------------------------------------------------------


def test_the_named_file_comes_first_then_primectl_toml_here_then_the_sample(tmp_path: Path) -> None:
    assert default_config(None, tmp_path).path == "prime (built in)"
    Path("primectl.toml").write_text(SOUND)
    here = default_config(None, tmp_path)
    assert (here.path, here.name) == (str(tmp_path / "primectl.toml"), "primectl.toml")
    Path("other.toml").write_text(SOUND)
    named = default_config("other.toml", tmp_path)
    assert (named.path, named.name) == (str(tmp_path / "other.toml"), "other.toml")


def test_a_primectl_toml_that_is_broken_is_never_passed_over(tmp_path: Path) -> None:
    Path("primectl.toml").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"^primectl.toml: there is no such file"):
        default_config(None, tmp_path)


def test_the_samples_are_known_by_name() -> None:
    assert sample_names() == ["art", "echo", "files", "prime", "stream"]
    assert load_sample("echo").path == "echo (built in)"
    with pytest.raises(ConfigError) as caught:
        load_sample("ecko")
    assert caught.value.problems == ('there is no sample "ecko". The samples are art, echo, files, prime, stream',)


# --- files that a config names ----------------------------------------------------------------------------------------


def test_certificates_are_found_beside_the_config_file(tmp_path: Path) -> None:
    Path("conf").mkdir()
    Path("conf/cert.pem").write_text("")
    Path("conf/my.toml").write_text(
        '[server]\nlisten = "https://[::1]:8443"\ncertificate = "cert.pem"\nprivate_key = "cert.pem"\n' + SOUND
    )
    server = load("conf/my.toml").config.server
    assert (server.certificate, server.private_key) == (str(tmp_path / "conf/cert.pem"),) * 2


def test_a_certificate_must_be_a_file_that_can_be_read(tmp_path: Path) -> None:
    Path("my.toml").write_text(
        '[server]\nlisten = "https://localhost:8443"\ncertificate = "no.pem"\nprivate_key = "."\n' + SOUND
    )
    assert problems("my.toml") == (
        f"my.toml: server.certificate: expected a readable PEM file, {tmp_path}/no.pem does not exist. Check the path.",
        f"my.toml: server.private_key: expected a readable PEM file, {tmp_path} is no regular file. Check the path.",
    )


# --- pools that nothing reaches ---------------------------------------------------------------------------------------

UNREACHED = (
    "my.toml: pools.lonely: no route leads to this pool, and no handler that a route leads to names it. "
    'Add a route, or a Forward("lonely", …) to a handler.'
)


def test_a_pool_that_no_route_and_no_source_names_is_a_warning(load_text: Callable[[str], Loaded]) -> None:
    assert load_text(SOUND + '[pools.lonely]\nhandler = "json:dumps"\n').warnings == (UNREACHED,)


def test_a_pool_counts_as_reached_when_a_reached_handler_names_it_also_by_way_of_others(
    load_text: Callable[[str], Loaded],
) -> None:
    Path("first.py").write_text("raise SystemExit('never imported')\nForward('second', 1)\n")
    Path("package").mkdir()
    Path("package/second.py").write_text('Forward("third", 1)\n')
    text = (
        '[routes]\n"/" = "first"\n[pools.first]\nhandler = "first:f"\n'
        '[pools.second]\nhandler = "package.second:f"\n[pools.third]\nhandler = "json:dumps"\n'
        '[pools.lonely]\nhandler = "json:dumps"\n'
    )
    assert load_text(text).warnings == (UNREACHED,)


def test_a_handler_whose_source_cannot_be_read_may_forward_anywhere(load_text: Callable[[str], Loaded]) -> None:
    text = '[routes]\n"/" = "a"\n[pools.a]\nhandler = "math:sin"\n[pools.b]\nhandler = "json:dumps"\n'
    assert load_text(text).warnings == ()
