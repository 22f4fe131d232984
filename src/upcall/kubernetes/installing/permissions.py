"""What whoever installs, or takes away, must be allowed to, asked of the API server before anything is written: all
that is missing is named at once.

Who makes a role gives rights away, which Kubernetes allows to whom has them, or may ``escalate``; and who binds one the
same, or may ``bind``. That is found out before too: else the kinds and half of the objects would be there when the role
is refused.
"""

from collections.abc import Iterable
from typing import Final

from upcall.kubernetes import rights
from upcall.kubernetes.records.objects import RECORD
from upcall.kubernetes.rights import Right, to
from upcall.protocol.errors import Forbidden
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    DEFINITION,
    DEPLOYMENT,
    LEASE,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
    Kind,
    Object,
)

APPLIES: Final = ("create", "patch")
ROLES: Final = {ROLE: ROLE_BINDING, CLUSTER_ROLE: CLUSTER_ROLE_BINDING}


def to_install(objects: Iterable[tuple[Kind, Object]], namespace: str) -> list[Right]:
    """Once for each kind."""
    kinds = dict.fromkeys(kind for kind, _ in objects)
    return [
        *(to(verb, kind, namespace) for kind in kinds for verb in APPLIES),
        # What is there is looked at first.
        *(to("get", kind, namespace) for kind in (DEFINITION, DEPLOYMENT, LEASE, RECORD)),
        to("create", SECRET, namespace),
        *to_reach(namespace),
    ]


def to_reach(namespace: str) -> list[Right]:
    return [to("get", SECRET, namespace), to("list", POD, namespace), to("create", POD, namespace, "portforward")]


def to_remove(kinds: Iterable[Kind], namespace: str) -> list[Right]:
    return [*(to("delete", kind, namespace) for kind in dict.fromkeys(kinds)), to("list", POD, namespace)]


async def check(api: Api, wanted: Iterable[Right], what: str) -> None:
    """Raises :class:`Forbidden` with each one that is missing."""
    _refuse(api, await rights.missing(api, wanted), what)


async def check_installing(api: Api, objects: Iterable[tuple[Kind, Object]], namespace: str, what: str) -> None:
    listed = list(objects)
    missing = await rights.missing(api, to_install(listed, namespace))
    # Who may not even make a role needs not be told what he may not put into it.
    for role, binding in ROLES.items():
        if not any(one.resource in (role.plural, binding.plural) for one in missing):
            missing += await _to_give(api, listed, role, namespace)
    _refuse(api, missing, what)


async def _to_give(api: Api, objects: Iterable[tuple[Kind, Object]], role: Kind, namespace: str) -> list[Right]:
    space = namespace if role.namespaced else ""
    free = [to("escalate", role, namespace), to("bind", role, namespace)]
    if not await rights.missing(api, free):
        return []
    given = [one for kind, obj in objects if kind is role for one in rights.of_rules(obj["rules"], space)]
    return await rights.missing(api, given)


def _refuse(api: Api, missing: list[Right], what: str) -> None:
    if missing:
        raise Forbidden(
            f"you may not {what}: missing are {rights.in_words(missing)}",
            where=api.connection.login.server,
            expected="a context whose user may (`kubectl auth can-i VERB KIND` says so), or somebody who may to do it",
        )
