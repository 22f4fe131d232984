"""Who leads: one of several processes, by a Lease.

It is renewed each :data:`RENEW_S`. Who stands by watches it, and takes it once it has seen no change for as long as it
says, by his own clock: no clock of another machine is believed. A leader that could not renew it for that long, or was
stopped, holds nothing until it has renewed it; so it looks before it goes on. While the API server is away for all,
nobody takes it, and whoever had it goes on afterwards.

Renewing is one call in seven seconds, and eleven without one are the most that a failover waits.
"""

import asyncio
import datetime
import logging
import time
from contextlib import aclosing, suppress
from typing import Final

from upcall.kubernetes.records.calls import Calls, Elsewise, Unknown, Waiting
from upcall.store.interface import CommitFailed, Superseded
from upcall.substrate.kubernetes.client.errors import ApiError
from upcall.substrate.kubernetes.client.kinds import LEASE, Object
from upcall.substrate.kubernetes.client.watching import Away, Changed, Listed, Removed, watch

log = logging.getLogger(__name__)

NAME: Final = "upcall-master"
LEASE_S: Final = 11
RENEW_S: Final = 7.0
AGAIN_S: Final = 1.0
"""After a renewal that had no answer."""
GIVE_UP_S: Final = 2.0


def boot_s() -> float:
    """Goes on while the machine sleeps, and while this process is stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leader:
    def __init__(self, calls: Calls, identity: str) -> None:
        self._calls, self._identity = calls, identity
        self._lease: Object = {}
        self._until_s = 0.0
        self._changed = asyncio.Event()
        self.lost = ""
        """Who has it, once it is somebody else's."""

    # -- standing by ------------------------------------------------------------------------------------------------

    async def lead(self) -> None:
        """Returns once this process leads."""
        waiting = Waiting(self._calls, "the Lease cannot be had")
        while True:
            lease = await self._calls.get(LEASE, NAME)
            holder = _holder(lease)
            if holder and holder != self._identity:
                log.info("standing by: %s leads", holder)
                lease = await self._until_it_ends()
                waiting = Waiting(self._calls, "the Lease cannot be had")
            try:
                await self._write(lease, acquired=True)
            except (Elsewise, Unknown) as error:
                await waiting.pause(error)
                continue
            log.info("%s leads", self._identity)
            return

    async def _until_it_ends(self) -> Object | None:
        """The Lease, as it was seen last; None: it is gone."""
        seen: Object | None = None
        api, namespace = self._calls.api, self._calls.namespace
        async with aclosing(watch(api, LEASE, namespace, fields=f"metadata.name={NAME}")) as events:
            since_s = boot_s()
            following = asyncio.ensure_future(anext(events))
            try:
                while True:
                    left_s = since_s + _lasts_s(seen) - boot_s()
                    done, _ = await asyncio.wait((following,), timeout=max(left_s, 0.0))
                    if not done:
                        return seen
                    event = following.result()
                    following = asyncio.ensure_future(anext(events))
                    since_s = boot_s()
                    match event:
                        case Listed(objects):
                            seen = objects[0] if objects else None
                        case Changed(found):
                            seen = found
                        case Removed():
                            seen = None
                        case Away():
                            # Unheard is not unchanged; its version would tell, but then there are two who try.
                            continue
                    if not _holder(seen):
                        return seen
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration, ApiError):
                    await following

    # -- leading ----------------------------------------------------------------------------------------------------

    async def hold(self) -> None:
        """Renews it until it is lost."""
        while not self.lost:
            began_s = boot_s()
            await asyncio.sleep(max(0.0, min(RENEW_S, self._until_s - began_s)))
            await self._renew()

    async def _renew(self) -> None:
        while not self.lost:
            try:
                await self._write(self._lease, acquired=False)
                return
            except Unknown as error:
                log.debug("the Lease is not renewed yet: %s", error)
                await asyncio.sleep(AGAIN_S)
                # What was lost may have been carried out.
                await self._look()
            except Elsewise:
                await self._look()
            except CommitFailed as error:
                log.warning("the Lease cannot be renewed: %s", error)
                await asyncio.sleep(AGAIN_S)

    async def _look(self) -> None:
        try:
            there = await self._calls.api.get(LEASE, NAME, self._calls.namespace)
        except ApiError as error:
            if error.status != 404:
                return
            there = {}
        holder = _holder(there)
        if holder and holder != self._identity:
            self.lost = holder
            self._changed.set()
            log.error("%s leads now", holder)
        else:
            self._lease = there

    def holds(self) -> bool:
        return not self.lost and boot_s() < self._until_s

    async def held(self) -> None:
        """Returns while it is ours for certain; raises :class:`Superseded` once it is somebody else's."""
        while not self.holds():
            if self.lost:
                raise Superseded(f"{self.lost} leads now, and this process, {self._identity}, no more")
            if self._calls.closing:
                raise CommitFailed("nobody knows who leads, and nobody waits for it any more")
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await self._changed.wait()

    async def give_up(self) -> None:
        """Best effort: who stands by need not wait for its end."""
        if not self.holds():
            return
        self._until_s = 0.0
        spec = self._lease["spec"] | {"holderIdentity": "", "renewTime": _now()}
        with suppress(Elsewise, Unknown, CommitFailed, TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                await self._calls.write(LEASE, self._lease | {"spec": spec})

    async def _write(self, lease: Object | None, *, acquired: bool) -> None:
        """Made, or as it was seen and no other."""
        began_s, now = boot_s(), _now()
        spec = dict((lease or {}).get("spec") or {})
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": LEASE_S, "renewTime": now}
        if acquired:
            spec |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + bool(lease)}
        wanted = (lease or {}) | {"metadata": (lease or {}).get("metadata") or {"name": NAME}, "spec": spec}
        self._lease = await self._calls.write(LEASE, wanted)
        self._until_s = began_s + LEASE_S
        self._changed.set()


def _holder(lease: Object | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


def _lasts_s(lease: Object | None) -> float:
    return float(((lease or {}).get("spec") or {}).get("leaseDurationSeconds") or LEASE_S)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
