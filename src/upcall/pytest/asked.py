"""What a person asks for, in pytest's settings, on the command line and in markers: pure."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from upcall.protocol.errors import Invalid
from upcall.protocol.nearest import choice, nearest

UNITS_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
KEEP_MAX_S: Final = 7 * 86_400.0
DIGEST_CHARS: Final = 6
MARKER: Final = "upcall"
ALONE: Final = "alone"


@dataclass(frozen=True)
class Small:
    """A system as tests want it, if they say nothing: as small as it works."""

    package: str
    size: str
    """The option that says how many members it has."""
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A service that a test wants. Two that want the same share it."""

    package: str
    options: str
    """As JSON, so that it is a key."""
    name: str
    members: int = 1

    def given(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.options)
        return found


def wanted(small: Small, given: Mapping[str, Any]) -> Wanted:
    """``given``: what a person says; the rest is the usual. A service is named by what differs from that."""
    options = {**small.options, **given}
    size = options.get(small.size)
    members = size if isinstance(size, int) and not isinstance(size, bool) else 1
    return Wanted(small.package, _text(options), _name(small, options), members)


def _name(small: Small, options: Mapping[str, Any]) -> str:
    if options == dict(small.options):
        return small.package
    if {**options, small.size: 0} == {**small.options, small.size: 0}:
        return f"{small.package}-{options[small.size]}"
    return f"{small.package}-{hashlib.sha256(_text(options).encode()).hexdigest()[:DIGEST_CHARS]}"


def of_file(path: Path, options: Mapping[str, Any], content: bytes = b"") -> Wanted:
    """A service of a person's own; another path is another service, and so is one whose files were changed."""
    digest = hashlib.sha256(f"{path} {_text(options)} ".encode() + content).hexdigest()[:DIGEST_CHARS]
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:20] or "own"
    return Wanted(str(path), _text(options), f"{stem}-{digest}")


def _text(options: Mapping[str, Any]) -> str:
    try:
        return json.dumps(options, sort_keys=True)
    except TypeError as error:
        raise Invalid(f"options of a service: {error}", where=MARKER, expected="what JSON can say") from None


def seconds(text: str, where: str) -> float:
    """``15m``; nothing: it is not kept."""
    if not text.strip():
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    value = float(found[1]) * UNITS_S[found[2]] if found else -1.0
    if not 0 <= value <= KEEP_MAX_S:
        raise Invalid(f"{text!r} is no time", where=where, expected="90s, 15m, 2h, at most 7d; 0: not kept")
    return value


def of_marker(known: Iterable[str], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``@pytest.mark.upcall(store={"nodes": 3}, alone=True)``: service -> options."""
    names = list(known)
    found: dict[str, dict[str, Any]] = {}
    if args:
        raise Invalid(f"{args[0]!r} has no name", where=f"mark.{MARKER}", expected=f"{choice(names, '')}, by name")
    for name, value in kwargs.items():
        if name == ALONE:
            if not isinstance(value, bool):
                raise Invalid(f"{ALONE} is {value!r}", where=f"mark.{MARKER}", expected="True or False")
            continue
        if name not in names:
            raise Invalid(
                f"unknown service {name!r}{nearest(name, [*names, ALONE])}",
                where=f"mark.{MARKER}",
                expected=choice([*names, ALONE], ""),
            )
        if not isinstance(value, Mapping):
            raise Invalid(f"{name} is {value!r}", where=f"mark.{MARKER}", expected="its options: {name: value}")
        found[name] = dict(value)
    return found
