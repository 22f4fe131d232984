"""State: a service's own memory, kept by the master.

A key-value space with compare-and-swap. Writes are fenced by the host's current stream, so a host that was replaced
cannot write over its successor, and a host may start anywhere. Values are JSON; they are few and small (what was
formed, which jobs there are), never data.
"""

import re
from collections.abc import Callable
from typing import Any, Final, Protocol

from upcall.protocol.errors import Conflict, Invalid
from upcall.service.link import Fenced

RETRIES_MAX: Final = 8
"""Two actions of one service may race for a key; nobody else can, so few tries suffice."""

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class Keep(Protocol):
    """Where the entries are: each is (value, version); version 0 means that there is none."""

    async def read(self, key: str) -> tuple[Any, int]: ...
    async def write(self, key: str, value: Any, version: int) -> int: ...
    async def delete(self, key: str) -> None: ...


class State:
    """``self.state`` of a service."""

    def __init__(self, keep: Keep, prefix: str = "") -> None:
        self._keep = keep
        self._prefix = prefix

    async def get(self, key: str, default: Any = None) -> Any:
        value, version = await self._keep.read(self._checked(key))
        return value if version else default

    async def set(self, key: str, value: Any) -> None:
        """Writes whatever is there; use :meth:`update` when the new value depends on the old one."""
        await self.update(key, lambda _old: value)

    async def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Any:
        """Replaces the value by ``change(value)``, tried again when somebody else was faster. Gives the new value."""
        checked = self._checked(key)
        for _ in range(RETRIES_MAX):
            value, version = await self._keep.read(checked)
            new = change(value if version else default)
            try:
                await self._keep.write(checked, new, version)
            except Fenced:
                raise
            except Conflict:
                continue
            return new
        raise Conflict(f"the key changed {RETRIES_MAX} times while it was being written", where=key)

    async def delete(self, key: str) -> None:
        await self._keep.delete(self._checked(key))

    def _checked(self, key: str) -> str:
        full = self._prefix + key
        if not _KEY.fullmatch(full):
            raise Invalid(f"{key!r} is no key", expected="letters, digits, '.', '_', '-'; at most 200")
        return full
