"""What is under way with backups: alone where it has to be, heard of, called off when nobody waits for it any more."""

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from upcall.protocol.errors import Conflict, NotNow
from upcall.service import telling
from upcall.service.backup.writing import Say, Work
from upcall.service.context import threads

if TYPE_CHECKING:
    from upcall.service.service import Service

STUCK_S: Final = 900.0
"""What makes no progress for so long has failed."""
THREADS: Final = "backup"
"""Of its own: an answer never waits for a copy."""

READS: Final = "reading"
REMOVES: Final = "removing from"

W = TypeVar("W", bound=Work)


@contextlib.asynccontextmanager
async def speaking(service: "Service", make: Callable[[Say], W]) -> AsyncIterator[W]:
    """Some work, whose words are heard wherever they are said; it is called off when nobody waits for it."""
    loop = asyncio.get_running_loop()
    tell = telling.telling.get() or (lambda text, share: None)
    async with _not_stuck(), telling.while_it_moves(STUCK_S, tell):
        heard = telling.telling.get()
        assert heard is not None

        here, over = threading.get_ident(), False

        def hear(text: str, share: float | None) -> None:
            if not over:
                heard(text, share)

        def say(text: str, share: float | None) -> None:
            if threading.get_ident() == here:
                hear(text, share)
                return
            with contextlib.suppress(RuntimeError):  # The loop has ended: nobody hears it.
                loop.call_soon_threadsafe(hear, text, share)

        before = threads.set(THREADS)
        work = await service.blocking(make, say)
        try:
            yield work
        finally:
            threads.reset(before)
            over = True
            work.call_off()


@contextlib.asynccontextmanager
async def _not_stuck() -> AsyncIterator[None]:
    try:
        yield
    except TimeoutError as error:
        said = str(error) or f"it made no progress for {STUCK_S:g} s"
        raise NotNow(said, expected="to ask for it again: it goes on where it was") from error


async def working(service: "Service", make: Callable[[Say], W], work: Callable[[W], Any]) -> Any:
    async with speaking(service, make) as found:
        return await service.blocking(work, found)


@contextlib.asynccontextmanager
async def alone(service: "Service", what: str) -> AsyncIterator[None]:
    """One at a time of a service in one place."""
    if what in service._context.busy:
        raise Conflict(f"another one is under way: {what}", where=service.name, expected="its end")
    service._context.busy.add(what)
    try:
        yield
    finally:
        service._context.busy.discard(what)


@contextlib.contextmanager
def reading(service: "Service", where: str) -> Iterator[None]:
    """From now on nothing is removed there, by this service."""
    busy = service._context.busy
    if f"{REMOVES} {where}" in busy:
        raise Conflict(f"old backups are being removed from {where}", where=service.name, expected="the end of that")
    reader = f"{READS} {where} {secrets.token_hex(4)}"
    busy.add(reader)
    try:
        yield
    finally:
        busy.discard(reader)


@contextlib.asynccontextmanager
async def removing(service: "Service", where: str) -> AsyncIterator[None]:
    """Nobody writes there meanwhile, and nobody reads."""
    if any(each.startswith(f"{READS} {where} ") for each in service._context.busy):
        raise Conflict(f"a backup in {where} is being read", where=service.name, expected="the end of that")
    async with alone(service, where), alone(service, f"{REMOVES} {where}"):
        yield
