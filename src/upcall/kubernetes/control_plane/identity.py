"""Who this cluster is: its id, its tokens and its certificate, in one Secret of its namespace.

Whoever is first makes it, the others read it: none of it is in a chart, on a command line or in a file of a person's.
Who may read this Secret is an admin of the cluster; that is how a command line is let in.
"""

import base64
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import AlreadyExists, Conflict, NotFound
from upcall.substrate.kubernetes.client.kinds import SECRET, Object

NAME: Final = "upcall-cluster"
CLUSTER: Final = "cluster"
TOKENS: Final = ("operator", "host", "page")
"""The page is served where it is looked at, and sees by a token that does nothing."""
CERTIFICATE: Final = "api.crt"
KEY: Final = "api.key"
TRUSTED: Final = "trusted.crt"
"""The certificate, and those before it: who leads goes on with the one that it began with."""
TRUSTED_MAX: Final = 3
END: Final = b"-----END CERTIFICATE-----\n"


def token_key(whose: str) -> str:
    return f"{whose}.token"


class Identity:
    """As it was read."""

    def __init__(self, secret: Object) -> None:
        self.secret = secret

    def get(self, key: str) -> bytes:
        return base64.b64decode((self.secret.get("data") or {}).get(key, ""))

    @property
    def cluster(self) -> str:
        return self.get(CLUSTER).decode()


async def read(api: Api, namespace: str) -> Identity | None:
    try:
        return Identity(await api.get(SECRET, NAME, namespace))
    except NotFound:
        return None


async def made(api: Api, namespace: str) -> Identity:
    """As it stands; made where there is none, and made whole where an older release made it."""
    while (found := await read(api, namespace)) is not None:
        if not (missing := [one for one in TOKENS if not found.get(token_key(one))]):
            return found
        with suppress(Conflict):  # Somebody else does the same.
            return Identity(await api.replace(SECRET, _secret(found.secret, _tokens(missing)), namespace))
    new = {CLUSTER: f"upcall-{secrets.token_hex(3)}".encode(), **_tokens(TOKENS)}
    try:
        return Identity(await api.create(SECRET, _secret({"metadata": {"name": NAME}}, new), namespace))
    except AlreadyExists:
        return Identity(await api.get(SECRET, NAME, namespace))


async def with_certificate(api: Api, namespace: str, found: Identity, certificate: bytes, key: bytes) -> Identity:
    """Theirs stands, if another replica was first."""
    known = [one + END for one in found.get(TRUSTED).split(END) if one.strip()]
    trusted = b"".join([certificate, *known][:TRUSTED_MAX])
    try:
        wanted = _secret(found.secret, {CERTIFICATE: certificate, KEY: key, TRUSTED: trusted})
        return Identity(await api.replace(SECRET, wanted, namespace))
    except Conflict:
        return Identity(await api.get(SECRET, NAME, namespace))


def _tokens(whose: Iterable[str]) -> dict[str, bytes]:
    return {token_key(one): secrets.token_urlsafe(32).encode() for one in whose}


def _secret(secret: Object, more: Mapping[str, bytes]) -> Object:
    data = {key: base64.b64encode(value).decode() for key, value in more.items()}
    return secret | {"data": (secret.get("data") or {}) | data}
