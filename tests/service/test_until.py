"""Waiting for what tells nobody."""

import asyncio

import pytest

from upcall.service import until
from upcall.testing.virtual import run


def test_it_is_looked_at_until_it_holds_and_whoever_waits_can_call_it_off() -> None:
    async def script() -> None:
        looks: list[float] = []

        async def holds() -> bool:
            looks.append(asyncio.get_running_loop().time())
            return len(looks) == 3

        await until(holds, every_s=5.0)
        assert [now - looks[0] for now in looks] == [0.0, 5.0, 10.0]

        async def never() -> bool:
            return False

        waiting = asyncio.ensure_future(until(never))
        await asyncio.sleep(100)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(script())
