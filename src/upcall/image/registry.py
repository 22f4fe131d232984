"""The API of registries (OCI distribution 1.1), as far as images are read and written.

Encrypted, but on loopback. A registry that wants to know who asks says how (401): a token of a realm, or a password
with each call; what it may have is looked up then (:mod:`upcall.image.credentials`), and is told to nobody else: not
to a realm without encryption, and not to another host that an upload or a download is sent on to.

A call that failed for a reason that passes (the connection, 429, 5xx) is made again a few times, as late as the
registry says. Everything here may be done twice: a blob is named by its digest.
"""

import asyncio
import hashlib
import ipaddress
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urljoin, urlsplit

import aiohttp

from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import Mismatch
from upcall.artifacts.lock import LockedFile
from upcall.image import credentials
from upcall.image.documents import INDEX, MANIFEST
from upcall.image.errors import RegistryError
from upcall.image.references import Reference

ACCEPTED: Final = (
    INDEX,
    MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
TRIES: Final = 5
PAUSE_S = 0.5
"""Before the second try; doubled for each."""
PAUSE_MAX_S: Final = 60.0
SILENCE_S: Final = 120.0
"""Long, because a registry hashes what it got before it says that it has it."""
DOCUMENT_BYTES_MAX: Final = 4 << 20
"""What a registry has to take as a manifest."""
PIECE_BYTES: Final = 1 << 20
PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class Registry:
    """The registry of one image. Use within ``async with``."""

    def __init__(self, reference: Reference, where: str) -> None:
        self.reference = reference
        self._where = where
        scheme = "http" if loopback(reference.host) else "https"
        self._base = f"{scheme}://{reference.host}"
        self._authorization = ""
        self._signing_in = asyncio.Lock()

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=SILENCE_S)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=not loopback(self.reference.host))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    # -- reading ----------------------------------------------------------------------------------------------------

    async def manifest(self, at: str) -> tuple[bytes, str]:
        """A manifest or an index, and its digest."""
        async with self._call("GET", f"manifests/{at}", headers={"Accept": ", ".join(ACCEPTED)}) as answer:
            if answer.status == 404:
                raise RegistryError(
                    f"there is no image {self.reference}", where=self._where, expected="the name of one that is there"
                )
            await self._expect(answer, 200)
            data = await self._document(answer)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if at.startswith("sha256:") and digest != at:
            raise RegistryError(f"the registry gives another manifest: {digest}", where=self._where, expected=at)
        return data, digest

    async def fetch(self, digest: str, size: int, cache: Cache) -> Path:
        """A blob, by way of the cache."""
        file = LockedFile(name=digest, sha256=digest.removeprefix("sha256:"), size=size)
        if not cache.has(file):
            part = cache.part(file).with_suffix(f".{id(self)}.part")
            cache.need_space(size, digest)
            try:
                async with self._call("GET", f"blobs/{digest}") as answer:
                    await self._expect(answer, 200)
                    with part.open("wb") as out:
                        async for piece in answer.content.iter_chunked(PIECE_BYTES):
                            out.write(piece)
                            if out.tell() > size:
                                raise RegistryError(
                                    f"the registry sends more than the {size} bytes that {digest} has",
                                    where=self._where,
                                    expected=digest,
                                )
                cache.put(part, file, digest)
            except Mismatch as error:
                raise RegistryError(str(error), where=self._where, expected=digest) from None
            except aiohttp.ClientError as error:
                raise self._unreachable(error) from None
            finally:
                part.unlink(missing_ok=True)
        return cache.file_path(file.sha256)

    # -- writing ----------------------------------------------------------------------------------------------------

    async def has(self, digest: str) -> bool:
        """Whether the blob is there. An answer to this has no words, so what is wrong is said by what comes next."""
        async with self._call("HEAD", f"blobs/{digest}") as answer:
            return answer.status == 200

    async def upload(self, digest: str, size: int, pieces: Callable[[], AsyncIterator[bytes]]) -> None:
        """A blob, in one piece."""
        async with self._call("POST", "blobs/uploads/") as answer:
            await self._expect(answer, 202)
            location = urljoin(str(answer.url), answer.headers.get("Location", ""))
        joint = "&" if urlsplit(location).query else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        async with self._call("PUT", f"{location}{joint}digest={digest}", headers=headers, data=pieces) as answer:
            await self._expect(answer, 201)

    async def put_manifest(self, at: str, media_type: str, data: bytes) -> None:
        headers = {"Content-Type": media_type}
        async with self._call("PUT", f"manifests/{at}", headers=headers, data=lambda: data) as answer:
            await self._expect(answer, 201)

    # -- calls ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Callable[[], Any] = lambda: None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A call below the image's path, or of an address that the registry gave. Who asks is said once the registry
        wants to know it, and anew when what it gave for that is too old."""
        address = urljoin(f"{self._base}/v2/{self.reference.path}/", path)
        refused = self._authorization
        async with self._once(method, address, headers=headers, data=data) as answer:
            if answer.status != 401 or not self._own(address):
                yield answer
                return
            challenge = answer.headers.get("WWW-Authenticate", "")
        async with self._signing_in:
            if self._authorization == refused:
                self._authorization = await self._sign_in(challenge)
        async with self._once(method, address, headers=headers, data=data) as answer:
            yield answer

    @asynccontextmanager
    async def _once(
        self, method: str, address: str, *, headers: Mapping[str, str] | None = None, data: Callable[[], Any]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The call, again while what is wrong passes."""
        authorization = {"Authorization": self._authorization} if self._own(address) and self._authorization else {}
        pause = PAUSE_S
        for left in range(TRIES - 1, -1, -1):
            answer = None
            try:
                answer = await self._session.request(
                    method, address, headers={**authorization, **(headers or {})}, data=data()
                )
            except (TimeoutError, aiohttp.ClientError) as error:
                if not left or isinstance(error, aiohttp.ClientSSLError):
                    raise self._unreachable(error) from None
            if answer is not None and not (answer.status in PASSING and left):
                break
            wait_s = pause
            if answer is not None:
                wait_s = max(wait_s, _seconds(answer.headers.get("Retry-After", "")))
                answer.release()
            await asyncio.sleep(min(wait_s, PAUSE_MAX_S))
            pause *= 2
        assert answer is not None
        try:
            yield answer
        finally:
            answer.release()

    def _own(self, address: str) -> bool:
        """Whether it is the registry itself, and not a place that it sends to."""
        return urlsplit(address)[:2] == urlsplit(self._base)[:2]

    async def _sign_in(self, challenge: str) -> str:
        """The header that the registry wants."""
        known = await asyncio.to_thread(credentials.of, self.reference.host)
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            if known is None:
                raise self._who()
            return known.header
        said = dict(_CHALLENGE.findall(rest))
        realm = said.get("realm", "")
        if kind.lower() != "bearer" or not realm:
            raise RegistryError(
                f"the registry wants to know who asks in a way that is not known: {kind or 'it does not say which'}",
                where=self._where,
                expected="Basic or Bearer",
            )
        host = urlsplit(realm)
        if host.scheme != "https" and not loopback(host.netloc):
            raise RegistryError("the registry sends who asks to an address without TLS", where=realm, expected="https")
        about = {name: said[name] for name in ("service", "scope") if name in said}
        about.setdefault("scope", f"repository:{self.reference.path}:pull,push")
        if known is not None and known.identity:
            form = {"grant_type": "refresh_token", "refresh_token": known.identity, "client_id": "upcall", **about}
            asked = self._session.post(realm, data=form)
        else:
            headers = {"Authorization": known.header} if known is not None else {}
            asked = self._session.get(realm, params=about, headers=headers)
        try:
            async with asked as answer:
                if answer.status in (400, 401, 403):
                    raise self._who()
                await self._expect(answer, 200)
                given = json.loads(await self._document(answer))
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise RegistryError(
                f"no token could be had: {error}", where=realm, expected="a realm that answers"
            ) from None
        token = given.get("token") or given.get("access_token") if isinstance(given, dict) else None
        if not token:
            raise RegistryError(
                "the realm of the registry gave no token", where=realm, expected="`token` in its answer"
            )
        return f"Bearer {token}"

    def _who(self) -> RegistryError:
        return RegistryError(
            f"the registry {self.reference.host} lets only those in whom it knows",
            where=self._where,
            expected=f"a name and a password for it in {credentials.file()}, as `docker login` writes them",
        )

    def _unreachable(self, error: BaseException) -> RegistryError:
        encrypted = "with TLS, " if self._base.startswith("https") else ""
        trusted = isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError))
        return RegistryError(
            f"the registry {self.reference.host} cannot be reached: {str(error) or type(error).__name__}",
            where=self._where,
            expected=f"a registry that answers {encrypted}as this machine "
            + ("trusts it (SSL_CERT_FILE names others)" if trusted else "reaches it"),
        )

    async def _document(self, answer: aiohttp.ClientResponse) -> bytes:
        """All of what is no blob, which comes in as many pieces as it likes."""
        data = bytearray()
        async for piece in answer.content.iter_any():
            data += piece
            if len(data) > DOCUMENT_BYTES_MAX:
                raise RegistryError(
                    f"the registry answers with more than {DOCUMENT_BYTES_MAX} bytes",
                    where=f"{self._where}: {answer.method} {answer.url.path}",
                    expected="a manifest, a token or an error",
                )
        return bytes(data)

    async def _expect(self, answer: aiohttp.ClientResponse, status: int) -> None:
        """Raise in the registry's own words, if this is not what it should have said."""
        if answer.status == status:
            return
        if answer.status == 401:
            raise self._who()
        try:
            said = _words(await self._document(answer))
        except (TimeoutError, aiohttp.ClientError, RegistryError):
            said = ""
        may = "a right to do that" if answer.status == 403 else f"{status}"
        raise RegistryError(
            f"the registry refuses: {answer.status} {said or answer.reason or ''}".strip(),
            where=f"{self._where}: {answer.method} {answer.url.path}",
            expected=may,
        )


def loopback(host: str) -> bool:
    """Whether nobody but this machine is there, so that nothing needs to be encrypted."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _words(body: bytes) -> str:
    try:
        errors = json.loads(body)["errors"]
        return "; ".join(f"{one.get('code', '')} {one.get('message', '')}".strip() for one in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0
