"""The keeper of this machine, asked over its socket."""

import asyncio
from pathlib import Path
from typing import Any, Final

from upcall.keeper.sockets import ask
from upcall.protocol.errors import NotNow

TIMEOUT_S: Final = 60.0


class Keeper:
    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def add(self, process: dict[str, Any]) -> None:
        """Keeps one more process of ours; the same name again replaces it."""
        await self._ask({"do": "add", "process": process})

    async def remove(self, name: str) -> None:
        await self._ask({"do": "remove", "name": name})

    async def prove_death(self, node: str) -> None:
        """Returns once nothing of a node's tasks runs any more."""
        await self._ask({"do": "prove_death", "node": node})

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await asyncio.to_thread(ask, str(self._socket), request, TIMEOUT_S)
        except (OSError, ValueError) as error:
            raise NotNow(f"the keeper does not answer: {error}", where=str(self._socket)) from None
        if refused := answer.get("error"):
            raise NotNow(f"the keeper refused: {refused}", where=str(request.get("do")))
        return answer
