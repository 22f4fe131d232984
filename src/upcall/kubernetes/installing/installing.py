"""Applies what a control plane consists of, says why it does not come up, and takes it away.

Applied by a field manager of its own: what the control plane itself writes into these objects (whom to trust at the
webhook) stays when they are applied again. Every step is idempotent, so one that was broken off is begun again.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from upcall import __version__
from upcall.kubernetes.control_plane import identity
from upcall.kubernetes.control_plane.leading import LEADS
from upcall.kubernetes.definitions import is_newer, said_by
from upcall.kubernetes.installing import permissions
from upcall.kubernetes.installing.objects import LABELS, NAME, Wish, definitions, objects, wish_of
from upcall.kubernetes.records import head as heads
from upcall.kubernetes.records.leader import NAME as LEASE_NAME
from upcall.kubernetes.records.objects import RECORD
from upcall.protocol.errors import Conflict, NotFound, NotNow, UpcallError
from upcall.protocol.errors import Forbidden as NotAllowed
from upcall.protocol.errors import Invalid as Wrong
from upcall.store.interface import StoreError
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import ApiError, Forbidden, Unauthorized, Unreachable
from upcall.substrate.kubernetes.client.errors import Invalid as Refused
from upcall.substrate.kubernetes.client.errors import NotFound as Missing
from upcall.substrate.kubernetes.client.kinds import (
    DEFINITION,
    DEPLOYMENT,
    LEASE,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
    Object,
)

MANAGER: Final = "upcall-install"
LEVEL: Final = "pod-security.kubernetes.io/enforce"
KNOWN_AGAIN_S: Final = 0.5
LOOK_S: Final = 0.5
GONE_S: Final = 120.0
LEASE_TURNS_S: Final = 12.0
"""A Lease that somebody holds is renewed within it."""
SELECTOR: Final = ",".join(f"{key}={value}" for key, value in LABELS.items())
STAYS: Final = (DEFINITION, SERVICE_ACCOUNT)
"""Of what `down` leaves: kinds, whose objects are the records; and nothing that anybody could run as."""


def in_words(error: ApiError, where: str) -> UpcallError:
    """What an API server refused, for a person."""
    match error:
        case Forbidden() | Unauthorized():
            return NotAllowed(error.message, where=where, expected="a context whose user may do this")
        case Missing():
            return NotFound(error.message, where=where)
        case Refused():
            return Wrong(error.message, where=where)
        case Unreachable():
            return NotNow(error.message, where=where, expected="an API server that answers")
        case _:
            return NotNow(error.message, where=where) if error.status in (429, 503) else Conflict(error.message)


class Installing:
    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace

    # -- before anything is written ---------------------------------------------------------------------------------

    async def standing(self) -> Wish | None:
        """What was wished for of what is there; None: nothing is, or nobody may see it, which :meth:`check` says."""
        try:
            there = await self._find(DEPLOYMENT, NAME)
        except Forbidden:
            return None
        return wish_of(self._namespace, there) if there is not None else None

    async def check(self, wish: Wish, cluster: str) -> None:
        """``cluster``: the id of the one that is meant; empty: whichever is there, or a new one."""
        space = await self._find(NAMESPACE, self._namespace)
        made: list[tuple[Kind, Object]] = [] if space is not None else [(NAMESPACE, {})]
        wanted = [*made, *definitions(), *objects(wish)]
        what = f"install a control plane in {self._namespace}"
        await permissions.check_installing(self._api, wanted, self._namespace, what)
        if space is not None and (space.get("status") or {}).get("phase") == "Terminating":
            raise Conflict(
                f"namespace {self._namespace} is being deleted, and nothing can be made in it",
                where=self._namespace,
                expected="another one (--namespace), or this one anew once it is gone",
            )
        await self._check_definitions()
        await self._check_records()
        if (there := await identity.read(self._api, self._namespace)) is not None and cluster:
            self._check_cluster(there.cluster, cluster)
        if await self._find(DEPLOYMENT, NAME) is None:
            await self._check_nobody_leads()

    async def _check_records(self) -> None:
        there = await self._find(RECORD, heads.NAME)
        try:
            heads.refuse_newer(heads.read(there) if there is not None else None, self._namespace)
        except StoreError as error:
            raise Conflict(str(error), where=self._namespace) from None

    def _check_cluster(self, there: str, cluster: str) -> None:
        if there != cluster:
            raise Conflict(
                f"cluster {there} is in namespace {self._namespace}, and this data folder is of {cluster}",
                where=self._namespace,
                expected="another data folder (--data), or another namespace",
            )

    async def _check_definitions(self) -> None:
        for _, wanted in definitions():
            name = wanted["metadata"]["name"]
            there = await self._find(DEFINITION, name)
            if there is None:
                continue
            if there["metadata"].get("deletionTimestamp"):
                raise Conflict(f"kind {name} is being deleted", where=name, expected="that it is gone")
            if is_newer(there, wanted):
                raise Conflict(
                    f"kind {name} is as version {said_by(there)} of it says, and upcall {__version__} knows version"
                    f" {said_by(wanted)};"
                    " nothing was touched",
                    where=name,
                    expected="the upcall that made it, or a newer one",
                )

    async def _check_nobody_leads(self) -> None:
        """A master that nobody of ours put there, from outside of the cluster: it is seen by what it renews."""
        lease = await self._find(LEASE, LEASE_NAME)
        holder = ((lease or {}).get("spec") or {}).get("holderIdentity")
        if not holder:
            return
        await asyncio.sleep(LEASE_TURNS_S)
        later = await self._find(LEASE, LEASE_NAME)
        if later is not None and later != lease and (later.get("spec") or {}).get("holderIdentity"):
            raise Conflict(
                f"another control plane leads in namespace {self._namespace}: {later['spec']['holderIdentity']}",
                where=f"Lease {LEASE_NAME}",
                expected="its end, or another namespace (--namespace)",
            )

    # -- installing -------------------------------------------------------------------------------------------------

    async def apply(self, wish: Wish, note: Callable[[str], None]) -> None:
        if await self._find(NAMESPACE, self._namespace) is None:
            note(f"namespace {self._namespace} is made, and holds its pods to the level `restricted`")
            space = {"metadata": {"name": self._namespace, "labels": {LEVEL: "restricted"}}}
            await self._api.create(NAMESPACE, space)
        for kind, wanted in definitions():
            await self._api.apply(kind, wanted, force=True)
            await self._until_known(wanted["metadata"]["name"])
        for kind, wanted in objects(wish):
            await self._api.apply(kind, wanted, self._namespace if kind.namespaced else "", force=True)

    async def _until_known(self, definition: str) -> None:
        """The API server takes up a new kind in its own time."""
        while True:
            there = await self._api.get(DEFINITION, definition)
            conditions = (there.get("status") or {}).get("conditions") or ()
            if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
                return
            await asyncio.sleep(KNOWN_AGAIN_S)

    async def leader(self) -> str:
        """The pod of the one that leads; empty: nobody does."""
        found = await self._api.list(POD, self._namespace, labels=f"{SELECTOR},{LEADS}=true")
        alive = [one for one in found.objects if _may_answer(one)]
        return str(alive[0]["metadata"]["name"]) if alive else ""

    async def why_not(self) -> str:
        """What keeps it from coming up, in the cluster's own words; empty: nothing is known to."""
        deployment = await self._find(DEPLOYMENT, NAME)
        if deployment is None:
            return "its Deployment is gone"
        pods = (await self._api.list(POD, self._namespace, labels=SELECTOR)).objects
        said = [words for one in newest(pods) if (words := of_pod(one))]
        if not pods:
            conditions = (deployment.get("status") or {}).get("conditions") or ()
            said += [str(one.get("message")) for one in conditions if one["type"] == "ReplicaFailure"]
        return "; ".join(dict.fromkeys(said))

    async def settled(self) -> bool:
        """Whether all that runs is as it was wanted last."""
        deployment = await self._find(DEPLOYMENT, NAME)
        pods = (await self._api.list(POD, self._namespace, labels=SELECTOR)).objects
        return deployment is not None and is_exchanged(deployment, pods)

    # -- taking away ------------------------------------------------------------------------------------------------

    async def remove(self) -> None:
        """All but what is data: kinds and records, Secrets, claims. Who runs is gone when this returns."""
        found = [each for each in reversed(objects(Wish(namespace=self._namespace, image="-"))) if each[0] not in STAYS]
        wanted = permissions.to_remove((kind for kind, _ in found), self._namespace)
        await permissions.check(self._api, wanted, f"take the control plane in {self._namespace} away")
        for kind, one in found:
            try:
                namespace = self._namespace if kind.namespaced else ""
                await self._api.delete(kind, one["metadata"]["name"], namespace, cascade="Background")
            except Missing:
                continue
            if kind is DEPLOYMENT:
                await self._until_gone()

    async def _until_gone(self) -> None:
        """Its rights go after it: it gives up its Lease."""
        try:
            async with asyncio.timeout(GONE_S):
                while (await self._api.list(POD, self._namespace, labels=SELECTOR)).objects:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise NotNow(
                f"the pods of the control plane are not gone after {GONE_S:.0f} s",
                where=self._namespace,
                expected="a node that answers for them; then `upcall down` again",
            ) from None

    async def _find(self, kind: Kind, name: str) -> Object | None:
        try:
            return await self._api.get(kind, name, self._namespace if kind.namespaced else "")
        except Missing:
            return None
        except Forbidden:
            if kind is NAMESPACE:
                return {}  # Who has rights in one namespace alone may not see that it is there.
            raise


