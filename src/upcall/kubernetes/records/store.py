"""Implements :class:`upcall.store.interface.Store` in the API server of a Kubernetes cluster.

Its callers are threads, its client is not: a thread of its own has the loop in which all calls run, and the Lease is
renewed there. Readers are given what this start took over and has written since, from memory: nobody else's writes
count while this is the last start, and after that a reader finds out by :meth:`KubernetesStore.newest_start`.
"""

import asyncio
import concurrent.futures
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from upcall.kubernetes.definitions import define
from upcall.kubernetes.records import blobs, objects
from upcall.kubernetes.records import events as pages
from upcall.kubernetes.records import head as heads
from upcall.kubernetes.records.calls import Calls, Waiting, open_
from upcall.kubernetes.records.leader import Leader
from upcall.kubernetes.records.objects import RECORD
from upcall.kubernetes.records.writing import OWN, Writing
from upcall.store.interface import (
    Append,
    BlobMismatch,
    Change,
    CommitFailed,
    Delete,
    Event,
    Put,
    Record,
    StoreError,
    TooLarge,
)
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import ApiError, Conflict, Forbidden, NotFound

log = logging.getLogger(__name__)
T = TypeVar("T")

SWEEP_S: Final = 600.0
CLOSE_S: Final = 5.0
"""Longer than a try waits for the next."""
KNOWN_S: Final = 30.0
"""The API server takes up a new kind in its own time, within seconds."""
KNOWN_AGAIN_S: Final = 0.1


class Starts:
    """``descriptor`` is readable once the Lease is somebody else's."""

    def __init__(self, forget: Callable[["Starts"], None]) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._forget = forget

    def tell(self) -> None:
        os.eventfd_write(self.descriptor, 1)

    def heard(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)

    def close(self) -> None:
        self._forget(self)
        os.close(self.descriptor)


