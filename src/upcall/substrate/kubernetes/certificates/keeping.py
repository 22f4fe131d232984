"""Keeps a server's certificate fresh, and those who call informed of whom to trust.

All of it stands in one Secret. Several servers keep the same one: whoever finds a step due writes it, on the version
that it has read; who comes second reads what the first has written.
"""

import asyncio
import base64
import contextlib
import datetime
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from upcall.substrate.kubernetes.certificates.renewing import (
    SERVER_FOR,
    TOLD_FOR,
    Kept,
    due,
    expires,
    is_whole,
    renewed,
)
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    NotFound,
    TooMany,
    Unreachable,
)
from upcall.substrate.kubernetes.client.kinds import SECRET, Object
from upcall.substrate.kubernetes.client.login import certify

Tell = Callable[[bytes], Awaitable[None]]
"""Says to all who call which authorities to trust (PEM); idempotent."""
LOOK_S: Final = 3600.0
"""At least this often: another server may have made a newer one. What it replaced is good for days more."""
AGAIN_S: Final = 5.0
STEPS_MAX: Final = 8
"""More are never due at once: each is another reason."""
FILES: Final = {"authority_key": "authority.key", "bundle": "ca.crt", "key": "tls.key", "certificate": "tls.crt"}


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Keeper:
    """``stands_in``: the name of the Secret. ``hosts``: by which the server is called."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        stands_in: str,
        hosts: tuple[str, ...],
        tell: Tell,
        *,
        alert: Callable[[str], None] = lambda text: None,
        clock: Callable[[], datetime.datetime] = now,
        server_for: datetime.timedelta = SERVER_FOR,
    ) -> None:
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._api = api
        self._namespace = namespace
        self._hosts = hosts
        self._stands_in = stands_in
        self._tell = tell
        self._alert = alert
        self._said = ""
        self._clock = clock
        self._server_for = server_for
        self._loaded = b""
        self._bundle = b""
        self._told_at = clock()

    async def run(self) -> None:
        """Until cancelled. What goes wrong is tried again: the certificate in use is good for days yet."""
        while True:
            try:
                kept = await self.look()
                wait_s = min(due(kept, self._clock()).total_seconds(), LOOK_S)
                self._said = ""
            except ApiError as error:
                self._complain(error)
                wait_s = AGAIN_S
            await asyncio.sleep(max(wait_s, AGAIN_S))

    def _complain(self, error: ApiError) -> None:
        """Once in a row: what waiting does not mend somebody has to, before the certificate is at its end."""
        if isinstance(error, Unreachable | TooMany) or error.message == self._said:
            return
        self._said = error.message
        until = f", which is good until {expires(self._loaded):%Y-%m-%d %H:%M} UTC" if self._loaded else ""
        self._alert(
            f"the certificate for {self._hosts[0]}{until}, cannot be looked after: {error.message}; tried again"
        )

    async def look(self) -> Kept:
        """All steps that are due; afterwards the newest is in use."""
        for _ in range(STEPS_MAX):
            kept, still = await self.step()
            if still:
                return kept
        raise AssertionError("renewing its certificate comes to no end")

    async def step(self) -> tuple[Kept, bool]:
        """One of them, and whether none is due any more."""
        secret = await self._secret()
        kept = _kept(secret) if secret is not None else None
        trusted = kept is not None and await self._told(kept)
        wanted = renewed(kept, self._hosts, self._clock(), trusted=trusted, server_for=self._server_for)
        if wanted != kept:
            # Another server may be first; his is read next.
            with contextlib.suppress(AlreadyExists, Conflict):
                await self._write(secret, wanted)
            return wanted, False
        if wanted.certificate != self._loaded:
            certify(self.tls, wanted.certificate + wanted.key)
            self._loaded = wanted.certificate
        return wanted, True

    async def _told(self, kept: Kept) -> bool:
        """Says whom to trust, and whether that was known for long."""
        await self._tell(kept.bundle)
        if self._bundle != kept.bundle:
            self._bundle, self._told_at = kept.bundle, self._clock()
        return self._clock() - self._told_at >= TOLD_FOR

    async def _secret(self) -> Object | None:
        try:
            return await self._api.get(SECRET, self._stands_in, self._namespace)
        except NotFound:
            return None

    async def _write(self, read: Object | None, kept: Kept) -> None:
        data = {file: base64.b64encode(getattr(kept, field)).decode() for field, file in FILES.items()}
        if read is None:
            await self._api.create(SECRET, {"metadata": {"name": self._stands_in}, "data": data}, self._namespace)
        else:
            # With the version that was read: compare and swap.
            await self._api.replace(SECRET, read | {"data": data}, self._namespace)


def _kept(secret: Object) -> Kept | None:
    """None: it is not whole, or somebody wrote what is none, so it is made anew."""
    data = secret.get("data") or {}
    if any(not data.get(file) for file in FILES.values()):
        return None
    found = Kept(**{field: base64.b64decode(data[file]) for field, file in FILES.items()})
    return found if is_whole(found) else None
