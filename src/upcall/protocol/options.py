"""Options as people name them, one by one."""

from collections.abc import Iterator, Mapping
from typing import Any


def flattened(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``config.log.retention.ms``: entries of a map one by one, as ``--set`` names them."""
    for name, value in options.items():
        if isinstance(value, dict) and value:
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value
