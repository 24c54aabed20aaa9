"""The command line: a table of commands, each in a file of its own that is imported when it is called.

A command parses, calls once, prints once. What goes wrong reaches `main` as an error and leaves as one line on stderr
and an exit code: 0 done, 1 failed, 2 wrong usage or config, 3 no such cluster, pool or process, 4 timed out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Annotated, Any, ClassVar, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from primectl.cli import options
from primectl.cli.choose import Selection
from primectl.cli.terminal import silence_stdout, tell
from primectl.errors import ConfigError, PrimectlError

COMMANDS = (
    "init", "check", "schema", "up", "down", "ps", "scale", "kill", "restart", "reload", "apply", "drain", "resume",
    "dump", "logs", "reopen", "events", "requests", "replay", "top", "tui", "unit",
)  # fmt: skip
"""In the order of the help; each is the function of that name in the module of that name.

A module's `VERBS` are the commands below its own, as `module:function` by name: `primectl requests show`.
"""
INTERRUPTED = 130

UsageError: type[Exception] = cast(type[Exception], typer.BadParameter.__mro__[1])
"""The base of all that typer finds wrong with a command line; not exported, but its public subclass leads there."""


class TextCommand(TyperCommand):
    """A command whose parameters take their values as they are typed."""

    def get_params(self, ctx: Any) -> list[Any]:
        return taking_text(super().get_params(ctx))


class CommandTable(TyperGroup):
    """Imports a command when it is asked for: `ps` need not load what `tui` needs."""

    table: ClassVar[Mapping[str, str]] = {name: f"primectl.cli.{name}:{name}" for name in COMMANDS}

    def get_params(self, ctx: Any) -> list[Any]:
        return taking_text(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.table:
            near = get_close_matches(cmd_name, self.table, 1)
            hint = f'Did you mean "{near[0]}"?' if near else f"`{ctx.command_path} --help` lists the commands"
            if not near and "show" in self.table:
                hint = f"`{ctx.command_path} show {cmd_name}` shows it, if it is an id"
            above = ctx.command_path.partition(" ")[2]
            raise ConfigError(f'there is no command "{f"{above} {cmd_name}".strip()}"', mend=hint)
        path, _, name = self.table[cmd_name].partition(":")
        module = import_module(path)
        function = getattr(module, name)
        settings = getattr(module, "CONTEXT_SETTINGS", None)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        if verbs := getattr(module, "VERBS", None):
            below = type("CommandTableBelow", (CommandTable,), {"table": verbs})
            alone.callback(cls=below, invoke_without_command=True, context_settings=settings)(function)
        else:
            alone.command(cmd_name, cls=TextCommand, context_settings=settings)(function)
        return get_command(alone)


def taking_text(parameters: list[Any]) -> list[Any]:
    """The parameters without typer's conversion.

    Typer has pydantic convert every value, and importing that takes longer than all else that `ps` does. Ours are text
    and flags; a command reads a number out of its text itself and says in our words what is wrong with it.
    """
    for parameter in parameters:
        parameter.process_value = partial(_as_typed, parameter)
    return parameters


def _as_typed(parameter: Any, ctx: Any, value: Any) -> Any:
    if value is None and parameter.nargs != 1:
        value = ()
    if parameter.required and value in (None, ()):
        raise UsageError(f"{parameter.metavar or parameter.name} is missing", ctx)
    return value if parameter.callback is None else parameter.callback(ctx, parameter, value)


app = typer.Typer(
    cls=CommandTable,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        from primectl import __version__

        print(f"primectl {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def primectl(
    ctx: typer.Context,
    file: options.File = None,
    cluster: options.ClusterName = None,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run and operate a cluster of ZeroMQ processes that answers requests.

    `primectl up -d` starts the cluster of primectl.toml here, or the built-in sample; `primectl tui` shows it live.
    """
    ctx.obj = Selection(file, cluster)
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code."""
    try:
        code = get_command(app).main(args=arguments, prog_name="primectl", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return 1
    except UsageError as error:
        tell(usage_line(error))
        return 2
    except PrimectlError as error:
        tell(str(error))
        return error.exit_code
    except OSError as error:
        tell(str(PrimectlError(error.strerror or str(error), str(error.filename or ""))))
        return 1
    return code if isinstance(code, int) else 0


def usage_line(error: Exception) -> str:
    """What typer says in a box or four lines, in one: the command, what is wrong with it, where its help is."""
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path if ctx is not None else "primectl"
    what = " ".join(error.format_message().split()) if hasattr(error, "format_message") else str(error)
    if what[1:2].islower():  # a sentence of typer's, not one of our metavars
        what = f"{what[0].lower()}{what[1:]}"
    return f"{command}: {what.rstrip('.')}. See `{command} --help`"
