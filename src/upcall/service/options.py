"""The options of a service: one pydantic model.

It validates, gives the JSON Schema that the master checks an ``install`` against, and becomes help on the command
line and a form on the page; so every field wants a default, bounds and a ``description``::

    class HelloOptions(ServiceOptions):
        count: int = Field(2, ge=1, le=9, description="how many web servers")

An option that nobody knows is a mistake of the caller and is refused by name.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from upcall.protocol.errors import Invalid

M = TypeVar("M", bound=BaseModel)


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
    """``values`` as ``model``, or one clear error that names the first wrong field."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise Invalid(describe(error), where=where, expected=_expected(error, model)) from error


def describe(error: ValidationError) -> str:
    """All that is wrong, one clause a field, without pydantic's own decoration."""
    clauses = []
    for item in error.errors(include_url=False):
        name = ".".join(str(part) for part in item["loc"]) or "options"
        clauses.append(f"{name}: {item['msg']}")
    return "; ".join(clauses)


def _expected(error: ValidationError, model: type[BaseModel]) -> str:
    unknown = any(item["type"] == "extra_forbidden" for item in error.errors(include_url=False))
    return "one of " + ", ".join(sorted(model.model_fields)) if unknown else ""
