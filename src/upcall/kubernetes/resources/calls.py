"""What the core asks for, and what it hears: no I/O stands here.

A call has a number, and its answer comes back with it. Without an answer it is not known whether it was carried out;
what is there afterwards says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from upcall.substrate.kubernetes.client.kinds import Kind, Object

Verb = Literal["create", "merge", "delete"]


@dataclass(frozen=True)
class ToServer:
    """To the API server, about one object."""

    number: int
    verb: Verb
    kind: Kind
    name: str
    body: Mapping[str, Any]
    """Of a merge it names the uid, and the version that was looked at: what was changed meanwhile is looked at anew."""
    part: str = ""


@dataclass(frozen=True)
class ToMaster:
    """To the operator API."""

    number: int
    method: Literal["GET", "POST"]
    path: str
    body: Mapping[str, Any] | None = None


Call: TypeAlias = ToServer | ToMaster


@dataclass(frozen=True)
class Done:
    object: Mapping[str, Any]
    """The answer's JSON; of an object as it is now."""


@dataclass(frozen=True)
class Refused:
    code: str
    """The master's word for the kind of error, or the server's status; empty: there was no answer."""
    message: str


Answer: TypeAlias = Done | Refused


@dataclass(frozen=True)
class Listed:
    kind: Kind
    objects: tuple[Object, ...]


@dataclass(frozen=True)
class Changed:
    kind: Kind
    object: Object


@dataclass(frozen=True)
class Removed:
    kind: Kind
    object: Object


Event: TypeAlias = Listed | Changed | Removed


class Numbers:
    """One row for all who call."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last += 1
        return self._last
