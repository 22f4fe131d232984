"""Health is more than a port: what is wrong with a service although its members answer.

Which partitions have too few replicas in sync, which node is down, which query lags: the system sees none of it. A
service that writes ``health()`` gives just that, one :class:`~upcall.protocol.service.Degraded` for each thing, with
what is being done about it. It is looked at every ``health_every_s``, and soon after a member or an operation changed,
beside everything else: its blocking calls have threads of their own, so no answer waits for a look that hangs.

What only a restart helps says so (``restart_after_s``): a process that stands still keeps its port open for ever.

The master is told what differs from what this subscription has told, and remembers since when each thing is so, by its
key. A look that raises or is late takes nothing back: what was wrong stays, and that it cannot be seen is one more. So
is, of a service that puts something off, that what it waits for cannot be seen (:mod:`upcall.service.watching`).
"""

import asyncio
import re
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow, UpcallError
from upcall.service import faults
from upcall.service.attempts import as_an_error
from upcall.service.context import HEALTH_THREADS, threads
from upcall.service.link import Fenced, Link, encoded
from upcall.service.service import Service, overridden
from upcall.service.stranger import BEGUN

SOON_S: Final = 2.0
"""After a change, which seldom comes alone; and between two looks at the least."""
PASSING_MAX: Final = 2
"""Looks in a row that what may pass in a moment can fail, before it is told."""

UNWATCHED: Final = "watched"
"""Key of what is told where ``watched()`` sees nothing."""
FORGOTTEN_S: Final = 3600.0
"""After so long without another one, a restart that was proposed counts no more."""

_NUMBERS: Final = re.compile(r"\d[\d.,]*")

State = tuple[tuple[tuple[str, str, int, bool], ...], tuple[tuple[str, str], ...]]


