"""What people and their programs were granted: a name, a role, an end. Tokens are not kept, their digests are.

One file below the secrets, written whole; a token that was copied from a backup of it opens nothing.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from upcall.cluster.folder import write_private
from upcall.master.stores import Keep, in_the_folder
from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.protocol.nearest import nearest
from upcall.protocol.operator import AccessView, PersonRole

GRANTS_MAX: Final = 1000
EXPIRED_KEPT_S: Final = 30 * 86_400.0
"""An end that has come is shown for a while."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    role: PersonRole
    digest: str
    granted_by: str
    granted_at: float
    expires_at: float

    def as_view(self, now: float) -> AccessView:
        return AccessView(
            name=self.name,
            role=self.role,
            granted_by=self.granted_by,
            granted_at=self.granted_at,
            expires_at=self.expires_at,
            expired=self.expires_at <= now,
        )


class Access:
    """By name, and by the digest of the token."""

    def __init__(self, path: Path, wall: Callable[[], float] = time.time, keep: Keep = in_the_folder) -> None:
        self._path, self._wall, self._keep = path, wall, keep
        self._one = threading.Lock()
        """At a time, who writes: to keep it elsewhere may take a while, and the API waits for it beside its loop."""
        try:
            found = msgspec.json.decode(path.read_bytes(), type=list[Grant]) if path.exists() else []
        except (OSError, msgspec.DecodeError) as error:
            raise Invalid(f"cannot be read: {error}", where=str(path), expected="what `upcall access` wrote") from None
        self._by_name = {one.name: one for one in found}
        self._by_digest = {one.digest: one for one in found}

    def find(self, digest: str) -> Grant | None:
        grant = self._by_digest.get(digest)
        return grant if grant is not None and grant.expires_at > self._wall() else None

    def stands(self, name: str, role: str) -> bool:
        grant = self._by_name.get(name)
        return grant is not None and grant.role == role and grant.expires_at > self._wall()

    def all(self) -> list[AccessView]:
        now = self._wall()
        return [self._by_name[name].as_view(now) for name in sorted(self._by_name)]

    def add(self, name: str, role: PersonRole, digest: str, valid_s: float, granted_by: str) -> None:
        with self._one:
            self._add(name, role, digest, valid_s, granted_by)

    def _add(self, name: str, role: PersonRole, digest: str, valid_s: float, granted_by: str) -> None:
        now = self._wall()
        kept = [one for one in self._by_name.values() if one.name != name and one.expires_at > now - EXPIRED_KEPT_S]
        if len(kept) >= GRANTS_MAX:
            raise Conflict(f"{GRANTS_MAX} grants stand", where="name", expected="fewer: `upcall access revoke`")
        grant = Grant(
            name=name, role=role, digest=digest, granted_by=granted_by, granted_at=now, expires_at=now + valid_s
        )
        self._write([*kept, grant])

    def remove(self, name: str) -> None:
        with self._one:
            if name not in self._by_name:
                raise NotFound(
                    f"nothing is granted to {name!r}{nearest(name, self._by_name)}",
                    where="name",
                    expected="a name that `upcall access list` has",
                )
            self._write([one for one in self._by_name.values() if one.name != name])

    def _write(self, grants: list[Grant]) -> None:
        said = msgspec.json.format(msgspec.json.encode(grants), indent=2) + b"\n"
        self._keep(self._path.name, said)
        write_private(self._path, said)
        self._by_name = {one.name: one for one in grants}
        self._by_digest = {one.digest: one for one in grants}
