"""Who may give a secret to a service.

Whoever installs a service names the secrets that it may have, and its code may then read them. So a person who may
install could have any secret read by a service of his. What nobody has yet is an operator's to give; what another
service made (``SERVICE.NAME``) or was given is not: that takes an admin, or an admin's word that this very service may
have it (``upcall secret grant NAME SERVICE``), which an operator then installs or asks.
"""

from collections.abc import Iterable

from upcall.master.core import Core
from upcall.master.secrets import Secrets
from upcall.master.tokens import Principal
from upcall.protocol.errors import Forbidden


def check(core: Core, secrets: Secrets, service: str, named: Iterable[str], who: Principal) -> None:
    """``Forbidden`` where this person may not give one of the named to this service. What it has already, it keeps."""
    if who.role == "admin":
        return
    known = core.state.services.get(service)
    has = known.record.secrets if known is not None else ()
    for name in named:
        owner = name.partition(".")[0]
        if name in has or owner == service or service in secrets.granted(name):
            continue
        if holder := _holder(core, service, name):
            raise Forbidden(
                f"{name!r} is {holder}, and {who.name} is no admin",
                where="secrets",
                expected=f"an admin who says so: `upcall secret grant {name} {service}`, or another secret",
            )


def _holder(core: Core, service: str, name: str) -> str:
    """Whose it is, in words; empty: nobody's yet."""
    owner = name.partition(".")[0]
    if owner != name and owner in core.state.services:
        return f"a secret of {owner}'s own"
    for other, known in sorted(core.state.services.items()):
        if other != service and name in known.record.secrets:
            return f"a secret that was given to {other}"
    return ""
