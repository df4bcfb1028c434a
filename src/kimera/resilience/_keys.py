"""Cache keys, and the functions that look them up, written for one signature each.

Binding arguments in general costs more than most cache hits. What is generated here has the signature of the function
it stands for, so Python itself binds the arguments, fills in the defaults and refuses what does not fit.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from kimera.resilience.pipeline import origin

# names of ours inside generated code start with this, so that no parameter can hide them
_OURS = "_kimera_"

_ASYNC = """
async def {name}({parameters}):
    if _kimera_switch.off:
        return await _kimera_fn({call})
    _kimera_key = {key}
    _kimera_entry = _kimera_get(_kimera_key)
    if _kimera_entry is not None and _kimera_now() < _kimera_entry[1]:
        _kimera_entry[2] = _kimera_tick()
        return _kimera_entry[0]
    return await _kimera_miss(_kimera_key, {args}, {kwargs})
"""
_SYNC = _ASYNC.replace("async ", "").replace("await ", "")
_KEY = """
def {name}({parameters}):
    return {key}
"""


class _Parts(NamedTuple):
    parameters: str
    call: str
    args: str
    kwargs: str
    key: str
    defaults: dict[str, Any]


def compile_lookup(fn: Callable[..., Any], is_async: bool, typed: bool, key: Any, **ours: Any) -> Callable[..., Any]:
    """Return the cached stand-in of ``fn``; ``ours`` are switch, get, now, tick and miss."""
    return _compile(_ASYNC if is_async else _SYNC, fn, _parts(fn, typed, key, 0), {"fn": fn, "own_key": key, **ours})


def compile_key(fn: Callable[..., Any], typed: bool, key: Any, skip: int = 0) -> Callable[..., Hashable]:
    """Return a function from the arguments of ``fn`` to its cache key; the first ``skip`` parameters are left out."""
    return _compile(_KEY, fn, _parts(fn, typed, key, skip), {"own_key": key})


def _compile(template: str, fn: Callable[..., Any], parts: _Parts, ours: dict[str, Any]) -> Callable[..., Any]:
    source = template.format(name="cached", **parts._replace(defaults={})._asdict())
    names = {"_kimera_type": type, "_kimera_defaults": parts.defaults, **{_OURS + name: v for name, v in ours.items()}}
    exec(source, names)  # noqa: S102 - the source holds parameter names of a function that exists, nothing else
    return names["cached"]  # type: ignore[no-any-return]


def _parts(fn: Callable[..., Any], typed: bool, key: Any, skip: int) -> _Parts:
    try:
        parameters = list(inspect.signature(fn).parameters.values())[skip:]
    except ValueError:  # a function in C that does not say what it takes
        parameters = []
        any_call = "*args, **kwargs"
        return _Parts(any_call, any_call, "args", "kwargs", _key_of_any(typed, key), {})
    pieces = _declare(parameters)
    positional = [p.name for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    more = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
    args = "(" + "".join(f"{name}, " for name in positional) + (f"*{rest}, " if rest else "") + ")"
    kwargs = "{" + "".join(f"{name!r}: {name}, " for name in named) + (f"**{more}" if more else "") + "}"
    stars = ([f"*{rest}"] if rest else []) + [f"{n}={n}" for n in named] + ([f"**{more}"] if more else [])
    call = ", ".join([*positional, *stars])
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    found = f"_kimera_own_key({call})" if key is not None else _key(positional + named, rest, more, typed)
    return _Parts(", ".join(pieces), call, args, kwargs, found, defaults)


def _declare(parameters: list[inspect.Parameter]) -> list[str]:
    pieces: list[str] = []
    kinds = [p.kind for p in parameters]
    for place, p in enumerate(parameters):
        default = "" if p.default is p.empty else f"=_kimera_defaults[{p.name!r}]"
        if p.kind is p.KEYWORD_ONLY and p.VAR_POSITIONAL not in kinds and p.KEYWORD_ONLY not in kinds[:place]:
            pieces.append("*")
        star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        pieces.append(f"{star}{p.name}{default}")
        if p.kind is p.POSITIONAL_ONLY and p.POSITIONAL_ONLY not in kinds[place + 1 :]:
            pieces.append("/")
    return pieces


def _key(names: list[str], rest: str | None, more: str | None, typed: bool) -> str:
    if len(names) == 1 and rest is None and more is None:
        (only,) = names
        # a text equals nothing but a text, so it is its own typed key
        return f"({only} if _kimera_type({only}) is str else ({only}, _kimera_type({only})))" if typed else f"({only},)"
    parts = list(names)
    if typed:
        parts += [f"_kimera_type({name})" for name in names]
    if rest:
        parts += [rest, *([f"tuple(map(_kimera_type, {rest}))"] if typed else [])]
    if more:
        parts.append(f"tuple(sorted({more}.items()))")
        if typed:
            parts.append(f"tuple(_kimera_type({more}[n]) for n in sorted({more}))")
    return "(" + "".join(f"{part}, " for part in parts) + ")"


def _key_of_any(typed: bool, key: Any) -> str:
    return "_kimera_own_key(*args, **kwargs)" if key is not None else _key([], "args", "kwargs", typed)


def is_method(fn: Callable[..., Any]) -> bool:
    """Return whether ``fn`` was written in a class body with self, cls or the like first."""
    if isinstance(fn, functools.partial):
        return False
    owner = getattr(origin(fn), "__qualname__", "").rpartition(".")[0]
    if not owner or owner.endswith("<locals>"):
        return False
    try:
        first = next(iter(inspect.signature(fn).parameters), "")
    except ValueError:
        return False
    return first in {"self", "cls", "mcs", "this"}
