"""A TOML file to a checked Config § reads files, starts nothing, imports no handler.

One run finds every mistake: ConfigError carries a line for each, in the order of the file. Where no file is named,
`default_config` has the rule which one is meant.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, structs

import primectl
from primectl.config.check import check
from primectl.config.convert import convert
from primectl.config.identity import KEYS, check_identities
from primectl.config.model import Config
from primectl.config.problems import Problems, line
from primectl.config.reach import unreached
from primectl.errors import ConfigError

FILE_NAME = "primectl.toml"
FIRST_SAMPLE = "prime"
LARGEST_FILE = 4 << 20

_TOML_PLACE = re.compile(r"^(?P<what>.*) \((?:at line (?P<line>\d+), column (?P<column>\d+)|at end of document)\)$")


class Loaded(Struct, frozen=True):
    """A config that can be used. `warnings` are lines for the operator's eyes."""

    config: Config
    path: str
    """Absolute path of the TOML file, or "prime (built in)"."""
    import_path: str
    """Folder put first on the import path for handlers: that of the config file."""
    warnings: tuple[str, ...] = ()
    name: str = ""
    """What lines about this config begin with: the path as it was given."""


def under_name(loaded: Loaded, cluster: str) -> Loaded:
    """The same config for a cluster of another name."""
    named = structs.replace(loaded.config.cluster, name=cluster)
    return structs.replace(loaded, config=structs.replace(loaded.config, cluster=named))


class Mistakes(ConfigError):
    """A file that is TOML and has mistakes. `usable` is what of it could be read all the same, for checks that go on:
    only the pools whose handler is written as one, and can be tried as who it would run as."""

    def __init__(self, problems: tuple[str, ...], usable: Loaded) -> None:
        super().__init__("the config has mistakes", usable.name, problems=problems)
        self.usable = usable


def load(path: Path | str) -> Loaded:
    """The config in a file. Raises ConfigError with a line for every mistake; each line begins with `path` as given."""
    absolute = Path(os.path.abspath(path))
    return _load(absolute, name=str(path), shown_path=str(absolute))


def load_sample(name: str = FIRST_SAMPLE) -> Loaded:
    """One of the configs that come with primectl. Raises ConfigError for an unknown name."""
    if name not in sample_names():
        raise ConfigError(f'there is no sample "{name}"', mend=f"The samples are {', '.join(sample_names())}")
    built_in = f"{name} (built in)"
    return _load(_sample_folder() / f"{name}.toml", name=built_in, shown_path=built_in)


def sample_names() -> list[str]:
    """The configs that come with primectl, by name."""
    return sorted(path.stem for path in _sample_folder().glob("*.toml"))


def default_config(explicit: str | None = None, cwd: Path | str | None = None) -> Loaded:
    """The config that a command means: the file it names, else primectl.toml in `cwd`, else the sample `prime`."""
    folder = Path.cwd() if cwd is None else Path(cwd)
    if explicit is not None:
        absolute = Path(os.path.abspath(folder / explicit))
        return _load(absolute, name=explicit, shown_path=str(absolute))
    here = folder / FILE_NAME
    if os.path.lexists(here):
        return _load(Path(os.path.abspath(here)), name=FILE_NAME, shown_path=os.path.abspath(here))
    return load_sample()


def _load(file: Path, name: str, shown_path: str) -> Loaded:
    source = _parse(_read(file, name), name)
    problems = Problems(name, source)
    config = convert(source, problems)
    check(config, problems)
    config = _with_absolute_folders(_with_absolute_files(config, file.parent, problems), file.parent, problems)
    check_identities(config, problems)
    if lines := problems.lines():
        whole = {
            pool: each
            for pool, each in config.pools.items()
            if all(problems.clean(("pools", pool, key)) for key in ("handler", "affinity", *KEYS))
        }
        usable = structs.replace(config, pools=whole)
        raise Mistakes(lines, Loaded(usable, shown_path, str(file.parent), (), name))
    for pool in unreached(config, str(file.parent)):
        problems.warn(
            ("pools", pool),
            "no route leads to this pool, and no handler that a route leads to names it",
            f'Add a route, or a Forward("{pool}", …) to a handler',
        )
    return Loaded(config, shown_path, str(file.parent), problems.warning_lines(), name)


