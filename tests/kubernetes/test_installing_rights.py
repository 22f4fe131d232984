"""Who installs is asked about what the real API server would refuse: also what he would give away with a role."""

from collections.abc import Sequence
from typing import Any

import pytest
from lab.control_plane import ControlPlane

from upcall.kubernetes.installing import permissions
from upcall.kubernetes.installing.objects import Wish, definitions, objects
from upcall.kubernetes.installing.objects import rights as of_control_plane
from upcall.kubernetes.rights import Right
from upcall.protocol.errors import Forbidden as NotAllowed
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import Forbidden
from upcall.substrate.kubernetes.client.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from upcall.substrate.kubernetes.client.login import from_kubeconfig

RBAC = CLUSTER_ROLE.group


def rules(rights: Sequence[Right]) -> list[dict[str, Any]]:
    """Of a cluster's role, which may be bound everywhere."""
    return [
        {"apiGroups": [one.group], "resources": [one.resource], "verbs": [one.verb]}
        | ({"resourceNames": [one.name]} if one.name else {})
        for one in rights
    ]


async def may(api: Api, name: str, rights: Sequence[Right]) -> None:
    await api.apply(CLUSTER_ROLE, {"metadata": {"name": name}, "rules": rules(rights)}, force=True)
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
    bound = {"metadata": {"name": name}, "roleRef": role, "subjects": [{"kind": "User", "name": name}]}
    await api.apply(CLUSTER_ROLE_BINDING, bound, force=True)


async def test_what_is_said_to_be_missing_is_what_the_server_refuses(
    plane: ControlPlane, api: Api, namespace: str
) -> None:
    listed = [*definitions(), *objects(Wish(namespace=namespace, image="i"))]
    installs = permissions.to_install(listed, namespace)
    gives = [one for one in of_control_plane(namespace) if one.resource != "pods/eviction"]
    frees = [Right(verb, RBAC, kind.plural) for verb in ("escalate", "bind") for kind in (ROLE, CLUSTER_ROLE)]
    role, binding = (next(obj for kind, obj in listed if kind is wanted) for wanted in (ROLE, ROLE_BINDING))
    try:
        await may(api, namespace, [*installs, *gives])
        async with Connection(from_kubeconfig((plane.user(namespace, namespace),))) as connection:
            user = Api(connection)
            with pytest.raises(NotAllowed) as refused:
                await permissions.check_installing(user, listed, namespace, "install")
            said = refused.value.problem.message
            assert said == f"you may not install: missing are create pods/eviction in {namespace}"
            with pytest.raises(Forbidden, match="attempting to grant RBAC permissions not currently held"):
                await user.apply(ROLE, role, namespace, force=True)

            await may(api, namespace, [*installs, *gives, *frees])
            await permissions.check_installing(user, listed, namespace, "install")
            await user.apply(ROLE, role, namespace, force=True)
            await user.apply(ROLE_BINDING, binding, namespace, force=True)
    finally:
        for kind in (CLUSTER_ROLE_BINDING, CLUSTER_ROLE):
            await api.delete(kind, namespace)
