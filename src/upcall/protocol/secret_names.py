"""Names of secrets: what one may be, whose it is, and what is said of one that nobody has set."""

import difflib
import re
from collections.abc import Collection
from typing import Final

from upcall.protocol.decoder_words import shown
from upcall.protocol.errors import Invalid, NotFound
from upcall.protocol.nearest import choice, nearest
from upcall.protocol.pattern_words import in_words

NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,99}$(?!\n)"
NEAR_MAX: Final = 3


def valid(name: str, where: str = "secret") -> str:
    """The name, if it may be one of a secret."""
    if not re.match(NAME, name):
        raise Invalid(f"not a name of a secret: {shown(name)}", where=where, expected=in_words(NAME))
    return name


def owner(name: str) -> str:
    """``SERVICE.NAME`` is that service's own, made at its first use; empty: nobody's own."""
    service, dot, _ = name.partition(".")
    return service if dot else ""


def missing(name: str, known: Collection[str], where: str = "secret") -> NotFound:
    """Nobody has set it: those that are meant most probably, and how one is made."""
    near = difflib.get_close_matches(valid(name, where), known, n=NEAR_MAX, cutoff=0.5)
    makes = f"`upcall secret set {name}` makes it"
    right = f"{choice(near, 'one of `upcall secret list`')}; {makes}" if known else f"{makes}: none is set yet"
    return NotFound(f"no secret {name!r}{nearest(name, known)}", where=where, expected=right)
