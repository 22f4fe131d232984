"""The options of a service: one pydantic model.

It validates, gives the JSON Schema that the master checks an ``install`` against, and becomes help on the command
line and a form on the page; so every field wants a default, bounds and a ``description``::

    class HelloOptions(ServiceOptions):
        count: int = Field(2, ge=1, le=9, description="how many web servers")

An option that nobody knows is a mistake of the caller and is refused by name.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from upcall.protocol.decoder_words import of_validator
from upcall.protocol.errors import Invalid, Problem, UpcallError
from upcall.protocol.nearest import choice, nearest

M = TypeVar("M", bound=BaseModel)

SHOWN_MAX: Final = 60
"""Characters of a wrong value that are said again."""


class ServiceOptions(BaseModel):
    """Base of every service's options. Instances are frozen: a change of options is a new revision."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    replace_after_s: float = Field(
        600.0, ge=90.0, le=86_400.0, description="how long a member on a node that is silent is waited for"
    )
    windows: tuple[str, ...] = Field(
        (), max_length=20, description="when what the system does by itself may begin: `sat 02:00-04:00`; none: always"
    )
    time_zone: str = Field("UTC", max_length=60, description="of windows and schedules: `Europe/Berlin`")
    schedules: dict[str, str] = Field(
        {}, max_length=50, description="other times than the package's own: `repair=sun 03:00`, `7 days` or `never`"
    )


def validated(model: type[M], values: Mapping[str, Any], *, where: str) -> M:
    """``values`` as ``model``, or one clear error that names each wrong field."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise Invalid(
            describe(error, model.model_fields),
            where=where,
            expected=_expected(error, model),
            reasons=[_reason(item, model, where) for item in error.errors(include_url=False)],
        ) from error


def reasons(refused: UpcallError) -> list[Problem]:
    """What an error has to say, each for itself: one that is of several fields has a reason of each."""
    single = replace(refused.problem, details={})
    return refused.problem.details.get("reasons") or [single]


def _reason(item: ErrorDetails, model: type[BaseModel], where: str) -> Problem:
    said = of_validator(item)
    expected = said.expected
    if item["type"] == "missing":
        expected = str(model.model_fields[said.where].description or "") if said.where in model.model_fields else ""
    if item["type"] == "extra_forbidden":
        expected = choice(sorted(model.model_fields), "nothing: it takes none")
    place = f"{where}.{said.where}" if said.where else where
    return Problem(code=Invalid.code, message=said.message, where=place, expected=expected)


def describe(error: ValidationError, known: Iterable[str] = ()) -> str:
    """All that is wrong, one clause a field, in a person's words. ``known`` are the fields that there are."""
    return "; ".join(_clause(item, known) for item in error.errors(include_url=False))


def _clause(item: ErrorDetails, known: Iterable[str]) -> str:
    path = [str(part) for part in item["loc"]]
    name = ".".join(path) or "options"
    if item["type"] == "extra_forbidden":
        return f"unknown name {name!r}{nearest(name, known) if len(path) == 1 else ''}"
    if item["type"] == "missing":
        return f"{name} is missing"
    if item["type"] == "value_error":
        return f"{name}: {item['msg'].removeprefix('Value error, ')}"
    said = item["msg"]
    if said.startswith("Input should be "):
        return f"{name}={_short(item['input'])} should be {said.removeprefix('Input should be ')}"
    return f"{name}: {said}"


def _short(value: Any) -> str:
    shown = value if isinstance(value, str) else repr(value)
    return shown if len(shown) <= SHOWN_MAX else shown[:SHOWN_MAX] + "..."


def _expected(error: ValidationError, model: type[BaseModel]) -> str:
    unknown = any(item["type"] == "extra_forbidden" for item in error.errors(include_url=False))
    return choice(sorted(model.model_fields), "no options: it has none") if unknown else ""
