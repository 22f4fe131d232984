"""A call of an expert's code in a thread of its own, for not too long.

One that hangs leaves its thread behind, and takes none from anybody else. Nobody waits for it any more, so it is told
to end; what cannot be ended (it waits in the system) is counted, and there are never more than :data:`LEFT_MAX`.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from upcall.service import hanging
from upcall.service.hanging import LEFT_MAX, Abandoned, Hangs, abandon, marked, stand

R = TypeVar("R")

_LOOKS: Final = 10
"""At what was called, in its time: where the machine stood still, one of them is lost and not the whole time."""


VIRTUAL: Final = "in_virtual_time"
"""Of an event loop: its time passes over what any thread does, so what is called there is called at once."""


class Apart:
    """Of one service."""

    def __init__(self, service: str = "") -> None:
        self._service = service
        self._threads: set[threading.Thread] = set()

    @property
    def holds(self) -> bool:
        """Something that was called here has not returned."""
        return any(each.is_alive() for each in self._threads)

    async def call(self, function: Callable[..., R], *args: Any, within_s: float, what: str) -> R:
        """What it returns or raises, whatever that is; :class:`Hangs` where it does not within its time. ``what``: in
        words, if nobody can see where it stands."""
        at_once = getattr(asyncio.get_running_loop(), VIRTUAL, False)
        found, error = _caught(function, *args) if at_once else await self._called(function, args, within_s, what)
        if error is not None:
            raise error
        return found  # type: ignore[return-value]

    async def _called(
        self, function: Callable[..., R], args: tuple[Any, ...], within_s: float, what: str
    ) -> tuple[R | None, BaseException | None]:
        self._threads = {each for each in self._threads if each.is_alive()}
        if len(self._threads) >= LEFT_MAX:
            raise Hangs(f"{LEFT_MAX} calls of it hang already, and none of them has returned")
        loop = asyncio.get_running_loop()
        said: asyncio.Future[tuple[R | None, BaseException | None]] = loop.create_future()

        def tell(found: tuple[R | None, BaseException | None]) -> None:
            if not said.done():
                said.set_result(found)

        def run() -> None:
            with suppress(Abandoned, RuntimeError):  # RuntimeError: the loop has ended, and nobody waits any more.
                loop.call_soon_threadsafe(tell, _caught(function, *args))

        thread = threading.Thread(target=marked(self._service, run), name=f"apart: {what}", daemon=True)
        self._threads.add(thread)
        thread.start()
        try:
            looks = 0
            while looks < _LOOKS:
                waited_s = hanging.waited_s(thread)
                if (await asyncio.wait([said], timeout=within_s / _LOOKS))[0]:
                    break
                if hanging.waited_s(thread) - waited_s < within_s / _LOOKS / 2:
                    looks += 1  # Else it would go on: the machine has too much to do.
            else:
                raise Hangs(f"{stand(thread) or what} has taken longer than {within_s:g} s")
        finally:
            if not said.done():
                said.cancel()
                abandon(thread)
        return said.result()


def _caught(function: Callable[..., R], *args: Any) -> tuple[R | None, BaseException | None]:
    """``sys.exit()`` in it would end the thread, and nobody would hear of it."""
    try:
        return function(*args), None
    except Abandoned:
        raise
    except asyncio.CancelledError:
        # Raised on, it would end who waits, as if somebody had wanted that.
        return None, RuntimeError("CancelledError: what it waited for was cancelled")
    except BaseException as error:
        return None, error
