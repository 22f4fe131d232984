"""Who people are: logins of the page, and tokens with a name, a role and an end."""

from typing import Literal

from pydantic import Field

from upcall.protocol.operator.words import Strict, View

LoginPurpose = Literal["page", "documentation"]


class AskLogin(Strict):
    purpose: LoginPurpose = "page"
    user: int | None = Field(default=None, ge=0)
    """Of this machine, whose browser will give the code in; root's may too. Without one: the cluster's own user."""


class Login(Strict):
    code: str = Field(max_length=100)
    user: int | None = Field(default=None, ge=0)
    """Whose browser gave it in, where the machine tells."""


class LoginCode(View):
    code: str
    expires_s: float
    id: str = ""
    """No secret: by it one learns what became of the code."""


class LoginState(View):
    state: Literal["waiting", "used", "refused", "expired"]
    at: float = 0.0
    by: str = ""
    """The user of this machine whose process gave it in."""
    text: str = ""


class SecretView(View):
    """Never its value."""

    name: str
    granted: list[str] = []
    """Services to which an operator may give it, as an admin said."""
    used_by: list[str] = []
    """Services that have it: it was given to them, or is their own."""


PersonRole = Literal["viewer", "operator", "admin"]
"""Sees; acts on services, tasks and nodes; decides who may do what, and what code runs."""


class Grant(View):
    """A token for somebody, until its end."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_.@-]{0,63}$", description="who is meant; it stands in what he asks for"
    )
    role: PersonRole
    valid_s: float = Field(ge=60, le=366 * 86_400, description="for how long")


class AccessView(View):
    name: str
    role: PersonRole
    granted_by: str
    granted_at: float
    expires_at: float
    expired: bool = False


class Granted(View):
    access: AccessView
    token: str
    """Told once, and kept nowhere."""
