"""What a person typed, for what the API calls it: an error names the option or the argument of the command line."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeGuard, get_args

from msgspec.structs import replace
from typer.models import ArgumentInfo, OptionInfo

from upcall.protocol.errors import Problem

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "back_to": ("to",),
    "window_s": ("window",),
    "version": ("to",),
    "time_zone": ("zone",),
    "options": ("setting", "count"),
    "autoscale": ("at_least",),
    "goals": ("goal",),
}
"""Field of a request -> the parameters that may fill it, where they have another name; a command has one of them."""


def as_typed(problem: Problem, parameters: Iterable[inspect.Parameter]) -> Problem:
    """With the option or argument in place of the field that the API names. ``parameters``: of the function that is the
    command. Of a mapping (``options.brokers``) the key stays (``--set brokers``). What is none of them stays as it is.
    """
    known = dict(_named(parameters))
    field, _, key = problem.where.partition(".")
    typed = _filling(field, known)
    if key and typed.startswith("-"):
        return replace(problem, where=f"{typed} {key}")
    typed = _filling(key, known) or typed
    return replace(problem, where=typed) if typed else problem


def _filling(field: str, known: Mapping[str, str]) -> str:
    return next((known[name] for name in (field, *FIELDS.get(field, ())) if name in known), "")


def _named(parameters: Iterable[inspect.Parameter]) -> Iterator[tuple[str, str]]:
    for one in parameters:
        for said in get_args(one.annotation)[1:]:
            if isinstance(said, OptionInfo):
                names = [each.partition("/")[0] for each in (said.default, *(said.param_decls or ())) if _is_name(each)]
                yield one.name, max(names, key=len, default=f"--{one.name.replace('_', '-')}")
            elif isinstance(said, ArgumentInfo):
                yield one.name, said.metavar or one.name.upper()


def _is_name(said: object) -> TypeGuard[str]:
    """In an annotation typer takes the first name for a default, and sees later that it is a name."""
    return isinstance(said, str) and said.startswith("-")
