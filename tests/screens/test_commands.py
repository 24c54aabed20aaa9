"""The one table of commands: keys, words, help, palette, and ways out."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.binding import Binding

from tests.screens.stage import a_stage
from tests.support.snapshots import a_cluster, a_pool
from tui import commands, messages
from tui.commands import COMMANDS, FORBIDDEN_KEYS, Aim, Danger, Names, complete, order_of
from tui.screens.confirm import DrainDialog, KillDialog, RestartDialog, ResumeDialog
from tui.screens.help import HelpScreen, help_rows
from tui.screens.replay import ReplayDialog
from tui.screens.scale import ScaleDialog
from tui.screens.stop import StopDialog

SCREENS = (
    commands.OVERVIEW, commands.WORKERS, commands.LOGS, commands.EVENTS, commands.REQUESTS, commands.REQUEST,
    commands.REPLAYS, commands.REPLAY, commands.DIFFERENCE,
)  # fmt: skip


@pytest.mark.parametrize("screen", SCREENS)
def test_no_key_is_bound_twice_on_a_screen_and_none_is_forbidden(screen: str):
    keys = [key for command in COMMANDS if command.on(screen) for key in commands.keys_on(command, screen)]
    assert len(keys) == len(set(keys))
    assert not set(keys) & FORBIDDEN_KEYS
    assert not any(key.startswith("alt+") for key in keys)


DIALOGS = [ScaleDialog, KillDialog, RestartDialog, DrainDialog, ResumeDialog, StopDialog, ReplayDialog, HelpScreen]


@pytest.mark.parametrize("dialog", DIALOGS)
def test_no_key_is_bound_twice_in_a_dialog(dialog: type):
    keys = [
        key
        for base in dialog.__mro__
        for binding in vars(base).get("BINDINGS", ())
        if isinstance(binding, Binding) and "tui" in base.__module__
        for key in binding.key.split(",")
    ]
    assert len(keys) == len(set(keys))
    assert not set(keys) & FORBIDDEN_KEYS


def test_ids_and_words_are_given_once():
    assert len({command.id for command in COMMANDS}) == len(COMMANDS)
    words = [word for command in COMMANDS for word in command.words]
    assert len(words) == len(set(words))


def test_what_loses_something_has_a_dialog_and_a_command_line():
    dangerous = {command.id: command.danger for command in COMMANDS if command.danger}
    assert dangerous == {
        "scale": Danger.ASKS, "restart": Danger.ASKS, "reload": Danger.ASKS, "drain": Danger.ASKS,
        "resume": Danger.ASKS, "replay": Danger.LISTS, "kill": Danger.NAMES, "stop": Danger.NAMES,
    }  # fmt: skip
    assert all(command.cli for command in COMMANDS if command.danger)


@pytest.mark.parametrize("screen", SCREENS)
def test_help_lists_everything_that_can_be_done_on_a_screen(screen: str):
    assert [row.id for row in help_rows(Aim(screen))] == [command.id for command in COMMANDS if command.on(screen)]


@pytest.mark.parametrize(
    ("line", "pool", "workers"),
    [("scale compute 5", "compute", "5"), ("scale compute=+2", "compute", "+2"), ("scale compute -1", "compute", "-1"),
     ("scale", "here", ""), ("scale compute", "compute", ""), ("primectl scale compute=8", "compute", "8")],
)  # fmt: skip
def test_scale_is_understood_in_every_form_of_the_command_line(line: str, pool: str, workers: str):
    order = order_of(line, Aim(pool="here"))
    assert isinstance(order, messages.ScaleRequested)
    assert (order.pool, order.workers) == (pool, workers)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("scal compute", "did you mean scale?"),
        ("fnord", "? lists what there is"),
        ("scale compute five", "scale takes a pool and a number"),
        ("scale compute=+-5", "scale takes a pool and a number"),
        ("scale compute ٣", "scale takes a pool and a number"),
        ("scale compute=5 6", "scale takes"),
        ("kill a b", "does not take 'b'"),
        ("kill 'a", "No closing quotation"),
        ("kill", "no pool or process is under the cursor"),
        ("", "type a command"),
        ("replay", "no request is under the cursor"),
        ("replay 1a2f --to http://x", "replay takes ids here"),
        ("requests --where 'x", "No closing quotation"),
        ("stop-replay", "no replay is under the cursor"),
        ("\x1b[2J", "␛[2J"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_what_to_do(line: str, why: str):
    order = order_of(line, Aim())
    assert isinstance(order, messages.Refused)
    assert why in order.why


@pytest.mark.parametrize(
    ("line", "kind", "about"),
    [
        ("workers compute", messages.ScreenRequested, ("workers", "compute")),
        ("pools", messages.ScreenRequested, ("overview", "")),
        ("logs -f compute.1", messages.ScreenRequested, ("logs", "compute.1")),
        ("events", messages.ScreenRequested, ("events", "")),
        ("requests", messages.ScreenRequested, ("requests", "")),
        ("requests path~'a b' or ms>5", messages.ScreenRequested, ("requests", "path~'a b' or ms>5")),
        ("primectl requests --where 'ms>5'", messages.ScreenRequested, ("requests", "ms>5")),
        ("replays", messages.ScreenRequested, ("replays", "")),
    ],
)
def test_words_open_screens(line: str, kind: type[messages.ScreenRequested], about: tuple[str, str]):
    order = order_of(line, Aim())
    assert isinstance(order, kind)
    assert (order.screen, order.target) == about


def test_other_words_of_the_command_line_are_understood():
    kinds = {
        line: type(order_of(line, Aim())) for line in ("kill all --yes", "restart compute", "down", "quit", "help")
    }
    assert list(kinds.values()) == [
        messages.KillRequested, messages.RestartRequested, messages.StopRequested, messages.LeaveRequested,
        messages.HelpRequested,
    ]  # fmt: skip


def test_completion_offers_words_then_names():
    names = Names(("compute", "parse"), ("compute.1", "server.1"))
    assert complete("s", names) == ["scale", "stop", "stop-replay"]
    assert complete("scale co", names) == ["scale compute"]
    assert complete("kill compute", names) == ["kill compute", "kill compute.1"]
    assert complete("kill a", names) == ["kill all"]
    assert complete("fnord ", names) == complete("kill all ", names) == []


# --- on the screen ----------------------------------------------------------------------------------------------------


async def test_the_bar_completes_remembers_and_goes_away():
    async with a_stage() as stage:
        await stage.press("colon")
        await stage.type("sca")
        assert "scale" in stage.frame().splitlines()[-2]
        await stage.press("tab")
        await stage.type("comp")
        await stage.press("tab")
        await stage.type("99999")
        await stage.press("enter")
        await stage.press("escape", "colon", "up")
        assert ":scale compute 99999" in stage.frame()
        await stage.press("down")
        assert ":scale" not in stage.frame()
        await stage.press("escape")
        assert "‹overview›" in stage.frame()
        await stage.press("colon", "backspace")
        assert "‹overview›" in stage.frame()


async def test_a_typed_command_about_something_unknown_is_refused_by_name():
    async with a_stage() as stage:
        for number, line in enumerate(("scale x 3", "kill x", "workers x", "restart x", "logs x"), 1):
            stage.console.screen.post_message(order_of(line, Aim()))
            await stage.settle()
            assert stage.said.count("there is no x in this cluster; its pools: compute") == number
        assert stage.channel.posts() == []


async def test_help_shows_keys_words_and_command_lines_and_does_what_is_chosen():
    async with a_stage() as stage:
        await stage.press("question_mark")
        assert "What can be done here: overview" in stage.frame()
        assert "primectl scale" in stage.line("Scale a pool")
        await stage.press("j", "enter")
        assert "‹overview›" in stage.frame()
        await stage.press("f1")
        await stage.press(*["j"] * 2, "enter")
        assert "‹workers›" in stage.frame()


async def test_the_palette_finds_and_does_commands():
    async with a_stage() as stage:
        await stage.press("ctrl+p")
        await stage.type("events")
        await stage.until(lambda: "Events: what happened" in stage.frame(), "the palette finds it")
        await stage.press("enter")
        await stage.until(lambda: "‹events›" in stage.frame(), "the palette does it")


async def test_the_command_line_of_what_is_shown_can_be_copied():
    async with a_stage(a_cluster(a_pool("parse"), a_pool("compute"))) as stage:
        await stage.press("y")
        assert stage.console.clipboard == "primectl ps"
        await stage.press("j", "s", "plus", "y")
        assert stage.console.clipboard == "primectl scale compute=5"


async def test_q_at_the_top_leaves_and_says_that_the_cluster_keeps_running():
    async with a_stage() as stage:
        await stage.press("q")
        assert stage.left
        assert stage.console.return_value == (
            "Cluster prime keeps running. Come back: primectl tui   stop it: primectl down"
        )


async def test_escape_at_the_top_does_not_leave():
    async with a_stage() as stage:
        await stage.press("escape", "escape")
        assert not stage.left


async def test_ctrl_c_leaves_only_when_it_is_pressed_twice_within_a_second():
    async with a_stage() as stage:
        await stage.press("ctrl+c")
        stage.clock.now += 1.5
        await stage.press("ctrl+c")
        assert not stage.left
        await stage.press("ctrl+c")
        assert stage.left


async def test_ctrl_q_is_bound_to_nothing():
    async with a_stage() as stage:
        await stage.press("ctrl+q")
        assert not stage.left


async def test_a_click_on_a_hint_does_the_same_as_its_key():
    async with a_stage() as stage:
        at = stage.frame().splitlines()[-1].index("s scale")
        await stage.pilot.click("#hints", offset=(at, 0))
        await stage.settle()
        assert "Scale pool compute" in stage.frame()


def test_the_manual_has_the_table_of_commands_as_it_is():
    manual = Path(__file__).resolve().parents[2] / "docs" / "console.md"
    assert commands.key_table() in manual.read_text()
