"""Who uses a secret: what would stand still, now or at its next start, if it were gone.

A service that was given it, by what stands, by a change that is under way, or by the revision to which one that failed
goes back; the service whose own it is; an action under way that names it; and volumes that a service of before has
left, which a login of its own may be needed for.
"""

from collections.abc import Mapping
from typing import Final

from upcall.master import carrying
from upcall.master.core import Core
from upcall.master.state import Service
from upcall.protocol.errors import Conflict
from upcall.protocol.secret_names import owner

NAMED_MAX: Final = 5


def by_secret(core: Core) -> dict[str, list[str]]:
    """Secret -> the services to which it was given, in their order."""
    found: dict[str, list[str]] = {}
    for name, service in sorted(core.state.services.items()):
        for secret in sorted(_given(service)):
            found.setdefault(secret, []).append(name)
    return found


def users(core: Core, secret: str, given: Mapping[str, list[str]]) -> list[str]:
    """The services that have it; ``given``: :func:`by_secret`."""
    own = {owner(secret)} & core.state.services.keys()
    return sorted({*given.get(secret, ()), *own})


def must_be_unused(core: Core, secret: str) -> None:
    """``Conflict`` that names who uses it, and what ends that."""
    found = users(core, secret, by_secret(core))
    if (maker := owner(secret)) in found:
        raise Conflict(
            f"{secret} is {maker}'s own secret", where="secret", expected=f"`upcall uninstall {maker}` first"
        )
    if found:
        more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
        others = " and so on" if len(found) > 1 else ""
        raise Conflict(
            f"{secret} is used by {', '.join(found[:NAMED_MAX])}{more}",
            where="secret",
            expected=f"`upcall update {found[0]} --no-secret {secret}`{others} first",
        )
    if runs := [one for one in core.state.actions.values() if one.state == "running" and _names(one.arguments, secret)]:
        raise Conflict(
            f"{secret} is used by {runs[0].id}: {runs[0].name} of {runs[0].service}",
            where="secret",
            expected=f"its end (`upcall service action {runs[0].id} --wait`)",
        )
    if maker and core.state.ledger.left_by(maker):
        raise Conflict(
            f"{secret} is the own secret of {maker}, whose volumes are kept: what lies there may need it",
            where="secret",
            expected="the end of those volumes first: `upcall volume list` says when, `upcall volume drop` is at once",
        )


def _given(service: Service) -> set[str]:
    under_way = (one for one in service.revisions.values() if not one.outcome)
    good = carrying.last_good(service)
    revisions = [*under_way, *([good] if good is not None else [])]
    return {*service.record.secrets, *(secret for one in revisions for secret in one.secrets)}


def _names(arguments: Mapping[str, object], secret: str) -> bool:
    return arguments.get("secret") == secret
