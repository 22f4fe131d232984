"""What nobody refers to any more goes.

Nothing counts references as they come and go. Every :data:`SWEEP_S` they are read off what stands: services, packages,
tombstones. So a crash in between leaves nothing behind for ever, and what is forgotten here is forgotten by one rule:

* a service's own memory, once its volumes cannot be taken back (they are one: what the code remembers is about them);
* old versions of a package that no revision of a service names, beyond :data:`VERSIONS_KEPT`;
* blobs that no package and no declaration names. One that was uploaded for a package which is not registered yet is
  named by nobody either: so a blob goes when two sweeps in a row found it so, and nobody uploaded it again meanwhile;
* the addresses before a replacement, of members that are gone for good;
* how members ended that have left (:mod:`~upcall.master.past`), after a week.

Uploads, registrations and deletions of blobs take turns (:attr:`Housekeeping.blobs`): what a manifest was found to name
is there when the manifest is recorded.
"""

import asyncio
import logging
from typing import Final

from upcall.master import history, past
from upcall.master import records as r
from upcall.master.driver import Driver
from upcall.master.services import forget_memory
from upcall.master.transaction import Transaction
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import NotNow, TooLarge
from upcall.store.interface import StoreError

log = logging.getLogger(__name__)

SWEEP_S: Final = 600.0
"""Also the least time for which an uploaded blob waits for the manifest that names it."""
VERSIONS_KEPT: Final = 10
"""Of a package, the newest: versions stand side by side, and who develops one leaves many behind."""
BLOBS_MIB_MAX: Final = 1024
"""All blobs together: lock files and sources are below 1 MiB each. The store takes four times as much, so whoever may
upload cannot fill it until nothing can be recorded any more."""


class Housekeeping:
    def __init__(self, core: Driver) -> None:
        self._core = core
        self.blobs = asyncio.Lock()
        self._unnamed: set[str] = set()
        """Blobs that the last sweep found named by nobody."""

    async def run(self) -> None:
        """Sweeps until it is cancelled."""
        while True:
            try:
                await self.sweep()
            except (NotNow, StoreError) as error:
                log.warning("a sweep waits for the next one: %s", error)
            except Exception:  # The next one finds the same.
                log.exception("a sweep failed")
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        await self._core.turn(forget_the_past)
        async with self.blobs:
            stored = await asyncio.to_thread(self._core.store.blobs)
            unnamed = stored.keys() - named(self._core)
            for digest in unnamed & self._unnamed:
                await asyncio.to_thread(self._core.store.delete_blob, digest)
            self._unnamed = unnamed - self._unnamed

    async def put_blob(self, data: bytes, sha256: str) -> None:
        """Raises what the store raises; :class:`TooLarge` when all blobs together would be."""
        async with self.blobs:
            stored = await asyncio.to_thread(self._core.store.blobs)
            if sha256 not in stored and sum(stored.values()) + len(data) > BLOBS_MIB_MAX << 20:
                raise TooLarge(
                    f"the blobs take {sum(stored.values()) >> 20} MiB, and {len(data)} bytes more is above their bound",
                    where="body",
                    expected=f"at most {BLOBS_MIB_MAX} MiB together; what nobody names goes within {2 * SWEEP_S:.0f} s",
                )
            await asyncio.to_thread(self._core.store.put_blob, data, sha256)
            self._unnamed.discard(sha256)


def named(core: Driver) -> set[str]:
    """Every blob that a package or a service's declaration names."""
    found: set[str] = set()
    for package in core.state.packages.all():
        found.update((package.source, *package.blobs))
    for service in core.state.services.values():
        for generations in service.members.values():
            for wanted in generations.values():
                found |= _of_declaration(wanted.declaration)
                found |= _of_declaration(wanted.replacement) if wanted.replacement else set()
    return found


def _of_declaration(declaration: Declaration) -> set[str]:
    return {artifact.lock for artifact in declaration.artifacts} | {file.blob for file in declaration.files}


def forget_the_past(tx: Transaction) -> None:
    state = tx.core.state
    past.forget_old(tx)
    for name in {service for service, _ in state.memory} - state.services.keys():
        forget_memory(tx, name)
    in_use = history.packages_named(state.services)
    for package in state.packages.beyond(VERSIONS_KEPT):
        if (package.name, package.version) not in in_use:
            state.packages.forget(package)
            tx.changed.assignments = True
            tx.delete(r.PACKAGE, f"{package.name}@{package.version}")
            tx.event(
                "package", package.name, f"version {package.version} is forgotten: no service runs it, newer exist"
            )
    for member_id in list(state.replaced):
        service, _, member = member_id.partition(".")
        if not state.ledger.may_return(service, member, tx.wall_s):
            del state.replaced[member_id]
            tx.delete(r.REPLACED, member_id)
