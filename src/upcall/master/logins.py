"""One-use codes by which a browser logs in, and what became of each.

A code is for one purpose (the page, or reading the documentation) and for one user of this machine: it passes through
a browser's command line, where others may read it. Who gives in a code that is not his spends it, and whoever asked
for it is told so: at the next attempt, and by ``upcall open``, which waits for it.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from upcall.master.tokens import Principal
from upcall.protocol.errors import NotFound, Unauthorised
from upcall.protocol.operator import LoginPurpose, LoginState
from upcall.transport.peer import name_of

CODE_VALID_S: Final = 120.0
CODES_MAX: Final = 100
REMEMBERED_S: Final = 3600.0
"""What became of a code."""
NAME_CHARACTERS: Final = 16
ROOT: Final = 0
NOBODY: Final = Principal("nobody", "viewer")
_NEW: Final = "a new one from `upcall open`"


@dataclass
class _Code:
    purpose: LoginPurpose
    user: int
    until_s: float
    state: LoginState
    who: Principal


class Logins:
    def __init__(self) -> None:
        self._codes: dict[str, _Code] = {}
        """By digest, so the time of a comparison tells nothing about a code."""

    def code(self, purpose: LoginPurpose, user: int, now_s: float, who: Principal = NOBODY) -> tuple[str, str]:
        """A new code, and the name by which :meth:`state` knows it."""
        self._codes = {name: one for name, one in self._codes.items() if one.until_s + REMEMBERED_S > now_s}
        if len(self._codes) >= CODES_MAX:
            del self._codes[min(self._codes, key=lambda name: self._codes[name].until_s)]
        code = secrets.token_urlsafe(24)
        self._codes[_name(code)] = _Code(purpose, user, now_s + CODE_VALID_S, LoginState(state="waiting"), who)
        return code, _name(code)

    def use(self, code: str, purpose: LoginPurpose, user: int | None, now_s: float, wall_s: float) -> Principal:
        """Spends the code, and gives who asked for it. ``user`` is whose process gave it in; None: nobody knows."""
        found = self._codes.get(_name(code))
        if found is None or (found.state.state == "waiting" and found.until_s <= now_s):
            raise Unauthorised("this login code is unknown or too old", expected=_NEW)
        if found.state.state != "waiting":
            raise Unauthorised(f"this login code was used already: {found.state.text}", expected=_NEW)
        by = "" if user is None else name_of(user)
        if user not in (None, ROOT, found.user):
            text = f"{by} gave it in, and was refused: it was made for {name_of(found.user)}"
            found.state = LoginState(state="refused", at=wall_s, by=by, text=text)
            raise Unauthorised(f"this login code is not yours: {text}", expected=_NEW)
        if found.purpose != purpose:
            text = f"it was given in at the {purpose}, and was refused: it was made for the {found.purpose}"
            found.state = LoginState(state="refused", at=wall_s, by=by, text=text)
            raise Unauthorised(f"this login code is for something else: {text}", expected=_NEW)
        text = f"a browser of {by} logged in with it" if by else "a browser logged in with it"
        found.state = LoginState(state="used", at=wall_s, by=by, text=text)
        return found.who

    def state(self, name: str, now_s: float) -> LoginState:
        """What became of the code of this name."""
        found = self._codes.get(name)
        if found is None:
            raise NotFound(f"no login {name!r}", where="login", expected="the id that a new code came with")
        if found.state.state == "waiting" and found.until_s <= now_s:
            return LoginState(state="expired", text="nobody gave it in")
        return found.state


def _name(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()[:NAME_CHARACTERS]
