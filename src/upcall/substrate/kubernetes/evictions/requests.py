"""Evictions by the newer way (KEP-4563): who wants a pod to go says so in an object, and responders are asked in turn.

Where the API is on, our pods name us as a responder. While we are the active one, the pod's service is asked as it is
about any eviction: by a ``Disruption``, which the ledger answers. Its reason stands in the eviction's status with our
heartbeat, so nobody takes the wait for a death of ours and passes it on; once it is allowed, the pod is evicted by the
same call as ever, and that we are done is said. Who is not active any more has nothing to say.

In Kubernetes 1.37 this is an alpha API (``lifecycle.k8s.io/v1alpha1``, feature gate ``EvictionRequestAPI``) without the
controller that makes responders active, and ``kubectl drain`` does not use it. So nothing hangs on it: where the API is
off, the webhook and the floor hold what they hold.
"""

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable
from typing import Any, Final

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import ApiError, Conflict, Forbidden, NotFound, TooMany
from upcall.substrate.kubernetes.client.kinds import POD, Kind, Object
from upcall.substrate.kubernetes.client.watching import Changed, Listed, Removed, watch
from upcall.substrate.kubernetes.evictions.judging import Request
from upcall.substrate.kubernetes.evictions.objects import DISRUPTION, disruption_name
from upcall.substrate.kubernetes.evictions.serving import Webhook
from upcall.substrate.kubernetes.exits import OVER
from upcall.substrate.kubernetes.names import RESPONDER

EVICTION: Final = Kind("lifecycle.k8s.io", "v1alpha1", "Eviction", "evictions")
LOOK_S: Final = 5.0
"""How often an eviction that waits is looked at: as often as ``kubectl drain`` asks."""
HEARTBEAT_S: Final = 60.0
"""Twenty minutes without one pass it on to the next responder."""
BETWEEN_S: Final = 20.0
"""Nobody says anything more often than that, also when there is another reason."""
IS_ON_AGAIN_S: Final = 600.0
"""A server that does not know the API is asked again, for it may be upgraded."""


class Responder:
    """One of these, in the master. It has no memory that matters: each look reads what stands."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        webhook: Webhook,
        clock: Callable[[], float] = time.time,
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self._api, self._namespace, self._webhook = api, namespace, webhook
        self._clock, self._look_s = clock, look_s
        self._known: dict[str, Object] = {}
        """Evictions, by name."""

    async def run(self) -> None:
        """Until cancelled."""
        while not await self._is_on():  # noqa: ASYNC110
            await asyncio.sleep(IS_ON_AGAIN_S)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear())
            group.create_task(self._looking())

    async def _is_on(self) -> bool:
        try:
            await self._api.list(EVICTION, self._namespace)
        except (NotFound, Forbidden):  # who may not ask for it is not told whether it is there
            return False
        return True

    async def _hear(self) -> None:
        async with contextlib.aclosing(watch(self._api, EVICTION, self._namespace)) as events:
            async for event in events:
                match event:
                    case Listed(objects=objects):
                        self._known = {one["metadata"]["name"]: one for one in objects}
                    case Changed(one):
                        self._known[one["metadata"]["name"]] = one
                    case Removed(one):
                        self._known.pop(one["metadata"]["name"], None)

    async def _looking(self) -> None:
        while True:
            for name in list(self._known):
                if (one := self._known.get(name)) is not None:
                    with contextlib.suppress(ApiError):  # it is looked at again
                        await self._look(one)
            await asyncio.sleep(self._look_s)

    async def _look(self, eviction: Object) -> None:
        state = state_of(eviction)
        target = eviction["spec"]["target"].get("pod") or {}
        if not state or not target:
            return
        if state == "Active" and is_withdrawn(eviction):
            await self._call_off(target["uid"])
            await self._say(eviction, "nobody asks for it any more", done=True)
        elif state == "Active":
            await self._respond(eviction, target["name"], target["uid"])
        elif state in ("Canceled", "Interrupted"):
            await self._call_off(target["uid"])

    async def _respond(self, eviction: Object, pod: str, uid: str) -> None:
        if said_by_us(eviction).get("completionTime"):
            return
        found = await self._find(POD, pod)
        if found is None or found["metadata"]["uid"] != uid or found.get("status", {}).get("phase") in OVER:
            await self._say(eviction, "it has ended", done=True)
            return
        asked = Request(
            uid="", pod=pod, namespace=self._namespace, who=requesters(eviction), dry_run=False, pod_uid=uid
        )
        verdict = await self._webhook.verdict(asked)
        if not verdict.passes:
            await self._say(eviction, verdict.message)
            return
        try:
            await self._api.evict(pod, self._namespace, uid=uid)
        except TooMany as held:  # by a budget of somebody else's
            await self._say(eviction, held.message)
            return
        await self._say(eviction, "its service has agreed, and it is told to go", done=True)

    async def _call_off(self, uid: str) -> None:
        known = await self._find(DISRUPTION, disruption_name(uid))
        if known is not None and not (known.get("status") or {}).get("allowed"):
            with contextlib.suppress(NotFound, Conflict):
                await self._api.delete(DISRUPTION, known["metadata"]["name"], self._namespace)

    async def _say(self, eviction: Object, message: str, *, done: bool = False) -> None:
        """The list is one value, so it is written as a whole, and only over what was read."""
        now_s = self._clock()
        before = said_by_us(eviction)
        if before.get("completionTime"):
            return
        quiet_s = now_s - seconds(before.get("heartbeatTime") or before.get("startTime"))
        due_s = BETWEEN_S if before.get("message") != message else HEARTBEAT_S
        if not done and before.get("heartbeatTime") and quiet_s < due_s:
            return
        ours: dict[str, Any] = {**before, "name": RESPONDER, "message": message[:4000], "heartbeatTime": stamp(now_s)}
        if done:
            ours["completionTime"] = stamp(now_s)
        others = eviction.get("status", {}).get("responders") or []
        meta = {key: eviction["metadata"][key] for key in ("uid", "resourceVersion")}
        change = {
            "metadata": meta,
            "status": {"responders": [ours if one["name"] == RESPONDER else one for one in others]},
        }
        name = eviction["metadata"]["name"]
        with contextlib.suppress(Conflict, NotFound):  # somebody was faster: it is looked at again
            self._known[name] = await self._api.merge(EVICTION, name, change, self._namespace, part="status")

    async def _find(self, kind: Kind, name: str) -> Object | None:
        try:
            return await self._api.get(kind, name, self._namespace)
        except NotFound:
            return None


def state_of(eviction: Object) -> str:
    """Of us, as whoever chooses responders has it; empty: we are none of them."""
    found = (eviction.get("status") or {}).get("targetResponders") or []
    return next((one["state"] for one in found if one["name"] == RESPONDER), "")


def is_withdrawn(eviction: Object) -> bool:
    found = (eviction.get("status") or {}).get("requesters") or []
    return bool(found) and all(one.get("intent") == "Withdrawn" for one in found)


def said_by_us(eviction: Object) -> dict[str, Any]:
    found = (eviction.get("status") or {}).get("responders") or []
    return next((one for one in found if one["name"] == RESPONDER), {})


def requesters(eviction: Object) -> str:
    found = (eviction.get("status") or {}).get("requesters") or []
    return ", ".join(one["name"] for one in found if one.get("intent") == "Eviction") or "an eviction request"


def stamp(wall_s: float) -> str:
    return datetime.datetime.fromtimestamp(int(wall_s), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str | None) -> float:
    return datetime.datetime.fromisoformat(text).timestamp() if text else 0.0
