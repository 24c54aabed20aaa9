"""`primectl replay`: send recorded requests again, and compare the answers."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import msgspec
import typer
from msgspec import Struct, structs

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.edit import edited
from primectl.cli.replaychoice import Choice, allowed, choice, found
from primectl.cli.replayrun import carry_out
from primectl.cli.replaytarget import Aim, aim
from primectl.cli.replaytext import plan_text, report_text
from primectl.cli.replaywishes import Meant, Wanted, understood
from primectl.cli.terminal import has_colour, say, say_json, tell
from primectl.clock import SystemClock
from primectl.config.topology import Place
from primectl.errors import ChannelLost, ConfigError, PrimectlError
from primectl.journal import fill, plan, resume
from primectl.journal.report import Report
from primectl.journal.resume import Memory, Recalled, Remembering
from primectl.journal.sender import Target
from primectl.journal.steps import Plan
from primectl.wire.journal import Entry
from tui.present import units

INTERRUPTED = 130
RUN = "run"
"""`replay run SET`: a set as a test."""
LONG_S = 10.0
"""A run that takes longer says so before it begins."""
_FAIL_ON = ("diff", "error")
_WANTED = "wanted"
_FILES = "files"

Many = list[str]


def replay(
    ctx: typer.Context,
    what: Annotated[
        Many | None,
        typer.Argument(metavar="ID|FILE", help="Ids of requests (or their ends), saved sets, HAR files."),
    ] = None,
    last: Annotated[str | None, typer.Option("-n", "--last", metavar="N", help="The newest N.")] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="FILTER", help="Those that fit, as `requests --where` has it.")
    ] = None,
    after: options.Since = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Not after.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Dead letters that are not redeemed.")] = False,
    replays: Annotated[bool, typer.Option("--replays", help="Replays among them, too.")] = False,
    files: Annotated[Many | None, typer.Option("--from", metavar="FILE", help="A saved set or HAR file.")] = None,
    again: Annotated[str | None, typer.Option("--resume", metavar="RUN", help="What a stopped run left over.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="URL", help="Send there, not to this cluster.")] = None,
    speed: Annotated[
        str | None, typer.Option("--speed", metavar="N|max", help="1: as fast as they came; 2: twice as fast.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="R", help="At most R a second; the others wait.")
    ] = None,
    in_flight: Annotated[
        str | None, typer.Option("--in-flight", metavar="N", help="At most N open at once (128); the others wait.")
    ] = None,
    repeat: Annotated[str | None, typer.Option("--repeat", metavar="N", help="The whole N times.")] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="TIME", help="For each answer (60s).")] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Change each request in $EDITOR before.")] = False,
    set_header: Annotated[
        Many | None, typer.Option("--set-header", metavar="NAME: VALUE", help="Send this field; empty: without it.")
    ] = None,
    secret: Annotated[
        Many | None,
        typer.Option("--secret", metavar="NAME=ENV", help="For what was redacted: the value of this variable."),
    ] = None,
    unsafe: Annotated[
        str | None,
        typer.Option("--unsafe", metavar="ask|skip|send", help="POST and other methods that may change something."),
    ] = None,
    stop_if: Annotated[
        Many | None, typer.Option("--stop-if", metavar="BRAKE", help='Such as "queue>50", "errors>5%", "p99>2s".')
    ] = None,
    ignore: Annotated[
        Many | None, typer.Option("--ignore", metavar="NAME|/POINTER", help="Do not compare this header or JSON value.")
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option("--tolerance", metavar="X", help="Figures in JSON may differ by so much, such as 1e-9."),
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Print all that differs.")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on", metavar="diff|error", help="Exit code 1 if anything changed; if there are new errors."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    progress: Annotated[
        str | None, typer.Option("--progress", metavar="json", help="Progress as lines of JSON on stderr.")
    ] = None,
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> int:
    """Send recorded requests again, at the pace of then, and compare the answers with those of then.

    They are chosen by id, by filter (--last, --where, --since, --dead) or from files. `replay run FILE` takes a saved
    set as a test: at once instead of at its pace. Methods that may change something are asked for; without a terminal
    they are skipped.
    """
    if fail_on is not None and fail_on not in _FAIL_ON:
        raise ConfigError(f'expected diff or error, got "{fail_on}"', "--fail-on")
    if progress not in (None, "json"):
        raise ConfigError(f'expected json, got "{progress}"', "--progress")
    place = chosen_place(ctx, file, cluster)
    words = list(what or ())
    is_test = words[:1] == [RUN]
    given = {
        name: value
        for name, value in {
            "to": to,
            "speed": speed,
            "rate": rate,
            "repeat": repeat,
            "in_flight": in_flight,
            "timeout": timeout,
            "unsafe": unsafe,
            "secret": secret,
            "set_header": set_header,
            "stop_if": stop_if,
            "ignore": ignore,
            "tolerance": tolerance,
        }.items()
        if value
    }
    by = Choice(where=where or "", last=last or "", since=after or "", until=until or "", dead=dead, replays=replays)
    if again is not None:
        if words or files or by != Choice() or edit or dry_run or given:
            raise ConfigError("it goes on as the run began", "--resume", "Leave out what chooses or changes requests")
        job = _recalled(place, again)
    else:
        chosen = choice(words[is_test:], files or (), by)
        if is_test and not chosen.files:
            raise ConfigError("expected a saved set", "replay run", "Name a file that ends in .jsonl or .har")
        if is_test or dead:
            given.setdefault("speed", "max")
        job = _chosen(place, chosen, msgspec.convert(given, Wanted), edit=edit, dry_run=dry_run)
    _warn(job)
    if dry_run:
        return _show_plan(job, as_json=as_json)
    return _run(place, job, fail_on, as_json=as_json, diff=diff, json_progress=progress is not None)


class _Job(Struct, frozen=True):
    """What to send, how, where. `files` are what the requests are from, `left` is a run that goes on."""

    entries: list[Entry]
    wanted: Wanted
    meant: Meant
    plan: Plan
    aim: Aim
    files: list[str]
    left: Recalled | None = None


def _chosen(place: Place, chosen: Choice, wanted: Wanted, *, edit: bool, dry_run: bool) -> _Job:
    """Options that mean nothing and a target that is not there are told before anything is read or asked."""
    meant = understood(wanted, os.environ)
    try:
        aimed = aim(place, wanted.to, meant.brakes)
    except ChannelLost:
        if not dry_run:
            raise
        aimed = Aim(Target(""))
    entries = found(chosen, place)
    if not entries and not chosen.dead:
        raise PrimectlError(
            "no request fits", chosen.files[0] if chosen.files else "", "`primectl requests` lists them"
        )
    if edit:
        wanted = structs.replace(wanted, edits=edited(entries, meant.wishes.set_headers))
    if wanted.unsafe == "ask" and not dry_run:
        wanted = structs.replace(wanted, allowed=allowed(entries, wanted.edits))
    meant = understood(wanted, os.environ)
    return _Job(entries, wanted, meant, plan.make(entries, meant.wishes), aimed, chosen.files)


def _recalled(place: Place, run: str) -> _Job:
    """What a run has left over, from the same requests as then."""
    left = resume.recall(place.replays, run)
    wanted = msgspec.convert(left.memory.wishes[_WANTED], Wanted)
    files = msgspec.convert(left.memory.wishes[_FILES], list[str])
    meant = understood(wanted, os.environ)
    aimed = aim(place, wanted.to, meant.brakes)
    entries = found(Choice(files=files) if files else Choice(ids=left.memory.ids), place)
    rest = resume.rest(left, plan.make(entries, meant.wishes))
    return _Job(entries, wanted, meant, structs.replace(rest, skipped=()), aimed, files, left)


def _warn(job: _Job) -> None:
    """Of secrets that are most likely not what was meant."""
    for name in plan.unused_secrets(job.plan, job.meant.wishes):
        tell(f"warning: --secret {name}: nothing of that name is redacted in these requests")
    if job.aim.config is not None:
        for name in fill.not_redacted(job.meant.wishes.secrets, job.aim.config.journal):
            tell(f"warning: --secret {name}: this cluster records it as it is, its config does not redact it")


def _show_plan(job: _Job, *, as_json: bool) -> int:
    planned = plan.summary(job.plan)
    if as_json:
        say_json({"target": job.aim.target.url, **structs.asdict(planned)})
    else:
        say(plan_text(planned, job.aim.target.url))
    return 0


def _run(place: Place, job: _Job, fail_on: str | None, *, as_json: bool, diff: bool, json_progress: bool) -> int:
    """Send, report; returns the exit code."""
    run = job.left.memory.run if job.left is not None else os.urandom(4).hex()
    report = Report(run, job.aim.target.url, redeems=job.aim.own)
    report.skip(job.plan.skipped, plan.summary(job.plan).reasons)
    interrupted = False
    if job.plan.steps:
        if job.plan.seconds >= LONG_S and not json_progress:
            tell(f"this takes {units.duration(job.plan.seconds)}; --speed max does not keep to the pace of then")
        with _remembered(place, job, run) as remembering:
            interrupted = carry_out(
                job.plan, job.aim, job.meant, place, report, remembering, json_progress=json_progress
            )
        if remembering.trouble:
            tell(f"warning: {remembering.trouble}")
    if as_json:
        say_json(report.to_json())
    elif not job.entries:
        say("no dead letter waits to be redeemed")
    elif job.left is not None and not job.plan.steps:
        say(f"nothing of run {run} is left to be sent")
    else:
        say(report_text(report, colour=has_colour(sys.stdout), with_differences=diff))
        if report.not_sent:
            tell(f"`primectl replay --resume {run}` sends what is left")
    return INTERRUPTED if interrupted else exit_code(report, fail_on)


def _remembered(place: Place, job: _Job, run: str) -> Remembering:
    if job.left is not None:
        return resume.go_on(place.replays, job.left)
    memory = Memory(
        run=run,
        started=SystemClock().wall(),
        target=job.aim.target.url,
        ids=[entry.row.id for entry in job.entries],
        digest=resume.digest_of(job.plan),
        source=", ".join(job.files),
        wishes={_WANTED: msgspec.to_builtins(job.wanted), _FILES: [os.path.abspath(path) for path in job.files]},
    )
    return resume.begin(place.replays, memory)


def exit_code(report: Report, fail_on: str | None) -> int:
    """1 where the run was not done, or came out as it should not."""
    if report.stopped or (report.skipped and not report.sent):
        return 1
    if fail_on is not None and (report.failed or (report.changed if fail_on == "diff" else report.new_errors)):
        return 1
    return 0
