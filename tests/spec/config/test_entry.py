"""What a handler is, and what is told of one that is none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from primectl.config.entry import FaultKind, HandlerFault, find, own_traceback, resolve, split

Write = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module where it can be imported; its name is the test's own, since modules stay loaded."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> str:
        name = f"handlers_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def test_a_handler_is_a_module_and_a_name_in_it() -> None:
    assert split("shop.orders:handle") == ("shop.orders", "handle")
    assert split("shop:Orders.handle") == ("shop", "Orders.handle")


@pytest.mark.parametrize(
    "text", ["", "shop", "shop:", ":handle", "shop.:x", "a:b:c", "shop orders:x", "shop:x()", "1a:x"]
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(HandlerFault) as caught:
        split(text)
    assert caught.value.kind == "malformed"
    assert str(caught.value) == (
        f'expected "module:callable", got "{text}". Name the module and the function in it, such as shop.orders:handle'
    )


def test_functions_async_functions_objects_and_classes_are_handlers(module: Write) -> None:
    name = module(
        "def plain(request, job): return 1\n"
        "async def waiting(request, job): return 2\n"
        "class Counting:\n"
        "    def __init__(self, first=3): self.first = first\n"
        "    def __call__(self, request, job): return self.first\n"
        "    def method(self, request, job): return 5\n"
        "counting = Counting(4)\n"
    )
    assert resolve(f"{name}:plain")(None, None) == 1
    assert callable(resolve(f"{name}:waiting"))
    assert resolve(f"{name}:Counting")(None, None) == 3
    assert resolve(f"{name}:counting")(None, None) == 4
    assert resolve(f"{name}:counting.method")(None, None) == 5


def test_finding_a_class_makes_no_instance_of_it(module: Write) -> None:
    name = module(
        "class Loud:\n    def __init__(self): raise OSError('made')\n    def __call__(self, request, job): ...\n"
    )
    assert isinstance(find(f"{name}:Loud"), type)
    with pytest.raises(OSError, match="made"):
        resolve(f"{name}:Loud")


@pytest.mark.parametrize(
    ("entry", "kind", "line"),
    [
        (
            "not_there_at_all:f",
            "missing",
            'there is no module "not_there_at_all" for "not_there_at_all:f". '
            "Install it, or put it in the folder of the config file",
        ),
        (
            "json.not_there:f",
            "missing",
            'there is no module "json.not_there" for "json.not_there:f". '
            "Install it, or put it in the folder of the config file",
        ),
        ("json:dmups", "missing", 'json has no "dmups". Did you mean "dumps"?'),
        ("json:zzzzz", "missing", 'json has no "zzzzz". Name a function that it defines'),
        ("json:decoder.nothing", "missing", 'json.decoder has no "nothing". Name a function that it defines'),
        (
            "string:digits",
            "not_callable",
            '"string:digits" is not callable, it is of type str. Name a function, or an object with __call__',
        ),
        (
            "json:JSONDecoder",
            "not_callable",
            '"json:JSONDecoder" is a class whose instances are not callable. Give it a __call__(self, request, job)',
        ),
    ],
)
def test_what_is_no_handler_is_told_in_one_line(entry: str, kind: FaultKind, line: str) -> None:
    with pytest.raises(HandlerFault) as caught:
        resolve(entry)
    assert (caught.value.kind, str(caught.value)) == (kind, line)


def test_a_class_that_needs_arguments_is_no_handler(module: Write) -> None:
    name = module("class C:\n    def __init__(self, size): ...\n    def __call__(self, request, job): ...\n")
    with pytest.raises(HandlerFault) as caught:
        find(f"{name}:C")
    assert (caught.value.kind, str(caught.value)) == (
        "not_callable",
        f'"{name}:C" is a class that cannot be made without arguments. '
        "Give its parameters defaults, or name an instance of it",
    )


def test_a_module_that_the_handler_imports_in_vain_is_the_handlers_own_mistake(module: Write) -> None:
    name = module("import not_there_at_all\n")
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        find(f"{name}:f")


def test_the_own_traceback_begins_in_the_handlers_module(module: Write, tmp_path: Path) -> None:
    name = module("def broken():\n    return 1 / 0\nbroken()\n")
    with pytest.raises(ZeroDivisionError) as caught:
        find(f"{name}:f")
    lines = own_traceback(caught.value).splitlines()
    assert lines[:2] == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/{name}.py", line 3, in <module>',
    ]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "primectl" not in own_traceback(caught.value)