class KubernetesStore:
    """Opening it waits until this process leads, and until the API server is there."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        namespace: str,
        *,
        identity: str = "",
        events_max: int = pages.EVENTS_MAX,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``identity``: by which a person knows the process that leads; empty: whoever opens it last has it, and no
        Lease is held."""
        self._connect, self._namespace, self._identity = connect, namespace, identity
        self._events_max, self._wall = events_max, wall
        self._told: list[Starts] = []
        self._telling = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="records", daemon=True)
        self._thread.start()
        self._connection: Connection
        self._calls: Calls
        self._writing: Writing
        self._leader: Leader | None = None
        self._beside: list[asyncio.Task[None]] = []
        try:
            self._do(self._begin())
        except BaseException:
            self.close()
            raise

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise CommitFailed("the store is closed")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except concurrent.futures.CancelledError:
            raise CommitFailed("the store was closed meanwhile") from None

    async def _begin(self) -> None:
        self._one_after_the_other = asyncio.Lock()
        self._connection = self._connect()
        await self._connection.__aenter__()
        api = Api(self._connection)
        self._calls = Calls(api, self._namespace)
        # Who stands by with older files would take what it then has to leave alone.
        there = await self._calls.get(RECORD, heads.NAME)
        heads.refuse_newer(heads.read(there) if there is not None else None, self._namespace)
        if self._identity:
            self._leader = Leader(self._calls, self._identity)
            await self._leader.lead()
            self._beside.append(asyncio.create_task(self._hold(self._leader)))
        await _define(self._calls)
        self._writing = Writing(self._calls, self._held, wall=self._wall, events_max=self._events_max)
        await self._writing.begin()
        await blobs.sweep(self._writing, self._commit)
        self._beside.append(asyncio.create_task(self._sweep()))

    async def _held(self) -> None:
        if self._leader is not None:
            await self._leader.held()

    async def _hold(self, leader: Leader) -> None:
        await leader.hold()
        with self._telling:
            for one in self._told:
                one.tell()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                async with self._one_after_the_other:
                    await self._writing.sweep()
            except StoreError as error:
                log.warning("old graves stay until the next sweep: %s", error)

    def close(self) -> None:
        """Gives the Lease up, so that the next need not wait for its end. What is being written is given up."""
        if self._loop.is_closed():
            return
        self._do(self._let_go())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _let_go(self) -> None:
        if hasattr(self, "_calls"):
            self._calls.closing = True
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S), self._one_after_the_other:
                    pass  # Who waits for an API server has heard that nobody does any more.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._leader is not None:
            await self._leader.give_up()
        if hasattr(self, "_connection"):
            await self._connection.__aexit__()

    def does(self, work: Coroutine[Any, Any, T]) -> T:
        """Of what was made by :meth:`beside`; one after the other with all other writes."""

        async def in_turn() -> T:
            async with self._one_after_the_other:
                return await work

        return self._do(in_turn())

    def beside(self, make: Callable[[Calls, int], T]) -> T:
        """Something else that is kept in the same namespace by the same start."""
        return make(self._calls, self._writing.start)

    # -- starts -----------------------------------------------------------------------------------------------------

    @property
    def start(self) -> int:
        return self._writing.start

    def begin(self) -> int:
        return self._do(self._begin_anew())

    async def _begin_anew(self) -> int:
        async with self._one_after_the_other:
            await self._writing.begin()
        return self._writing.start

    def newest_start(self) -> int:
        return self._do(self._newest())

    async def _newest(self) -> int:
        if self._leader is not None and self._leader.holds():
            return self._writing.start
        newest = await self._writing.newest()
        # Who has the Lease takes the next number in a moment.
        lost = self._leader is not None and self._leader.lost
        return max(newest, self._writing.start + 1) if lost else newest

    def leads(self) -> bool:
        return self._leader is None or self._leader.holds()

    def starts(self) -> Starts | None:
        if self._leader is None:
            return None

        def forget(one: Starts) -> None:
            with self._telling:
                self._told.remove(one)

        one = Starts(forget)
        with self._telling:
            self._told.append(one)
        if self._leader.lost:
            one.tell()
        return one

    # -- writes -----------------------------------------------------------------------------------------------------

    def put(self, kind: str, key: str, value: bytes, expected_version: int | None = None) -> int:
        return self.commit((Put(kind, key, value, expected_version),))[0]

    def delete(self, kind: str, key: str, expected_version: int | None = None) -> None:
        self.commit((Delete(kind, key, expected_version),))

    def commit(self, changes: Sequence[Change]) -> list[int]:
        for change in changes:
            if isinstance(change, Put):
                objects.pack(change.value, f"record {change.kind}/{change.key}")
            elif isinstance(change, Append):
                pages.check(change)
        return self._do(self._commit(changes))

    async def _commit(self, changes: Sequence[Change]) -> list[int]:
        async with self._one_after_the_other:
            return await self._writing.commit(changes)

    # -- reads ------------------------------------------------------------------------------------------------------

    def get(self, kind: str, key: str) -> Record | None:
        found = self._do(self._get(kind, key))
        return Record(kind, key, found.value, found.version) if found is not None else None

    async def _get(self, kind: str, key: str) -> objects.Value | None:
        return self._writing.stands(kind, key)

    def load(self, kind: str) -> list[Record]:
        return self._do(self._load(kind))

    async def _load(self, kind: str) -> list[Record]:
        keys = sorted(key for of_kind, key in self._writing.known if of_kind == kind)
        found = ((key, self._writing.stands(kind, key)) for key in keys)
        return [Record(kind, key, one.value, one.version) for key, one in found if one is not None]

    def kinds(self) -> list[str]:
        return self._do(self._kinds())

    async def _kinds(self) -> list[str]:
        there = {kind for kind, key in self._writing.known if self._writing.stands(kind, key) is not None}
        return sorted(kind for kind in there if not kind.startswith(OWN))

    def events_after(self, cluster: str, sequence: int, limit: int = 1000) -> list[Event]:
        events = self._do(self._writing.events(cluster))
        return [event for event in events if event.sequence > sequence][:limit]

    def events_bounds(self, cluster: str) -> tuple[int, int]:
        return self._do(self._bounds(cluster))

    async def _bounds(self, cluster: str) -> tuple[int, int]:
        return self._writing.pages.bounds(cluster)

    # -- blobs ------------------------------------------------------------------------------------------------------

    def put_blob(self, data: bytes, sha256: str = "") -> str:
        if len(data) > blobs.BLOB_BYTES_MAX:
            raise TooLarge(f"a blob of {len(data)} bytes; at most {blobs.BLOB_BYTES_MAX} are stored")
        actual = hashlib.sha256(data).hexdigest()
        if sha256 and actual != sha256:
            raise BlobMismatch(f"the data have the SHA-256 {actual}; expected {sha256}")
        self._do(self._put_blob(actual, data))
        return actual

    async def _put_blob(self, sha256: str, data: bytes) -> None:
        await blobs.put(self._writing, self._calls, self._commit, sha256, data)

    def blob(self, sha256: str) -> bytes | None:
        return self._do(self._blob(sha256))

    async def _blob(self, sha256: str) -> bytes | None:
        found = blobs.index(self._writing, sha256)
        return await blobs.read(self._calls, sha256, found) if found is not None else None

    def has_blob(self, sha256: str) -> bool:
        return sha256 in self.blobs()

    def blobs(self) -> dict[str, int]:
        return self._do(self._blobs())

    async def _blobs(self) -> dict[str, int]:
        return blobs.all_of(self._writing)

    def delete_blob(self, sha256: str) -> None:
        self._do(self._delete_blob(sha256))

    async def _delete_blob(self, sha256: str) -> None:
        await blobs.delete(self._writing, self._commit, sha256)


async def _define(calls: Calls) -> None:
    """The API server knows the kind. Who may not say what it is finds that somebody has."""
    without = "the kind Record cannot be made known"
    waiting, refused = Waiting(calls, without), ""
    while True:
        try:
            await define(calls.api, objects.definition())
            break
        except Forbidden as error:
            refused = error.message
            break
        except ApiError as error:
            if not open_(error) and not isinstance(error, Conflict):
                raise CommitFailed(f"{without}: {error.message}") from error
            await waiting.pause(error)
    until_s = time.monotonic() + KNOWN_S
    while True:
        try:
            await calls.api.list(RECORD, calls.namespace, labels=f"{objects.OF_KIND}=none")
            return
        except NotFound as error:
            if refused or time.monotonic() > until_s:
                raise CommitFailed(f"{without}: {refused or error.message}") from None
            await asyncio.sleep(KNOWN_AGAIN_S)
        except ApiError as error:
            if not open_(error):
                raise CommitFailed(f"the records of {calls.namespace} cannot be read: {error.message}") from error
            await waiting.pause(error)
