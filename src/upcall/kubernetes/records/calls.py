"""Calls to an API server that may be away: each is made again until it is known what became of it.

The API server being away is no failure of a write: nothing is acknowledged, nothing is lost, and who waits goes on once
it is back. What it refuses is one, and so is what it answers with a fault of its own for too long.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from upcall.store.interface import CommitFailed
from upcall.substrate.kubernetes.client.api import Api, Listing
from upcall.substrate.kubernetes.client.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    NotFound,
    TooMany,
    Unreachable,
)
from upcall.substrate.kubernetes.client.kinds import Kind, Object

log = logging.getLogger(__name__)
T = TypeVar("T")

PAUSE_S: Final = 0.1
PAUSE_MAX_S: Final = 2.0
FAULTS_S: Final = 30.0
"""For how long answers of a server that is unwell are borne with: its store may be without a leader for seconds."""
OFTEN: Final = 50
"""How often one object may be found changed by somebody else before that is said."""


class Unknown(Exception):
    """No answer, or one that leaves open whether it was done."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


class Elsewise(Exception):
    """It does not stand there as the call took it to."""


class Calls:
    def __init__(self, api: Api, namespace: str) -> None:
        self.api, self.namespace = api, namespace
        self.closing = False
        """Nobody waits any more."""

    async def get(self, kind: Kind, name: str) -> Object | None:
        async def one() -> Object | None:
            try:
                return await self.api.get(kind, name, self.namespace)
            except NotFound:
                return None

        return await self._known(one, f"{kind.name} {name} cannot be read")

    async def list(self, kind: Kind, labels: str = "") -> Listing:
        async def all_of() -> Listing:
            return await self.api.list(kind, self.namespace, labels=labels)

        return await self._known(all_of, f"the {kind.plural} of {self.namespace} cannot be listed")

    async def write(self, kind: Kind, obj: Object) -> Object:
        """Made, or put in the place of what has the ``resourceVersion`` in it. :class:`Elsewise`, :class:`Unknown`."""
        try:
            if "resourceVersion" in obj["metadata"]:
                return await self.api.replace(kind, obj, self.namespace)
            return await self.api.create(kind, obj, self.namespace)
        except (AlreadyExists, Conflict, NotFound) as error:
            raise Elsewise(error.message) from None
        except ApiError as error:
            if open_(error):
                raise Unknown(error) from None
            raise CommitFailed(f"{kind.name} {obj['metadata']['name']} cannot be written: {error.message}") from error

    async def delete(self, kind: Kind, name: str, *, uid: str = "", version: str = "") -> bool:
        """Whether it is known to be gone; what was not done is done another time."""
        try:
            await self.api.delete(kind, name, self.namespace, uid=uid, version=version)
        except NotFound:
            return True
        except ApiError as error:
            log.debug("%s %s is not taken away: %s", kind.name, name, error)
            return False
        return True

    async def _known(self, call: Callable[[], Awaitable[T]], without: str) -> T:
        waiting = Waiting(self, without)
        while True:
            try:
                return await call()
            except ApiError as error:
                if not open_(error):
                    raise CommitFailed(f"{without}: {error.message}") from error
                await waiting.pause(error)


class Waiting:
    """Between one try and the next."""

    def __init__(self, calls: Calls, without: str) -> None:
        self._calls, self._without = calls, without
        self._pause_s = PAUSE_S
        self._faults_since_s: float | None = None
        self._elsewise = 0
        self._said = False

    async def pause(self, error: Exception) -> None:
        if self._calls.closing:
            raise CommitFailed(f"{self._without}: {error}; and nobody waits for it any more")
        answer = error.error if isinstance(error, Unknown) else error
        if isinstance(answer, ApiError) and not isinstance(answer, Unreachable | TooMany):
            now_s = time.monotonic()
            self._faults_since_s = self._faults_since_s or now_s
            if now_s - self._faults_since_s > FAULTS_S:
                raise CommitFailed(f"{self._without}: {error}") from error
        if isinstance(error, Elsewise):
            self._elsewise += 1
            if self._elsewise > OFTEN:
                raise CommitFailed(f"{self._without}: it is changed again and again: {error}") from error
            return
        if not self._said and self._pause_s >= PAUSE_MAX_S:
            self._said = True
            log.warning("%s: %s; tried again until it is known", self._without, error)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)


def open_(error: ApiError) -> bool:
    """Whether the same call may succeed later; and, of a write, whether it may have been carried out."""
    return isinstance(error, Unreachable | TooMany) or error.status >= 500
