"""A node that is to be removed and is empty leaves: what serves it ends, then it is forgotten.

That nothing of a service is lost by it was the ledger's to see to; that is over when the removal is done.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Final

from upcall.master.changes import Changed
from upcall.master.driver import Driver
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.protocol.errors import NotNow
from upcall.substrate.machines import Machines

log = logging.getLogger(__name__)

RETRY_S: Final = 5.0
"""Between two tries to end what serves a node, for as long as that cannot be done."""


class Leaving:
    def __init__(self, core: Driver, machines: Machines) -> None:
        self._core, self._machines = core, machines
        self._removing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def rule(self, tx: Transaction, changed: Changed) -> None:
        """After each turn: a removed node whose members have left ends."""
        core, ledger = self._core, self._core.state.ledger
        nodes: dict[str, None] = {}
        for number in changed.operations:
            operation = ledger.operation(number)
            if operation is not None and operation.kind == "maintenance":
                nodes.update(dict.fromkeys(operation.nodes))
        for node in nodes | changed.nodes:
            standing = ledger.maintenance(node)
            if standing is not None and standing.state == "done" and standing.removes_node:
                if node in core.nodes or node in core.expected:
                    self._begin(tx, node)
                elif node not in self._removing:
                    _close(tx, node)  # of a life before: the node went, and its removal still stood

    def _begin(self, tx: Transaction, node: str) -> None:
        if node in self._removing:
            return
        self._removing.add(node)
        tx.event("node", node, "empty, and is removed")
        tx.turn.after.append(lambda: self._background(self._remove(node)))

    async def _remove(self, node: str) -> None:
        try:
            told = ""
            while error := await self._not_ended(node):
                if error != told:
                    words = f"is not removed yet, because its agent cannot be ended: {error}; tried again"
                    self._core.post(lambda tx, words=words: tx.event("node", node, words))  # type: ignore[misc]
                    told = error
                await asyncio.sleep(RETRY_S)
                standing = self._core.state.ledger.maintenance(node)
                if standing is None or not standing.removes_node:
                    return  # Somebody changed their mind meanwhile.
            self._core.post(lambda tx: self._forget(tx, node))
        finally:
            self._removing.discard(node)

    async def _not_ended(self, node: str) -> str:
        """Ends what serves the node; why it could not be, if so."""
        try:
            await self._machines.end_node(node)
        except NotNow as error:
            log.warning("the agent of %s could not be ended: %s", node, error)
            return str(error)
        return ""

    def _forget(self, tx: Transaction, node: str) -> None:
        """One turn: a removal that outlived its node would stand for ever, with nothing that could end it."""
        tx.substrate(self._machines.forget_node(node, tx.now_s))
        _close(tx, node)

    def _background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _close(tx: Transaction, node: str) -> None:
    if tx.core.state.ledger.maintenance(node) is not None:
        tx.ledger(given.Undrain(node=node, who="upcall", why="the node is removed"))
