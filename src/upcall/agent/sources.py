"""Where a task's artifacts and blobs come from: the shared cache, the registries, and the master.

The agent knows artifacts by one small interface; the fetching itself is :mod:`upcall.artifacts`. Blobs (lock files,
files of a declaration) lie at the master under their SHA-256; each is fetched once, verified, and kept.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import aiohttp

from upcall.agent.checkpoint import write_durably
from upcall.agent.connection import DOOR
from upcall.protocol.declaration import Artifact
from upcall.protocol.errors import Invalid, NotNow
from upcall.transport import dialling

if TYPE_CHECKING:
    from upcall.artifacts.cache import Cache
    from upcall.artifacts.progress import Progress

Report = Callable[[str, int, int], None]
"""What is being fetched, bytes done, bytes in all."""

BLOB_BYTES_MAX = 64 << 20
BLOB_TIMEOUT_S = 60.0
BLOB_TRIES = 5


class Blobs(Protocol):
    async def get(self, digest: str) -> bytes: ...


class ArtifactSource(Protocol):
    async def realise(self, artifacts: Sequence[Artifact], report: Report) -> dict[str, tuple[str, Mapping[str, str]]]:
        """Folder and properties of each artifact, by its name."""
        ...


class MasterBlobs:
    """Blobs of the master, kept on disk."""

    def __init__(self, master: dialling.Way, token: Callable[[], str], folder: Path, door: str = DOOR) -> None:
        self._master = master
        self._door = door
        self._token = token
        self._folder = folder

    async def get(self, digest: str) -> bytes:
        if len(digest) != 64 or not all(digit in "0123456789abcdef" for digit in digest):
            raise Invalid(f"no name of a blob: {digest!r}", where="blob", expected="a SHA-256 in lower-case hex")
        path = self._folder / digest
        if path.exists():
            data = await asyncio.to_thread(path.read_bytes)
            if hashlib.sha256(data).hexdigest() == digest:
                return data
        data = await self._fetch(digest)
        await asyncio.to_thread(self._keep, path, data)
        return data

    def _keep(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_durably(path, data)

    async def _fetch(self, digest: str) -> bytes:
        """Tried a few times: the master may be starting again at this moment."""
        reason = ""
        for again in range(BLOB_TRIES):
            await asyncio.sleep(0 if again == 0 else 2.0 ** (again - 1))
            try:
                return await self._fetch_once(digest)
            except (aiohttp.ClientError, OSError) as error:
                reason = str(error) or type(error).__name__
        raise NotNow(f"the master did not give the blob: {reason}", where=digest)

    async def _fetch_once(self, digest: str) -> bytes:
        headers = {"Authorization": f"Bearer {self._token()}"}
        timeout = aiohttp.ClientTimeout(total=BLOB_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=self._master.connector()) as session,
            session.get(f"{self._master.base}{self._door}/blobs/{digest}", headers=headers) as response,
        ):
            if response.status in (401, 403, 404):
                raise Invalid(f"the master refused the blob with status {response.status}", where=digest)
            response.raise_for_status()
            data = await response.content.read(BLOB_BYTES_MAX + 1)
            while len(data) <= BLOB_BYTES_MAX and (more := await response.content.read(BLOB_BYTES_MAX)):
                data += more
        if len(data) > BLOB_BYTES_MAX:
            raise Invalid("a blob is too large", where=digest, expected=f"at most {BLOB_BYTES_MAX} bytes")
        if (got := hashlib.sha256(data).hexdigest()) != digest:
            raise Invalid(f"a blob does not match its hash: got {got}", where="blob", expected=digest)
        return data


class RegistryArtifacts:
    """Artifacts from the cache of this machine, filled from the registries."""

    def __init__(self, cache_root: Path | None, blobs: Blobs) -> None:
        self._cache_root = cache_root
        self._blobs = blobs
        self._cache: Cache | None = None  # One for all: it looks at its folder when it is made.

    async def realise(self, artifacts: Sequence[Artifact], report: Report) -> dict[str, tuple[str, Mapping[str, str]]]:
        if not artifacts:
            return {}
        from upcall.artifacts.cache import Cache  # Slow to load, and many a task has no artifacts.
        from upcall.artifacts.fetch import afetch

        loop = asyncio.get_running_loop()

        def blob(digest: str) -> bytes:
            return asyncio.run_coroutine_threadsafe(self._blobs.get(digest), loop).result()

        def progress(moment: "Progress") -> None:
            text = f"{moment.artifact}: {moment.text}"
            loop.call_soon_threadsafe(report, text, moment.done_bytes, moment.total_bytes)

        if self._cache is None:
            self._cache = await asyncio.to_thread(Cache, self._cache_root)
        realised = await afetch(artifacts, self._cache, blob, progress)
        return {name: (str(one.path), one.properties) for name, one in realised.items()}
