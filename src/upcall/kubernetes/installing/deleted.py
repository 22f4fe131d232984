"""A namespace that somebody deletes, with all that is in it, ours too.

Our rights go with it, at once and before the pods: nobody of us reads any more how these have ended, and what keeps
each of them until then would keep the namespace for ever. Whoever says ``upcall down`` lets them go, once they have;
and resources of services at once, for there is nobody any more who could ask these.
"""

import asyncio
from contextlib import suppress
from typing import Final

from upcall.kubernetes.resources.catalog import names
from upcall.kubernetes.resources.kinds import served
from upcall.kubernetes.resources.reading import FINALIZER
from upcall.protocol.errors import NotNow
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import Conflict, Forbidden, NotFound
from upcall.substrate.kubernetes.client.kinds import NAMESPACE, POD, Kind, Object
from upcall.substrate.kubernetes.exits import OVER
from upcall.substrate.kubernetes.names import KEEPS
from upcall.substrate.kubernetes.speaking import OURS

ENDED_S: Final = 120.0
LOOK_S: Final = 0.5


async def is_being(api: Api, namespace: str) -> bool:
    try:
        space = await api.get(NAMESPACE, namespace)
    except (NotFound, Forbidden):  # who has rights in one namespace alone may not see that it is there
        return False
    return (space.get("status") or {}).get("phase") == "Terminating"


async def let_go(api: Api, namespace: str) -> None:
    """Raises :class:`NotNow` with those that still run: a node that is dead says nothing of its pods."""
    for kind in served(names()):
        with suppress(NotFound):  # there is no such kind
            for one in (await api.list(kind, namespace)).objects:
                await _free(api, kind, one, FINALIZER)
    left: list[str] = []
    try:
        async with asyncio.timeout(ENDED_S):
            while pods := (await api.list(POD, namespace, labels=OURS)).objects:
                left = [f"{one['metadata']['name']} on {node}" for one in pods if (node := still_on(one))]
                for one in pods:
                    if not still_on(one) and KEEPS in one["metadata"].get("finalizers", ()):
                        await _free(api, POD, one, KEEPS)
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        still = f"there still run {', '.join(left)}" if left else "there are pods of ours that others keep"
        raise NotNow(
            f"namespace {namespace} is being deleted, and after {ENDED_S:.0f} s {still}",
            where=namespace,
            expected="their nodes to end them, or to be taken out of service; then `upcall down` again",
        ) from None


async def _free(api: Api, kind: Kind, obj: Object, finalizer: str) -> None:
    meta = obj["metadata"]
    others = [one for one in meta.get("finalizers", ()) if one != finalizer]
    change = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "finalizers": others}
    # Gone, or other than it was: the next look finds it.
    with suppress(NotFound, Conflict):
        await api.merge(kind, meta["name"], {"metadata": change}, meta["namespace"])


def still_on(pod: Object) -> str:
    """The node on which it runs, as far as anybody knows; empty: it has ended, or never began."""
    over = (pod.get("status") or {}).get("phase") in OVER
    return "" if over else str(pod["spec"].get("nodeName", ""))
