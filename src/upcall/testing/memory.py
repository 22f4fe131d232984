"""A service's memory as the master keeps it: a value and its version by key, written only over the version that was
read."""

from typing import Any

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, NotFound

Memory = dict[str, tuple[Any, int]]
"""Key -> value and version."""


def remember(memory: Memory, method: str, key: str, body: bytes) -> msgspec.Struct:
    """One call on a key of the memory, as the service API answers it."""
    value, version = memory.get(key, (None, 0))
    if method == "GET":
        if not version:
            raise NotFound(f"no key {key!r}")
        return wire.StateEntry(value=value, version=version)
    if method == "DELETE":
        memory.pop(key, None)
        return wire.Accepted()
    write = msgspec.json.decode(body, type=wire.StateWrite)
    if write.version != version:
        raise Conflict(f"key {key!r} has version {version}", expected=f"{version}, not {write.version}")
    memory[key] = (write.value, version + 1)
    return wire.StateEntry(value=write.value, version=version + 1)
