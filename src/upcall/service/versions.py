"""Several versions of one package: one expert's code for all of them, and what differs as data.

A folder ``versions/`` beside the package's code has a folder for each version that it knows, with what is this
version's alone: its lock files, and data of its own. ``Service.at(version)`` is the class for one of them; the class
itself is the newest. What is wanted of an option, or of an action's argument, may depend on the version::

    settings: Annotated[dict[str, Value], ByVersion(check, schema)] = {}
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin
from weakref import WeakValueDictionary

from pydantic import AfterValidator, BaseModel, create_model
from pydantic.fields import FieldInfo

from upcall.protocol.releases import version_key

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
FOLDER: Final = "versions"
_variants: "WeakValueDictionary[tuple[type[Any], str], type[Any]]" = WeakValueDictionary()


@dataclass(frozen=True)
class ByVersion:
    """In an ``Annotated``: what holds in one version of the package."""

    check: Callable[[str, Any], Any]
    """(version, what was given) -> what the service gets; raises ``ValueError`` with one clear sentence."""
    schema: Callable[[str], dict[str, Any]]
    """Version -> keywords of JSON Schema, over those of the type."""

    def at(self, version: str) -> "tuple[AfterValidator, _Schema]":
        return AfterValidator(partial(self.check, version)), _Schema(partial(self.schema, version))


@dataclass(frozen=True)
class _Schema:
    """Made when somebody asks for it, and not with each class."""

    make: Callable[[], dict[str, Any]]

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**handler(core), **self.make()}


def known(folder: Path) -> tuple[str, ...]:
    """The versions that a package's folder has something of, the oldest first."""
    found = (each.name for each in (folder / FOLDER).iterdir() if each.is_dir()) if (folder / FOLDER).is_dir() else ()
    return tuple(sorted(found, key=version_key))


def variant(of: type[T], version: str) -> type[T]:
    """The class in another version. Nobody but who runs it keeps it: what is not used does not stay in memory."""
    found = _variants.get((of, version))
    if found is None:
        # What makes it this version's is done where every subclass is made.
        said = {"version": version, "package": vars(of)["package"], "Options": vars(of)["_options_of_all"]}
        made: Any = type(of.__name__, (of,), {"__module__": of.__module__, "__doc__": of.__doc__, **said})
        found = _variants[of, version] = made
    return found


def annotation_at(annotation: Any, version: str) -> Any:
    """An argument's annotation as it holds in this version."""
    if get_origin(annotation) is not Annotated:
        return annotation
    base, *said = get_args(annotation)
    return Annotated[(base, *_resolved(said, version))]


def options_at(model: type[M], version: str) -> type[M]:
    """The options as they are in this version."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if any(isinstance(each, ByVersion) for each in field.metadata):
            plain: FieldInfo = copy.copy(field)
            plain.metadata = []
            fields[name] = (Annotated[(field.annotation, *_resolved(field.metadata, version))], plain)
    if not fields:
        return model
    return create_model(model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields)


def _resolved(said: Iterable[Any], version: str) -> list[Any]:
    return [every for each in said for every in (each.at(version) if isinstance(each, ByVersion) else (each,))]
