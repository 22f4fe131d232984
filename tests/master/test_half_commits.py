"""A commit that fails may leave its beginning behind, as a store of single records does."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace
from played_node import PlayedNode
from test_turns import declaration
from test_turns import master as quiet_master

from upcall.master import driver, services
from upcall.master.driver import Driver
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow
from upcall.protocol.operator import Install
from upcall.store.interface import Append, Change, CommitFailed

MEMBERS = ("a", "b")


class Halves:
    """Fails at random, after some first ones of the changes were written, each for itself."""

    def __init__(self, core: Driver, seed: int) -> None:
        self._whole, self._chance = core.store.commit, random.Random(seed)
        self.failures = 0

    def commit(self, changes: Sequence[Change]) -> list[int]:
        if self._chance.random() < 0.6:
            return self._whole(changes)
        self.failures += 1
        versions: dict[tuple[str, str], int] = {}
        for change in changes[: self._chance.randint(0, len(changes))]:
            if isinstance(change, Append):
                self._whole([change])
            else:
                # Compared once: the next change of the same record is to what this one made of it.
                record = change.kind, change.key
                expected = versions.get(record, change.expected_version)
                (versions[record],) = self._whole([replace(change, expected_version=expected)])
        raise CommitFailed("a part of it is there")


async def insist(core: Driver, work: Callable[[Transaction], object], done: Callable[[], bool]) -> None:
    """As a person or a host does: the same again while the answer is "not now", unless it came to be all the same."""
    async with asyncio.timeout(180):
        while not done():
            with suppress(NotNow):
                await core.turn(work)
            await asyncio.sleep(0.005)


def install(tx: Transaction) -> None:
    if "s" not in tx.core.state.services:
        services.install(tx, Install(package="package", name="s"), "ann")


def declare(*words: str) -> Callable[[Transaction], object]:
    members = {name: wire.MemberWanted(declaration=declaration("run", *words), start=True) for name in MEMBERS}
    return lambda tx: services.declare(tx, "s", wire.Declare(members=members))


def wanted(core: Driver) -> list[int]:
    return [member.wanted_generation for member in core.state.ledger.members("s")]


def ask(kind: str, *members: str) -> Callable[[Transaction], object]:
    """With a key, as whoever may have to ask twice."""

    def propose(tx: Transaction) -> None:
        tx.ledger(
            given.Propose(
                kind=kind,  # type: ignore[arg-type]
                service="s",
                members=members,
                asked_by="ann",
                force=True,
                reason="a test",
                key=f"{kind} {members}",
            )
        )

    return propose


async def life(folder: Path, seed: int | None) -> tuple[dict[str, set[str]], int]:
    """What is on record after a service's whole life, and how many commits failed meanwhile."""
    async with quiet_master(folder) as made:
        core, node = made.core, PlayedNode("node-1")
        halves = Halves(core, seed) if seed is not None else None
        core.state.packages.put(wire.Package(name="package", version="1"))
        await core.turn(lambda tx: tx.put("package", "package@1", wire.Package(name="package", version="1")))
        if halves:
            core.store.commit = halves.commit  # type: ignore[method-assign]
        node.join(core)

        def members(incarnation: int, generation: int) -> Callable[[], bool]:
            return lambda: (
                [(m.name, m.incarnation, m.generation, m.status) for m in core.state.ledger.members("s")]
                == [(name, incarnation, generation, "ready") for name in MEMBERS]
                and node.running() == [f"s.{name}.{incarnation}" for name in MEMBERS]
            )

        await insist(core, install, lambda: "s" in core.state.services)
        await insist(core, declare(), members(1, 1))
        await insist(core, declare("anew"), lambda: wanted(core) == [2, 2])
        for name in MEMBERS:
            await insist(core, ask("restart", name), lambda name=name: f"s.{name}.2" in node.running())  # type: ignore[misc]
        await insist(core, lambda tx: None, members(2, 2))
        await insist(core, ask("uninstall"), lambda: "s" not in core.state.services)
        if halves:
            core.store.commit = halves._whole  # type: ignore[method-assign]
        await insist(
            core, lambda tx: tx.event("test", "test", "the end"), lambda: core.journal.newest(1)[0].text == "the end"
        )
        assert node.running() == []
        starts = [(f"s.{name}.{number}", number) for number in (1, 2) for name in MEMBERS]
        assert sorted(node.started) == sorted(starts), "nothing was launched twice"
        found = {kind: {record.key for record in core.store.load(kind)} for kind in core.store.kinds()}
        found.pop("substrate/addresses", None)  # where the next look for a free address begins: nobody's promise
        sequences = [event.sequence for event in core.store.events_after("turns", 0, limit=100_000)]
        assert sequences == list(range(1, len(sequences) + 1)), "no event's number is missing"
        assert [event.sequence for event in core.journal.since(0, limit=100_000)] == sequences
        return found, halves.failures if halves else 0


async def test_however_much_of_a_failed_commit_is_there_the_same_comes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "RELOAD_PAUSE_S", 0.0)
    whole, _ = await life(tmp_path / "whole", None)
    failures = 0
    for seed in range(5):
        found, failed = await life(tmp_path / str(seed), seed)
        assert found == whole
        failures += failed
    assert failures > 10