def is_exchanged(deployment: Object, pods: Sequence[Object]) -> bool:
    """Whether there are as many as it wants of those that it wants now, and one of these leads."""
    status = deployment.get("status") or {}
    heard = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    leads = [one for one in newest(pods) if LEADS in (one["metadata"].get("labels") or {}) and _may_answer(one)]
    return heard and status.get("updatedReplicas", 0) >= deployment["spec"]["replicas"] and bool(leads)


def _may_answer(pod: Object) -> bool:
    status = pod.get("status") or {}
    return status.get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")


def newest(pods: Sequence[Object]) -> list[Object]:
    """Those that are as the Deployment wants them now: what others say is of what it wanted before."""
    if not pods:
        return []
    last = max(pods, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))
    return [one for one in pods if _template(one) == _template(last)]


def _template(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get("pod-template-hash", ""))


def of_pod(pod: Object) -> str:
    """Why it does not run, in words; empty: it does, or is only coming."""
    status: dict[str, Any] = pod.get("status") or {}
    name = pod["metadata"]["name"]
    for one in status.get("containerStatuses") or ():
        if "running" in (one.get("state") or {}):
            continue  # How the one before it ended is past.
        waiting = (one.get("state") or {}).get("waiting") or {}
        ended = (one.get("lastState") or {}).get("terminated") or (one.get("state") or {}).get("terminated") or {}
        if waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName"):
            return f"image {one['image']} cannot be had: {waiting.get('message') or waiting['reason']}"
        if ended:
            last = " / ".join(str(ended.get("message") or ended.get("reason") or "no words").splitlines()[-2:])
            return f"{name} ended with {ended.get('exitCode')}: {last}"
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{name}: {waiting['reason']}: {waiting.get('message', '')}"
    for one in status.get("conditions") or ():
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return f"{name} finds no node: {one.get('message', '')}"
    return ""


async def credentials(api: Api, namespace: str) -> identity.Identity:
    """By which a command line is let in; who may read them is an admin."""
    found = await identity.read(api, namespace)
    if found is None or not found.get(identity.TRUSTED):
        raise NotNow(
            f"there is no control plane in namespace {namespace} that ever came up",
            where=f"{SECRET.name} {identity.NAME}",
            expected="`upcall up --on kubernetes`",
        )
    return found
