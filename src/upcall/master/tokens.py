"""Who calls: every call has a principal, on loopback too.

Tokens are files below ``<data>/secrets`` that only their owner may read; the file's name says whose it is:
``operator.token``, ``host.token``, ``page.token``, ``agent-node-1.token``. A browser has no file: it logs in by a
one-use code that an operator asked for, and gets a session.
"""

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from upcall.cluster.folder import write_private
from upcall.protocol.errors import Forbidden, Unauthorised

Role = Literal["operator", "host", "agent"]

SESSION_VALID_S: Final = 12 * 3600.0
SESSIONS_MAX: Final = 1000


@dataclass(frozen=True)
class Principal:
    name: str
    role: Role
    node: str = ""
    """Of an agent: the only node that it may speak for."""

    def must_be(self, *roles: Role) -> None:
        if self.role not in roles:
            raise Forbidden(f"{self.name} may not do this", expected=f"a token of role {' or '.join(roles)}")


def principal_of(file_name: str) -> Principal:
    """``agent-node-1.token`` -> the agent of node-1."""
    name = file_name.removesuffix(".token")
    if name.startswith("agent-"):
        return Principal(name, "agent", node=name.removeprefix("agent-"))
    if name.startswith("host"):
        return Principal(name, "host")
    return Principal(name, "operator")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """Looks up by digest, so the time of a comparison tells nothing about a token."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_digest: dict[str, Principal] = {}
        self._sessions: dict[str, float] = {}
        for path in sorted(folder.glob("*.token")):
            self._by_digest[_digest(path.read_text().strip())] = principal_of(path.name)

    def issue(self, name: str) -> Path:
        """The token file of a principal; a new one where there is none."""
        path = self._folder / f"{name}.token"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32).encode())
        self._by_digest[_digest(path.read_text().strip())] = principal_of(path.name)
        return path

    def revoke(self, name: str) -> None:
        path = self._folder / f"{name}.token"
        path.unlink(missing_ok=True)
        self._by_digest = {digest: who for digest, who in self._by_digest.items() if who.name != name}

    def authenticate(self, authorization: str, now_s: float) -> Principal:
        """``authorization`` is the header's value: ``Bearer <token>``."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token:
            digest = _digest(token.strip())
            if principal := self._by_digest.get(digest):
                return principal
            if self._sessions.get(digest, 0.0) > now_s:
                return Principal("browser", "operator")
        raise Unauthorised(
            "no valid token", where="Authorization", expected="`Bearer <token>` with a token of this cluster"
        )

    def open_session(self, now_s: float) -> str:
        """The token of a browser that logged in (:mod:`upcall.master.logins`)."""
        self._sessions = {digest: end for digest, end in self._sessions.items() if end > now_s}
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=self._sessions.__getitem__)]
        token = secrets.token_urlsafe(32)
        self._sessions[_digest(token)] = now_s + SESSION_VALID_S
        return token
