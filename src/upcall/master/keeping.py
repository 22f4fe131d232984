"""Services that a document somewhere else keeps: a custom resource, whose author expects that what it says is so.

Such a service has one place where it is changed. Whoever asks for another revision here, or for its end, is told where
that place is; what is no revision (a restart, a rebalance, an action, a drain) is asked for as of any service. So is a
size that the service chooses by itself within the bounds that its document lets it.
"""

from collections.abc import Callable

from upcall.master import records as r
from upcall.master.state import Service
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import Keeper


def record(keeper: Keeper, revision: int) -> r.KeeperRecord:
    return r.KeeperRecord(**keeper.model_dump(), revision=revision)


def must_change(service: Service, what: str = "") -> None:
    """``what``: on whose behalf it is changed; empty: a person's own."""
    _must_be(service, what, "changed", lambda keeper: keeper.how)


def must_end(service: Service, what: str) -> None:
    _must_be(service, what, "taken away", lambda keeper: keeper.end)


def _must_be(service: Service, what: str, done: str, command: Callable[[r.KeeperRecord], str]) -> None:
    keeper = service.record.keeper
    if keeper is None or keeper.what == what:
        return
    raise Conflict(
        f"{service.record.name} is what {keeper.what} says, and is {done} there alone",
        where=service.record.name,
        expected=f"`{command(keeper)}`" if command(keeper) else "a change of it",
    )
