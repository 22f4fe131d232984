"""The role of who reads alone is made although the ring could not take it the first time."""

from collections.abc import Callable
from typing import Any

import pytest

from upcall.catalog.cassandra import nodes
from upcall.catalog.cassandra.service import Cassandra
from upcall.protocol import service as wire
from upcall.protocol.service import Credentials
from upcall.service.context import Context

ADDRESSES = ("127.1.1.10", "127.1.1.11")


class Ring:
    """One that has no majority for so many tries."""

    def __init__(self, fails: int) -> None:
        self.addresses = ADDRESSES
        self.stale = False
        self.fails = fails
        self.asked: list[str] = []

    def make_reader(self, user: str, password: str) -> None:
        self.asked.append(user)
        if len(self.asked) <= self.fails:
            raise ConnectionError("no majority")


class Asked(Cassandra):
    async def own_login(self, endpoint: str = "admin") -> Credentials | None:
        return Credentials(user=endpoint, password="x")

    async def blocking(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)


@pytest.mark.parametrize("fails", [0, 2])
async def test_who_reads_alone_is_made_with_the_next_question_where_the_first_found_no_majority(
    monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    ring = Ring(fails)
    monkeypatch.setattr(nodes, "_connect", lambda addresses, members, login: ring)
    service = Asked(Context(name="cassandra", options={}))
    service._context.members = {
        f"node-{n}": wire.Member(name=f"node-{n}", node=f"n{n}", state="ready", back=True, address=address)
        for n, address in enumerate(ADDRESSES)
    }
    for _ in range(5):
        assert await service.ask(lambda ring: "answered") == "answered"
    assert ring.asked == ["reader"] * (fails + 1), "once it is there nobody asks for it again"
