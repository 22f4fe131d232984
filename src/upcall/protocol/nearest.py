"""A name that nobody knows: the one that was probably meant, and those that would be right."""

import difflib
from collections.abc import Iterable
from typing import Final

LISTED_MAX: Final = 20
"""Nobody reads a longer list in an error; the nearest name stands before it, and a command lists them all."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``, did you mean 'brokers'?`` or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def choice(names: Iterable[str], none: str) -> str:
    """What would be right, as one says it: ``a``; ``a or b``; ``one of a, b, c``; and what to say where there is
    nothing to choose from."""
    found = list(names)
    if not found:
        return none
    if len(found) <= 2:
        return " or ".join(found)
    more = f" ... ({len(found)} in all)" if len(found) > LISTED_MAX else ""
    return f"one of {', '.join(found[:LISTED_MAX])}{more}"
