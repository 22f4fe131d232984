"""Values of JSON that are equal become one: schemas of options say the same hundreds of times, and decoding makes each
of it anew. What is shared is read by all, so nobody may change it."""

from collections.abc import Iterable
from typing import Any

import msgspec

from upcall.protocol.service import Package


def shared(package: Package) -> Package:
    """An equal one whose schemas hold each of their values once (of all that are in our catalog: a fifth)."""
    known: dict[object, Any] = {}
    return msgspec.structs.replace(
        package,
        options_schema=_once(package.options_schema, known),
        actions=tuple(
            msgspec.structs.replace(action, arguments=_once(action.arguments, known)) for action in package.actions
        ),
    )


def _once(value: Any, known: dict[object, Any]) -> Any:
    """``known``: by type and content (of what contains others, by which these are) the first one of all."""
    match value:
        case dict():
            made = {_once(key, known): _once(inner, known) for key, inner in value.items()}
            return known.setdefault((dict, *made, *_identities(made.values())), made)
        case list():
            members = [_once(inner, known) for inner in value]
            return known.setdefault((list, *_identities(members)), members)
        case _:
            return known.setdefault((type(value), value), value)


def _identities(values: Iterable[object]) -> Iterable[int]:
    return map(id, values)
