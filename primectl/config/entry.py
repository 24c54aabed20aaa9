"""What a handler is: the one rule by which `check` judges it and a worker finds it.

"package.module:name" or "package.module:name.inner" names a function (also async), an object with `__call__`, or a
class whose instances have it; a class is instantiated without arguments, once. The module is looked up on sys.path as
it stands: whoever calls puts the config file's folder first.
"""

from __future__ import annotations

import importlib
import inspect
import re
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from types import TracebackType
from typing import Literal

from primectl.errors import ConfigError

FaultKind = Literal["malformed", "missing", "not_callable"]

_MACHINERY = ("<frozen importlib", importlib.__file__)
_ENTRY = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


class HandlerFault(ConfigError):
    """A handler that cannot be used, found out without a mistake in its own code; `kind` says how."""

    def __init__(self, kind: FaultKind, what: str, mend: str) -> None:
        super().__init__(what, mend=mend)
        self.kind: FaultKind = kind


def split(handler: str) -> tuple[str, str]:
    """The module and the name of "module:name". Raises HandlerFault ("malformed")."""
    if not _ENTRY.fullmatch(handler):
        raise HandlerFault(
            "malformed",
            f'expected "module:callable", got "{handler}"',
            "Name the module and the function in it, such as shop.orders:handle",
        )
    module, _, name = handler.partition(":")
    return module, name


def find(handler: str) -> object:
    """Import the module and return what `handler` names there: a callable, or a class of callables.

    Raises HandlerFault when it is malformed, missing or not callable. Whatever the module itself raises passes
    through; `own_traceback` shows it without our frames.
    """
    module_name, name = split(handler)
    found: object = _import(module_name, handler)
    reached = module_name
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise HandlerFault("missing", f'{reached} has no "{part}"', _nearest(part, found)) from None
        reached = f"{reached}.{part}"
    _judge(found, handler)
    return found


def resolve(handler: str) -> Callable[..., object]:
    """What a worker calls for every job: as `find`, and a class instantiated. Its `__init__` may raise anything."""
    found = find(handler)
    assert callable(found)
    if not isinstance(found, type):
        return found
    instance: object = found()
    assert callable(instance)
    return instance


def own_traceback(error: BaseException) -> str:
    """The traceback of what a handler's module raised, without the frames of ours and of the import machinery."""
    frames: list[TracebackType] = []
    rest = error.__traceback__
    while rest is not None:
        frames.append(rest)
        rest = rest.tb_next
    ours = [place for place, frame in enumerate(frames) if _file(frame) == __file__]
    own = frames[ours[-1] + 1 :] if ours else frames
    while own and _file(own[0]).startswith(_MACHINERY):
        own.pop(0)
    return "".join(traceback.format_exception(type(error), error, own[0] if own else None)).rstrip()


def _file(frame: TracebackType) -> str:
    return frame.tb_frame.f_code.co_filename


def _import(module_name: str, handler: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        # A module that the handler's own code imports in vain is that code's mistake, not the config's.
        if missing != module_name and not module_name.startswith(f"{missing}."):
            raise
        raise HandlerFault(
            "missing",
            f'there is no module "{missing}" for "{handler}"',
            "Install it, or put it in the folder of the config file",
        ) from None


def _judge(found: object, handler: str) -> None:
    if not callable(found):
        raise HandlerFault(
            "not_callable",
            f'"{handler}" is not callable, it is of type {type(found).__name__}',
            "Name a function, or an object with __call__",
        )
    if not isinstance(found, type):
        return
    if not any("__call__" in base.__dict__ for base in found.__mro__):
        raise HandlerFault(
            "not_callable",
            f'"{handler}" is a class whose instances are not callable',
            "Give it a __call__(self, request, job)",
        )
    if _needs_arguments(found):
        raise HandlerFault(
            "not_callable",
            f'"{handler}" is a class that cannot be made without arguments',
            "Give its parameters defaults, or name an instance of it",
        )


def _needs_arguments(found: type) -> bool:
    try:
        parameters = inspect.signature(found).parameters.values()
    except ValueError:  # a class written in C without a signature: making it will tell
        return False
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(each.default is each.empty and each.kind not in variable for each in parameters)


def _nearest(name: str, owner: object) -> str:
    names = [each for each in dir(owner) if not each.startswith("_")]
    near = get_close_matches(name, names, 1)
    return f'Did you mean "{near[0]}"?' if near else "Name a function that it defines"
