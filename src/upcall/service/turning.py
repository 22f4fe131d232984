"""Saying that this process turns, to who keeps it; and what it does when it does not (``upcall.keeper.turning``).

A process that nobody keeps (a test) says nothing to anybody.
"""

import asyncio
import faulthandler
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

VARIABLE: Final = "UPCALL_TURNS"


class Turning:
    """Made by the main thread, before there is another one."""

    def __init__(self) -> None:
        said = os.environ.pop(VARIABLE, "")
        value = json.loads(said) if said else {}
        self.seen: Path | None = Path(value["seen"]) if said else None
        """Where it stands if the one before this process did not turn."""
        self._turns, self._every_s = int(value.get("turns", -1)), float(value.get("every_s", 0.0))
        if said:
            # Written by C, in whatever thread the signal comes to: no interpreter is needed.
            faulthandler.register(int(value["signal"]), int(value["stacks"]), all_threads=True)
            for descriptor in (self._turns, int(value["stacks"])):
                os.set_inheritable(descriptor, False)

    async def say(self) -> None:
        """Until cancelled, by the loop that all else of this process hangs on."""
        while self._every_s:
            with suppress(OSError):  # Nobody reads: the pipe is full, or its other end is gone.
                os.write(self._turns, b".")
            await asyncio.sleep(self._every_s / 2)
