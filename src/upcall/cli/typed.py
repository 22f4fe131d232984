"""What a person typed, for what the API calls it: an error names the option or the argument of the command line."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, get_args

from msgspec.structs import replace
from typer.models import ArgumentInfo, OptionInfo

from upcall.protocol.errors import Problem

FIELDS: Final[Mapping[str, str]] = {"back_to": "to", "window_s": "window"}
"""Field of a request -> the parameter that fills it, where it has another name."""


def as_typed(problem: Problem, parameters: Iterable[inspect.Parameter]) -> Problem:
    """With the option or argument in place of the field that the API names. ``parameters``: of the function that is the
    command. What is none of them stays as it is said."""
    known = dict(_named(parameters))
    typed = known.get(FIELDS.get(problem.where, problem.where)) or known.get(problem.where)
    return replace(problem, where=typed) if typed else problem


def _named(parameters: Iterable[inspect.Parameter]) -> Iterator[tuple[str, str]]:
    for one in parameters:
        for said in get_args(one.annotation)[1:]:
            if isinstance(said, OptionInfo):
                names = [each.partition("/")[0] for each in said.param_decls or ()]
                yield one.name, max(names, key=len, default=f"--{one.name.replace('_', '-')}")
            elif isinstance(said, ArgumentInfo):
                yield one.name, said.metavar or one.name.upper()
