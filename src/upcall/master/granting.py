"""Who may give a secret to a service, and which there are to be given.

Whoever installs a service names the secrets that it may have, and its code may then read them. So a person who may
install could have any secret read by a service of his. What nobody has yet is an operator's to give; what another
service made (``SERVICE.NAME``) or was given is not: that takes an admin, or an admin's word that this very service may
have it (``upcall secret grant NAME SERVICE``), which an operator then installs or asks.

What nobody has set is given by nobody: the service would wait for it, and nobody would know why. A service's own one
alone may be named before it is there: it is made at its first use.
"""

from collections.abc import Iterable

from upcall.master.core import Core
from upcall.master.secrets import Secrets
from upcall.master.tokens import Principal
from upcall.protocol.errors import Forbidden
from upcall.protocol.secret_names import owner


def check(core: Core, secrets: Secrets, service: str, named: Iterable[str], who: Principal) -> None:
    """``Forbidden`` where this person may not give one of the named to this service, ``NotFound`` where there is no
    such secret. What it has already, it keeps."""
    known = core.state.services.get(service)
    has = known.record.secrets if known is not None else ()
    for name in named:
        if name in has or owner(name) == service:
            continue
        if who.role != "admin" and service not in secrets.granted(name) and (holder := _holder(core, service, name)):
            raise Forbidden(
                f"{name!r} is {holder}, and {who.name} is no admin",
                where="secrets",
                expected=f"an admin who says so: `upcall secret grant {name} {service}`, or another secret",
            )
        secrets.must_be(name, "secrets")


def _holder(core: Core, service: str, name: str) -> str:
    """Whose it is, in words; empty: nobody's yet."""
    if (maker := owner(name)) in core.state.services:
        return f"a secret of {maker}'s own"
    for other, known in sorted(core.state.services.items()):
        if other != service and name in known.record.secrets:
            return f"a secret that was given to {other}"
    return ""