def _sample_folder() -> Path:
    package = Path(primectl.__file__).parent
    installed = package / "samples"
    return installed if installed.is_dir() else package.parent / "sample_configs"


def _read(file: Path, name: str) -> str:
    """The file's text. Raises ConfigError with one line for what is no readable text file."""
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise _refusal(name, "there is no such file", '"primectl init" writes one to start from') from None
    except IsADirectoryError:
        inside = file / FILE_NAME
        mend = f"Did you mean {Path(name, FILE_NAME)}?" if inside.exists() else "Name a TOML file in it"
        raise _refusal(name, "is a folder, expected a TOML file", mend) from None
    except OSError as error:
        raise _refusal(name, f"cannot be read: {error.strerror}", "Check the path and its permissions") from None
    if len(content) > LARGEST_FILE:
        raise _refusal(name, "is larger than 4MiB, expected a TOML file", "Is it the right file?")
    try:
        # A byte order mark is no mistake of the user's: editors add it unasked.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line_number = content.count(b"\n", 0, error.start) + 1
        raise _refusal(name, f"line {line_number} is not UTF-8", "Save the file as UTF-8") from None
    return text


def _parse(text: str, name: str) -> Mapping[str, object]:
    try:
        source = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _refusal(name, _toml_error(str(error), text), "Is every text in quotes?") from None
    except ValueError:  # int() of too many decimal digits, which tomllib lets through
        raise _refusal(name, "holds a number of thousands of digits") from None
    except RecursionError:
        raise _refusal(name, "is nested too deeply") from None
    if not source:
        raise _refusal(
            name, "is empty, expected [routes] and a [pools.<name>]", '"primectl init" writes a file to start from'
        )
    return source


def _toml_error(message: str, text: str) -> str:
    """What tomllib says, with the place first; the end of the document as line and column too."""
    match = _TOML_PLACE.match(message)
    if match is None:
        return f"is not TOML: {message}"
    last = text.rpartition("\n")[2]
    row = match["line"] or str(text.count("\n") + 1)
    column = match["column"] or str(len(last) + 1)
    what = match["what"]
    return f"line {row}, column {column}: not TOML: {what[:1].lower()}{what[1:]}"


def _refusal(name: str, what: str, mend: str = "") -> ConfigError:
    return ConfigError(what, name, mend, problems=(line(name, (), what, mend),))


def _with_absolute_files(config: Config, folder: Path, problems: Problems) -> Config:
    """The same config with its files' paths absolute; they are relative to the config file. Each must be readable."""
    absolute = {}
    for key, value in (("certificate", config.server.certificate), ("private_key", config.server.private_key)):
        if not value or not problems.sound(("server", key)):
            continue
        file = Path(os.path.abspath(folder / value))
        absolute[key] = str(file)
        fault = _unreadable(file)
        if fault:
            problems.add(("server", key), f"expected a readable PEM file, {file} {fault}", "Check the path")
    return structs.replace(config, server=structs.replace(config.server, **absolute)) if absolute else config


def _with_absolute_folders(config: Config, folder: Path, problems: Problems) -> Config:
    """The same config with the pools' working folders absolute; each must be there. Whether their users may enter them
    is seen when they try."""
    pools = dict(config.pools)
    for name, pool in config.pools.items():
        if not pool.cwd or not problems.sound(("pools", name, "cwd")):
            continue
        cwd = os.path.abspath(folder / pool.cwd)
        pools[name] = structs.replace(pool, cwd=cwd)
        if not os.path.isdir(cwd):
            fault = "is no folder" if os.path.exists(cwd) else "does not exist"
            problems.add(("pools", name, "cwd"), f"expected a folder, {cwd} {fault}", "Make it, or name another")
    return structs.replace(config, pools=pools)


def _unreadable(file: Path) -> str:
    """Why a file cannot be read, empty when it can."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return "is no regular file"
        with file.open("rb"):
            return ""
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