class Health:
    """One service's."""

    def __init__(self, service: Service, link: Link) -> None:
        self._service = service
        self._link = link
        self._deployed = asyncio.Event()
        self._changed = asyncio.Event()
        self._state: State = ((), ())
        self._told: wire.Health | None = None
        self._failed = 0
        self._since_s: dict[str, float] = {}
        """Key -> since when this host sees it, of what a restart helps."""
        self._first_s: dict[str, float] = {}
        """Key -> since when this host sees it, of all that is seen."""
        self._restarted: dict[str, tuple[int, float]] = {}
        """Key -> how often a restart was proposed for it, and when last."""
        self._unwatched = ""

    def let(self, deployed: bool) -> None:
        """Nothing is looked at before it is deployed: all of it would be missing."""
        if deployed:
            self._deployed.set()
        else:
            self._deployed.clear()

    def heard(self) -> None:
        """Members or operations were shown. What is only said or answered anew is no reason to look."""
        context = self._service._context
        members = tuple((one.name, one.state, one.incarnation, one.back) for one in context.members.values())
        state = (members, tuple((one.id, one.state) for one in context.operations))
        if state != self._state:
            self._state = state
            self._changed.set()

    def watched(self, why_not: str) -> None:
        """Whether what is waited for can be seen; empty: it can, or nobody waits."""
        why_not = why_not[: wire.DEGRADED_CHARS_MAX // 2]
        if why_not != self._unwatched:
            self._unwatched = why_not
            self._changed.set()

    async def run(self) -> None:
        """For as long as the subscription lasts."""
        looks = overridden(self._service, "health")
        if not looks and not overridden(self._service, "watched"):
            return
        self._told = None
        while True:
            await self._deployed.wait()
            seen = await self._look() if looks else wire.Health()
            if seen is not None and self._unwatched:
                blind = wire.Degraded(
                    f"what its answers wait for cannot be seen: {self._unwatched}",
                    doing="what is put off is asked about at its own times until then",
                    key=UNWATCHED,
                )
                seen = replace(seen, degraded=(blind, *seen.degraded[: wire.DEGRADED_MAX - 1]))
            await self._tell(self._lasting(seen))
            if seen is not None:
                await self._cure(seen.degraded)
            try:
                async with asyncio.timeout(self._service.health_every_s):
                    await self._changed.wait()
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(SOON_S)
            self._changed.clear()

    def _lasting(self, seen: wire.Health | None) -> wire.Health | None:
        """With what was there for so long that it does not pass by itself any more (``passes_within_s`` is over)."""
        if seen is None or seen.unseen:
            return seen
        now_s = asyncio.get_running_loop().time()
        self._first_s = {one.key: self._first_s.get(one.key, now_s) for one in seen.degraded}
        return replace(seen, degraded=tuple(self._judged(one, now_s) for one in seen.degraded))

    def _judged(self, one: wire.Degraded, now_s: float) -> wire.Degraded:
        lasts = now_s - self._first_s[one.key] >= one.passes_within_s
        return replace(one, passes_within_s=0.0) if lasts else one

    async def _tell(self, seen: wire.Health | None) -> None:
        if seen is not None and seen != self._told:
            await self._link.show("health", encoded(seen))
            self._told = seen

    async def _cure(self, found: Iterable[wire.Degraded]) -> None:
        """Proposes the restarts that are due."""
        now_s, members = asyncio.get_running_loop().time(), self._service.members
        sick = {
            one.key: one
            for one in found
            if one.restart_after_s is not None and (member := members.get(one.member)) is not None and member.ready
        }
        self._since_s = {key: self._since_s.get(key, now_s) for key in sick}
        self._restarted = {key: each for key, each in self._restarted.items() if now_s - each[1] < FORGOTTEN_S}
        for key, one in sick.items():
            times, _ = self._restarted.get(key, (0, 0.0))
            if now_s - self._since_s[key] < (one.restart_after_s or 0.0) * 2**times:
                continue
            task = members[one.member].task
            try:
                await self._service.propose("restart", one.member, reason=one.what, key=f"unwell-{task}-{times}")
            except (Fenced, NotNow):
                raise
            except UpcallError as error:
                self._service.log.warning("a restart of %s is not taken: %s", task, error)
            # Only now: one that was not heard is proposed again, under the same key.
            self._restarted[key] = times + 1, now_s
            self._since_s[key] = now_s

    async def _look(self) -> wire.Health | None:
        """None: nothing to tell yet."""
        service = self._service
        before = threads.set(HEALTH_THREADS)
        try:
            async with asyncio.timeout(service.health_timeout_s):
                with as_an_error():
                    found = keyed(await service.health())
        except Exception as error:
            return self._unseen(error)
        finally:
            threads.reset(before)
        self._failed = 0
        return wire.Health(degraded=tuple(self._with_what_is_done(one) for one in found))

    def _with_what_is_done(self, one: wire.Degraded) -> wire.Degraded:
        """Of a member that the system itself is just taking away or bringing back, that comes first: an expert's code
        sees that it is down, and not why."""
        done = next((op for op in self._service.operations if op.member == one.member and op.state in BEGUN), None)
        if done is None or not one.member:
            return one
        what = "loss" if done.kind == "lost" else done.kind
        doing = "; ".join(filter(None, (f"{what} of {done.member} is under way ({done.id})", one.doing)))
        return replace(one, doing=doing[: wire.DEGRADED_CHARS_MAX])

    def _unseen(self, error: Exception) -> wire.Health | None:
        service = self._service
        self._failed += 1
        late = isinstance(error, TimeoutError) and not str(error)
        words = f"no answer within {service.health_timeout_s:g} s" if late else service.raised("health", error)
        passing = not faults.Fault("health", words, error).mistake
        if self._failed < PASSING_MAX and passing:
            return None
        # Where in the code it was met, the log says: of what is not there yet nobody looks for the reason in code.
        unseen = (words if late or not passing else faults.sentence(error))[: wire.DEGRADED_CHARS_MAX]
        if self._told is None or self._told.unseen != unseen:
            service.log.warning("health(): %s", words)
        return wire.Health(unseen=unseen)


def keyed(found: Iterable[wire.Degraded]) -> tuple[wire.Degraded, ...]:
    """Each with a key of its own, by which it is known again: what it is about, without the numbers that change."""
    keys: dict[str, wire.Degraded] = {}
    for one in found:
        if not isinstance(one, wire.Degraded):
            raise TypeError(f"health() gave {one!r}; expected Degraded(...)")
        one = msgspec.convert(msgspec.to_builtins(one), wire.Degraded)  # a wrong type is found here, not at the master
        key = one.key or f"{one.member} {_NUMBERS.sub('#', one.what)}".strip()
        number = 1
        while (own := key if number == 1 else f"{key} ({number})") in keys:
            number += 1
        most = wire.DEGRADED_CHARS_MAX
        keys[own] = replace(one, key=own[:most], what=one.what[:most], doing=one.doing[:most])
        if len(keys) == wire.DEGRADED_MAX:
            break
    return tuple(keys.values())
