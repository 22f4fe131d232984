"""The host of services, kept: started, looked at whether it turns, ended where it does not, and started again.

It runs services' code, and code in C can stop it whole. On a machine of ours the keeper sees to that
(:mod:`upcall.keeper.child`); in a pod there is none, so its look (:mod:`upcall.keeper.turning`) is taken here. What was
seen of a host that stood still is for the next one in the same pod, which does not call that code again
(:mod:`upcall.service.barred`); a host in another pod finds out by itself.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from upcall.cluster.folder import DataFolder
from upcall.cluster.processes import TURNS_S
from upcall.keeper.child import SETTLED_S
from upcall.keeper.turning import LOOKS, Turning

log = logging.getLogger(__name__)

AGAIN_S: Final = 1.0
AGAIN_MAX_S: Final = 30.0
GRACE_S: Final = 10.0
"""For the host, then for the master, which gives its Lease up."""


async def keep_host(folder: DataFolder) -> None:
    """Until cancelled."""
    words = ("--master", str(folder.master_socket), "--token-file", str(folder.token_file("host")))
    argv = ("-m", "upcall.service.host", *words, "--data", str(folder.root / "host"))
    await keep(argv, folder.root / "host.still.json", TURNS_S)


async def keep(argv: Sequence[str], seen: Path, every_s: float, again_s: float = AGAIN_S) -> None:
    """``argv``: of our Python. ``seen``: where it stands if the one before did not turn. ``every_s``: so often it says
    that it does."""
    pause_s = again_s
    while True:
        began_s = time.monotonic()
        async with _watched(argv, seen, every_s) as host:
            code = await host.wait()
        if time.monotonic() - began_s >= SETTLED_S:
            pause_s = again_s
        log.warning("the host of services ended with %d; started again in %.0f s", code, pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, AGAIN_MAX_S)


@asynccontextmanager
async def _watched(argv: Sequence[str], seen: Path, every_s: float) -> AsyncIterator[asyncio.subprocess.Process]:
    turning = Turning(every_s, str(seen))
    try:
        environment, descriptors = turning.inherit(), turning.descriptors
        host = await started(*argv, environment=environment, descriptors=descriptors)
        turning.started()
        looking = asyncio.create_task(_look(turning, host, every_s))
        try:
            yield host
        finally:
            looking.cancel()
            await end(host)
    finally:
        turning.close()


async def _look(turning: Turning, host: asyncio.subprocess.Process, every_s: float) -> None:
    while True:
        await asyncio.sleep(max(0.0, turning.next - time.monotonic()))
        number = turning.look(time.monotonic(), host.pid)
        if number == signal.SIGKILL:
            log.warning("the host of services has not turned for %g s, and is ended", LOOKS * every_s)
        if number:
            with suppress(ProcessLookupError):
                host.send_signal(number)


async def started(
    *argv: str, environment: dict[str, str] | None = None, descriptors: Sequence[int] = ()
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        env=os.environ | (environment or {}),
        pass_fds=descriptors,
    )


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(GRACE_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
