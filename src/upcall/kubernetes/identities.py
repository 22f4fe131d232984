"""Which pod it is that dials: its token is shown to the API server, which signed it for one pod and for us alone.

A token says itself whose it is, and that is looked at first: what is not made for us, or names no pod that we know, is
refused without a question to anybody. So a stranger costs no call. What the API server then says is believed, nothing
of what the token says. An answer counts for a minute (a pod fetches files with the same token); about a connection
that stands nobody is asked again.
"""

import asyncio
import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import msgspec

from upcall.protocol.errors import Forbidden, NotNow, Unauthorised
from upcall.substrate.interface import TaskId
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import ApiError
from upcall.substrate.kubernetes.client.kinds import TOKEN_REVIEW, Object
from upcall.substrate.kubernetes.manifest import AUDIENCE
from upcall.transport.http import Headers

TOKEN_CHARS_MAX: Final = 8192
REVIEWS_AT_ONCE_MAX: Final = 8
COUNTS_S: Final = 60.0
KEPT_MAX: Final = 10_000
POD: Final = "authentication.kubernetes.io/pod-name"
UID: Final = "authentication.kubernetes.io/pod-uid"

Whose = Callable[[str, str], TaskId | None]
"""The task of the pod of this name and uid."""


class Identities:
    def __init__(self, api: Api, namespace: str, whose: Whose, clock: Callable[[], float]) -> None:
        self._api, self._namespace, self._whose, self._clock = api, namespace, whose, clock
        self._proven: OrderedDict[str, tuple[str, str, float]] = OrderedDict()
        """Of a token: its pod, that one's uid, and when that was said."""
        self._reviewing = asyncio.Semaphore(REVIEWS_AT_ONCE_MAX)

    def knows(self, headers: Headers) -> bool:
        """Whether it has shown before who it is: then no stranger takes its place in the queue."""
        found = next((value for name, value in headers if name == b"authorization"), b"")
        return _digest(_token(found.decode("latin-1"))) in self._proven

    async def of(self, authorization: str) -> TaskId:
        """Raises ``Unauthorised`` for who is no pod of ours, ``Forbidden`` for one that has no task here."""
        token = _token(authorization)
        pod, uid = claimed(token, self._namespace)
        if self._whose(pod, uid) is None:
            raise Forbidden(f"no task of ours is in pod {pod}", where="Authorization", expected="a pod that stands")
        pod, uid = await self._prove(token)
        task = self._whose(pod, uid)
        if task is None:
            raise Forbidden(f"no task of ours is in pod {pod}", where="Authorization", expected="a pod that stands")
        return task

    async def _prove(self, token: str) -> tuple[str, str]:
        digest = _digest(token)
        if (known := self._proven.get(digest)) is not None and self._clock() - known[2] < COUNTS_S:
            return known[0], known[1]
        async with self._reviewing:
            wish = {"metadata": {}, "spec": {"token": token, "audiences": [AUDIENCE]}}
            try:
                said = await self._api.create(TOKEN_REVIEW, wish)
            except ApiError as error:
                raise NotNow(f"the API server does not say whose token it is: {error.message}") from None
        pod, uid = proven(said, self._namespace)
        self._proven[digest] = (pod, uid, self._clock())
        self._proven.move_to_end(digest)
        while len(self._proven) > KEPT_MAX:
            self._proven.popitem(last=False)
        return pod, uid


def claimed(token: str, namespace: str) -> tuple[str, str]:
    """Pod and uid, as the token itself says, unproven."""
    try:
        body = token.split(".")[1]
        said = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        audiences, of = said["aud"], said["kubernetes.io"]
        pod, uid = of["pod"]["name"], of["pod"]["uid"]
        if AUDIENCE in audiences and of["namespace"] == namespace and isinstance(pod, str) and isinstance(uid, str):
            return pod, uid
    except (msgspec.DecodeError, binascii.Error, IndexError, KeyError, TypeError, ValueError):
        pass
    raise Unauthorised("no token of a pod of ours", where="Authorization", expected=f"one for {AUDIENCE!r}")


def proven(review: Object, namespace: str) -> tuple[str, str]:
    """Pod and uid, as the API server says in its answer to a ``TokenReview``."""
    status: dict[str, Any] = review.get("status") or {}
    user = status.get("user") or {}
    extra = user.get("extra") or {}
    ours = str(user.get("username", "")).startswith(f"system:serviceaccount:{namespace}:")
    pods, uids = list(extra.get(POD) or ()), list(extra.get(UID) or ())
    good = status.get("authenticated") is True and AUDIENCE in (status.get("audiences") or ()) and ours
    if good and len(pods) == len(uids) == 1:
        return str(pods[0]), str(uids[0])
    words = status.get("error") or "not a token of a pod of ours"
    raise Unauthorised(f"the API server refused the token: {words}", where="Authorization", expected="that of a pod")


def _token(authorization: str) -> str:
    kind, _, token = authorization.partition(" ")
    if kind.lower() != "bearer" or not token or len(token) > TOKEN_CHARS_MAX:
        return ""
    return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
