"""Disks that fill: a service slows what it may, and lets it go on when there is room. In virtual time, on both kinds of
cluster."""

import asyncio
from typing import Any

from sample_services import Plain

from upcall.service import Member
from upcall.testing import Life

Live = Any


class Writers(Plain):
    """Slows its writers, which a host that died meanwhile may have done too."""

    slowed = False
    """At the system that it runs, which outlives its host."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.told: list[list[str]] = []
        self.fails = 0

    async def relieve(self, filling: tuple[Member, ...]) -> None:
        if self.fails:
            self.fails -= 1
            raise ConnectionError("nobody there")
        self.told.append([f"{each}: {'over' if one.over else 'near'}" for each in filling for one in each.filling])
        type(self).slowed = bool(filling)


async def told(life: Life, *words: list[str]) -> None:
    async with asyncio.timeout(300):
        while life.code.told != list(words):  # noqa: ASYNC110 (virtual seconds)
            await asyncio.sleep(1)


def test_who_fills_is_told_at_each_mark_and_when_there_is_room_again(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await told(life, [])
        life.master.fill("web-1", 950, 1000)
        await told(life, [], ["web-1: near"])
        life.master.fill("web-1", 1100, 1000)
        life.master.fill("web-2", 950, 1000)
        await asyncio.sleep(60)
        assert life.code.told[-1] == ["web-1: over", "web-2: near"]
        life.master.fill("web-1", 100, 1000)
        life.master.fill("web-2", 100, 1000)
        await asyncio.sleep(60)
        assert (life.code.told[-1], Writers.slowed) == ([], False)
        told_so_far = len(life.code.told)
        await asyncio.sleep(3600)
        assert len(life.code.told) == told_so_far, "nobody is told again while nothing changes"

    live(Writers, script, data=True)


def test_what_a_host_slowed_before_it_died_goes_on_when_room_came_meanwhile(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.fill("web-1", 950, 1000)
        await asyncio.sleep(60)
        assert Writers.slowed
        await life.kill_host()
        life.master.fill("web-1", 100, 1000)
        life.start_host()
        await asyncio.sleep(60)
        assert not Writers.slowed

    live(Writers, script, data=True)


def test_one_that_fails_is_called_again_until_it_returns_or_it_is_over(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await told(life, [])
        life.code.fails = 3
        life.master.fill("web-1", 950, 1000)
        await told(life, [], ["web-1: near"])
        assert life.code.fails == 0

    live(Writers, script, data=True)
