"""Paths of the operator API, made of names that people type.

A name becomes one part of a path, after the word that says what it is of: ``of("services", name, "update")``. What
can be none (``a/b`` would be two, ``..`` and an empty one another call than the one that was meant) is refused here,
in one place and before anything is sent, with what such a name looks like. One that may be a name and is nobody's, the
master answers, with the nearest.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from upcall.protocol import secret_names
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import NAME_WORDS
from upcall.protocol.pattern_words import in_words

CHARS_MAX: Final = 200
"""Longer than any name that there can be."""
SHOWN_MAX: Final = 40
_NEVER: Final = re.compile(r"[/\\\x00-\x1f\x7f\ud800-\udfff]|\A\s|\s\Z|\A\.{1,2}\Z")


@dataclass(frozen=True)
class Kind:
    """Of names."""

    noun: str
    """``a service``."""
    looks: str
    """What one looks like."""
    listed: str = ""
    """By which command."""


SERVICE: Final = Kind("a service", NAME_WORDS, "`upcall service list`")
KINDS: Final[dict[str, tuple[Kind, ...]]] = {
    "services": (SERVICE,),
    "tasks": (Kind("a member", "SERVICE.MEMBER, or SERVICE.MEMBER.N for one start of it", "`upcall task list`"),),
    "nodes": (Kind("a node", NAME_WORDS, "`upcall node list`"),),
    "operations": (Kind("an operation", "op-N", "`upcall operation list`"),),
    "actions": (Kind("an action", "a word as `upcall service actions SERVICE` lists it"),),
    "plans": (Kind("a plan", "a word as `upcall plan show SERVICE` lists it"),),
    "endpoints": (SERVICE, Kind("an endpoint", "a word as `upcall endpoints` lists it")),
    "volumes": (Kind("volumes", "SERVICE.MEMBER:N@NODE", "`upcall volume list`"),),
    "secrets": (Kind("a secret", in_words(secret_names.NAME), "`upcall secret list`"),),
    "access": (Kind("a person", "a word as `upcall access list` shows it"),),
    "packages": (
        Kind("a package", "a word as `upcall catalog list` shows it"),
        Kind("a version", "4.1, or another of `upcall catalog show PACKAGE`"),
    ),
}
"""Word of a path -> what the names are of that come after it."""


def of(*parts: str) -> str:
    """``/v1/services/shop/update``; ``Invalid`` for a name that can be no part of one."""
    left: list[Kind] = []
    made = ["/v1"]
    for part in parts:
        if left:
            _must_be_a_part(part, left.pop(0))
        else:
            left = list(KINDS.get(part, ()))
        made.append(quote(part, safe=""))
    return "/".join(made)


def _must_be_a_part(name: str, kind: Kind) -> None:
    if name and len(name) <= CHARS_MAX and not _NEVER.search(name):
        return
    if len(name) > CHARS_MAX:
        said = f"{kind.noun} has no name of {len(name)} characters: {name[:SHOWN_MAX]!r}..."
    else:
        said = f"not a name of {kind.noun}: {name!r}" if name else f"the name of {kind.noun} is empty"
    right = f"{kind.looks} ({kind.listed} shows which there are)" if kind.listed else kind.looks
    raise Invalid(said, where=kind.noun.partition(" ")[2] or kind.noun, expected=right)
