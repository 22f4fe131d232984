"""A life of a service against a master in memory, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sample_services import Life

from upcall.service import Service
from upcall.service.testing import PlayedMaster, run

Script = Callable[[Life], Awaitable[None]]


@pytest.fixture
def live() -> Callable[..., None]:
    """``live(Store, script, count=3)``: the script with a running service, in virtual time."""

    def start(service: type[Service], script: Script, *, master: PlayedMaster | None = None, **options: Any) -> None:
        async def main() -> None:
            life = Life(service, master or PlayedMaster(service=service.package, options=options))
            life.start_host()
            try:
                async with asyncio.timeout(3600):
                    await script(life)
            finally:
                await life.kill_host()

        run(main())

    return start
