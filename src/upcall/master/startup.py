"""``upcall up`` is finished here, not at a terminal.

``up`` leaves a file that says so before anything runs. The master takes a shutdown back and removes the file before it
answers anybody, so whoever asked may be gone by then, and a shutdown that is asked later is not taken back by it.
"""

import asyncio

from upcall.cluster.folder import DataFolder
from upcall.master.driver import Driver
from upcall.operations import inputs


async def finish(core: Driver, folder: DataFolder, owner: str) -> None:
    if folder.wanted_up.exists():
        await core.turn(lambda tx: tx.ledger(inputs.Up(who=owner)))
        await asyncio.to_thread(folder.wanted_up.unlink, missing_ok=True)
