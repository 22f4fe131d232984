"""Fetching all that a task or a package needs: the way in to the whole part.

Artifacts of one request are independent, so they are fetched side by side; class archives come last, because they are
made from the others. The answer maps the names of the request to what was realised. The first failure stops the rest;
whatever came by then stays in the cache, the beginnings of files too, so trying again goes on from there.
"""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from upcall.artifacts import archives, compiled, debian, environments, files, java, libraries, maven, wheels
from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import LockInvalid
from upcall.artifacts.kinds import BlobSource, Job, Realised, kind_named
from upcall.artifacts.lock import digest_of
from upcall.artifacts.progress import Meter, ProgressCallback
from upcall.protocol.declaration import Artifact

BUILT_IN = (archives, compiled, debian, environments, files, java, libraries, maven, wheels)
"""Imported for their registration as kinds."""

PARALLEL = 3


def fetch(
    artifacts: Sequence[Artifact],
    cache: Cache,
    blobs: BlobSource,
    progress: ProgressCallback | None = None,
    *,
    train: bool = False,
    stop: threading.Event | None = None,
) -> dict[str, Realised]:
    """Realise all artifacts. ``train`` also makes class archives that are missing (slow; once)."""
    stop = stop or threading.Event()
    locks = {artifact.name: artifact.lock for artifact in artifacts}
    ready: dict[str, Realised] = {}

    def one(artifact: Artifact) -> Realised:
        data = blobs(artifact.lock)
        if (got := digest_of(data)) != artifact.lock:
            raise LockInvalid(
                f"lock of {artifact.name} is not the one that was named: got {got}",
                where=artifact.name,
                expected=artifact.lock,
            )
        meter = Meter(artifact.name, progress, stop)
        realised = kind_named(artifact.kind).realise(Job(artifact, data, cache, meter, blobs, ready, locks, train))
        meter.finish()
        return realised

    first = [artifact for artifact in artifacts if not kind_named(artifact.kind).needs_siblings]
    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch")
    try:
        running = {artifact.name: pool.submit(one, artifact) for artifact in first}
        for name, result in running.items():
            ready[name] = result.result()
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    for artifact in artifacts:
        if kind_named(artifact.kind).needs_siblings:
            ready[artifact.name] = one(artifact)
    if train:  # somebody fills the cache on purpose: the moment to drop what nobody uses
        cache.prune()
    return {artifact.name: ready[artifact.name] for artifact in artifacts}


async def afetch(
    artifacts: Sequence[Artifact],
    cache: Cache,
    blobs: BlobSource,
    progress: ProgressCallback | None = None,
    *,
    train: bool = False,
) -> dict[str, Realised]:
    """:func:`fetch` off the event loop; cancelling the awaiting task stops the fetch at its next step.

    In a thread of its own. A fetch takes minutes and asks its loop for blobs meanwhile; in the loop's own few threads,
    as many fetches at once as there are threads would leave none for what all of them wait for.
    """
    stop = threading.Event()
    own = ThreadPoolExecutor(1, thread_name_prefix="artifacts")
    ask = partial(fetch, artifacts, cache, blobs, progress, train=train, stop=stop)
    try:
        return await asyncio.get_running_loop().run_in_executor(own, ask)
    except asyncio.CancelledError:
        stop.set()
        raise
    finally:
        own.shutdown(wait=False)
