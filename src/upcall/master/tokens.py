"""Who calls: every call has a principal, on loopback too.

What is ours has token files below ``<data>/secrets`` that only their owner may read; the file's name says whose it is:
``operator.token`` of the cluster's owner, who is its first admin, ``host.token``, ``page.token``,
``agent-node-1.token``, and ``resources.token`` of what carries others' documents here, which is an operator. Other
people and their programs are granted a token each, with a name, a role and an end (:mod:`upcall.master.access`). A
browser has no file: it logs in by a one-use code that a person asked for, and its session is that person's, with no
more than his role.
"""

import hashlib
import os
import pwd
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from upcall.cluster.folder import write_private
from upcall.master.access import Access
from upcall.master.stores import Keep, in_the_folder
from upcall.protocol.errors import Forbidden, Unauthorised
from upcall.protocol.operator import PersonRole

Role = Literal[PersonRole, "host", "agent", "page"]
SESSION_VALID_S: Final = 12 * 3600.0
SESSIONS_MAX: Final = 1000
OWNERS_FILE: Final = "operator"
PAGES_FILE: Final = "page"
DOCUMENTS_FILE: Final = "resources"
RANKS: Final = {"viewer": 1, "operator": 2, "admin": 3}
"""Each may do what those below it may."""
SEE_TOO: Final = frozenset({"page"})
"""Not a person's, and may see what a viewer may. What it does for a person it does as that person."""
OURS: Final = frozenset({"host", "page", "upcall", "browser", "operator", "resources", "alerts"})
"""Names that nobody is granted, nor such that begin as an agent's does."""


@dataclass(frozen=True)
class Principal:
    name: str
    role: Role
    node: str = ""
    """Of an agent: the only node that it may speak for."""

    def must_be(self, *roles: Role) -> None:
        rank = RANKS["viewer"] if self.role in SEE_TOO else RANKS.get(self.role, 0)
        if self.role not in roles and not any(0 < RANKS.get(role, 0) <= rank for role in roles):
            raise Forbidden(f"{self.name} may not do this", expected=f"a token of role {' or '.join(roles)}")


def owner_of(folder: Path) -> str:
    """The name of the user to whom a cluster belongs."""
    user = folder.stat().st_uid if folder.exists() else os.geteuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user-{user}"


def principal_of(file_name: str, owner: str) -> Principal:
    """``agent-node-1.token`` -> the agent of node-1."""
    name = file_name.removesuffix(".token")
    if name.startswith("agent-"):
        return Principal(name, "agent", node=name.removeprefix("agent-"))
    if name.startswith("host"):
        return Principal(name, "host")
    if name == PAGES_FILE:
        return Principal(name, "page")
    if name == DOCUMENTS_FILE:
        return Principal(name, "operator")
    return Principal(owner, "admin") if name == OWNERS_FILE else Principal(name, "viewer")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Tokens:
    """Looks up by digest, so the time of a comparison tells nothing about a token."""

    def __init__(
        self, folder: Path, *, wall: Callable[[], float] = time.time, keep: Keep = in_the_folder, owner: str = ""
    ) -> None:
        """``owner``: as whom the first admin stands on record; empty: by the name of the folder's user."""
        self._folder = folder
        self.owner = owner or owner_of(folder)
        self.access = Access(folder / "access.json", wall, keep)
        self._by_digest: dict[str, Principal] = {}
        self._sessions: dict[str, tuple[Principal, float]] = {}
        """Digest -> whose browser it is, and until when."""
        for path in sorted(folder.glob("*.token")):
            self._by_digest[_digest(path.read_text().strip())] = principal_of(path.name, self.owner)

    def issue(self, name: str) -> Path:
        """The token file of a principal; a new one where there is none."""
        path = self._folder / f"{name}.token"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32).encode())
        self._by_digest[_digest(path.read_text().strip())] = principal_of(path.name, self.owner)
        return path

    def revoke(self, name: str) -> None:
        """Of one of our own parties."""
        path = self._folder / f"{name}.token"
        path.unlink(missing_ok=True)
        self._by_digest = {digest: who for digest, who in self._by_digest.items() if who.name != name}

    def taken(self, name: str) -> bool:
        """Whether this is, or could become, the name of one of our own parties or of the owner."""
        return name in OURS or name == self.owner or name.startswith(("agent-", "host"))

    def end_sessions(self, name: str) -> None:
        """Of a person whose token is revoked."""
        self._sessions = {digest: one for digest, one in self._sessions.items() if one[0].name != name}

    def authenticate(self, authorization: str, now_s: float) -> Principal:
        """``authorization`` is the header's value: ``Bearer <token>``."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token:
            digest = _digest(token.strip())
            if principal := self._by_digest.get(digest):
                return principal
            if grant := self.access.find(digest):
                return Principal(grant.name, grant.role)
            who, until_s = self._sessions.get(digest, (None, 0.0))
            if who is not None and until_s > now_s and self._still_granted(who):
                return who
        raise Unauthorised(
            "no valid token", where="Authorization", expected="`Bearer <token>` with a token of this cluster"
        )

    def _still_granted(self, who: Principal) -> bool:
        """A session lasts no longer than what its person was granted."""
        return who.name == self.owner or self.access.stands(who.name, who.role)

    def open_session(self, who: Principal, now_s: float) -> str:
        """The token of a browser that logged in (:mod:`upcall.master.logins`) by a code that this person asked for."""
        self._sessions = {digest: one for digest, one in self._sessions.items() if one[1] > now_s}
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda digest: self._sessions[digest][1])]
        token = secrets.token_urlsafe(32)
        self._sessions[_digest(token)] = who, now_s + SESSION_VALID_S
        return token

    def grant(self, name: str, role: PersonRole, valid_s: float, granted_by: str) -> str:
        """A token for somebody; an older one of that name is worth nothing any more. Only its digest is kept."""
        token = secrets.token_urlsafe(32)
        self.access.add(name, role, _digest(token), valid_s, granted_by)
        return token
