"""A trial restore leaves nothing, whatever becomes of it.

Before it makes anything, it is written down that a trial is under way, and its *mark*: random letters, which stand in
the name of whatever it makes outside of its members' own folders. So what has the mark is of this trial, and of nobody
else. A trial that returns has taken away itself what it made. One that does not (its host died and nobody asks again,
it was cancelled, a member was away as it cleared up) is cleared up by the service's host: before the next trial, and
else as soon as it can.
"""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from upcall.protocol.errors import NotNow
from upcall.service.backup.hooks import Backups
from upcall.service.backup.under_way import alone
from upcall.service.repeating import until_done

if TYPE_CHECKING:
    from upcall.service.service import Service

UNDER_WAY: Final = "trial"
CLEARING: Final = "what a trial left"
TRYING: Final = "sdk.trying"


@contextlib.asynccontextmanager
async def marked(service: "Service") -> AsyncIterator[str]:
    """One trial; gives its mark."""
    if CLEARING in service._context.busy:
        raise NotNow("what an interrupted trial left is being taken away", where=service.name)
    async with alone(service, UNDER_WAY):
        await _cleared(service)
        mark = secrets.token_hex(4)
        await service.state.set(TRYING, mark)
        try:
            yield mark
        except BaseException:
            service._context.may_have_left = True
            service.refresh()  # Its host clears up once this has ended.
            raise
        await service.state.delete(TRYING)


async def _cleared(service: "Service") -> None:
    if mark := await service.state.get(TRYING, ""):
        await service.clear_trial(mark)
        await service.state.delete(TRYING)


class Clearing:
    """Takes away what a trial left. One service's."""

    def __init__(self, service: "Service", spawn: Callable[[Coroutine[Any, Any, object], str], object]) -> None:
        self._service, self._spawn = service, spawn
        self._at_it = False

    def look(self) -> None:
        """After each look at the service: once at a host's start, and after a trial that did not return."""
        context = self._service._context
        if context.may_have_left and not self._at_it and type(self._service).clear_trial is not Backups.clear_trial:
            self._at_it = True
            self._spawn(self._clear(), CLEARING)

    async def _clear(self) -> None:
        context = self._service._context

        async def clear() -> None:
            if UNDER_WAY in context.busy:
                return  # That one clears up before it begins, or says that it did not.
            context.may_have_left = False
            try:
                async with alone(self._service, CLEARING):
                    await _cleared(self._service)
            except BaseException:
                context.may_have_left = True
                raise

        try:
            await until_done(self._service, "clear_trial", clear, lambda: context.may_have_left)
        finally:
            self._at_it = False
