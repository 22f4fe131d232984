"""Options as people name them, one by one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

SIZE: Final = "size_of"
"""In the JSON Schema of an option: it is the number of members of this pod."""
AMOUNT: Final = "amount_of"
"""In the JSON Schema of an option: each member has so much of this (memory, disk, cpus)."""


def merged(options: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """``more``, by the names that :func:`flattened` gives, beside what is there."""
    found = dict(options)
    for name, value in more.items():
        option, dot, key = name.partition(".")
        found[option] = {**(found.get(option) or {}), key: value} if dot else value
    return found


def without(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The others; a map of which nothing is left goes with its entries."""
    found = dict(options)
    for name in names:
        option, dot, key = name.partition(".")
        left = {one: value for one, value in (found.get(option) or {}).items() if one != key} if dot else {}
        if left:
            found[option] = left
        else:
            found.pop(option, None)
    return found


def flattened(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``config.log.retention.ms``: entries of a map one by one, as ``--set`` names them."""
    for name, value in options.items():
        if isinstance(value, dict) and value:
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value
