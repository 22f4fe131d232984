"""A service goes from one version of its package to another, back, and past the point of no return."""

import asyncio
import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from upcall.protocol.errors import Conflict, NotNow
from upcall.service import Service, package
from upcall.testing import KINDS, Life, live

STRIDE = 11
"""Every so many of the writes is one after which the master dies."""

SERVICE = '''
"""A store whose format is raised by hand."""
from upcall.service import (
    Check, Declaration, Field, Invalid, Pod, Port, Service, ServiceOptions, Volume, accept, action, decline,
)

class StoreOptions(ServiceOptions):
    count: int = 3

class Store(Service):
    """A store."""
    options: StoreOptions
    answered = []

    def pods(self):
        return [Pod("node", count=self.options.count)]

    def task(self, member):
        return Declaration(command=("store", self.version), volumes=(Volume(name="data", size_mib=8),),
                           artifacts=self.artifacts())

    async def may_update(self, update, why):
        self.answered.append((self.version, update.came_from, update.version, update.upgrade))
        if update.version.startswith("3") and update.came_from.startswith("1"):
            return decline("3 does not read the files of 1: go by 2")
        return accept()

    async def finalize(self, why):
        if await self.state.get("refuses", False):
            raise Invalid("the disk is full")
        await self.state.set("format", self.version)
'''


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> type[Service]:
    return written(tmp_path_factory.mktemp("package") / "store")


def written(folder: Path) -> type[Service]:
    for version in ("1.0", "2.0", "3.0"):
        (folder / "versions" / version / "lock").mkdir(parents=True)
        lock = {"format": 1, "kind": "maven", "name": "store", "version": version}
        (folder / "versions" / version / "lock" / "store.json").write_text(json.dumps(lock))
    (folder / "__init__.py").write_text("")
    (folder / "service.py").write_text(f"{SERVICE}\n# {folder}\n")  # else one of the same text would be imported once
    built = package.build(folder)
    return package.load(built.package.entry, folder.parent, built.package.source)


@pytest.fixture(autouse=True)
def answered(store: type[Service]) -> list[Any]:
    found: list[Any] = vars(store)["answered"]
    found.clear()
    return found


def runs(life: Life) -> set[str]:
    """Which version each member runs."""
    declared = life.master.known.members
    seen = life.master.members.values()
    return {declared[member.name][member.generation].declaration.command[1] for member in seen}


async def over(life: Life, operation: str) -> str:
    await life.master.until(lambda: life.master.operations[operation].state not in ("open", "executing"))
    return life.master.operations[operation].state


@pytest.mark.parametrize("kind", KINDS)
def test_an_upgrade_restarts_all_in_the_new_version_whose_code_was_asked(
    store: type[Service], kind: Any, answered: list[Any]
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert runs(life) == {"1.0"}
        upgrade = life.master.upgrade("2.0")
        assert await over(life, upgrade) == "done"
        assert life.master.operations[upgrade].kind == "upgrade"
        assert (runs(life), life.code.version) == ({"2.0"}, "2.0")
        assert answered[-1] == ("2.0", "1.0", "2.0", True), "the code that would come answered"

    live(store, script, kind=kind, version="1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_before_the_point_of_no_return_a_rollback_brings_the_old_version_back(store: type[Service], kind: Any) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert await over(life, life.master.upgrade("2.0")) == "done"
        assert await over(life, life.master.rollback()) == "done"
        assert (runs(life), life.code.version) == ({"1.0"}, "1.0")

    live(store, script, kind=kind, version="1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_version_that_it_never_ran_is_refused_before_anything_begins(store: type[Service], kind: Any) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        known = set(life.master.operations)
        with pytest.raises(Conflict, match=r"store 1\.0 is older than 2\.0, which .* runs, and it never ran 1\.0"):
            life.master.upgrade("1.0")
        assert set(life.master.operations) == known
        assert await over(life, life.master.upgrade("3.0")) == "done"
        assert await over(life, life.master.upgrade("2.0")) == "done", "where it came from it may go back, also by name"
        assert (runs(life), life.code.version) == ({"2.0"}, "2.0")

    live(store, script, kind=kind, version="2.0")


@pytest.mark.parametrize("kind", KINDS)
def test_after_the_point_of_no_return_a_rollback_is_refused_before_anything_begins(
    store: type[Service], kind: Any
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert await over(life, life.master.upgrade("2.0")) == "done"
        assert await over(life, life.master.finalize()) == "done"
        assert life.master.memory["format"].value == "2.0"
        known = set(life.master.operations)
        for back in (life.master.rollback, lambda: life.master.upgrade("1.0")):
            with pytest.raises(Conflict, match=r"was finalized at version 2\.0: store 1\.0 cannot read"):
                back()  # type: ignore[no-untyped-call]
        assert set(life.master.operations) == known
        assert await over(life, life.master.upgrade("3.0")) == "done"
        assert await over(life, life.master.rollback()) == "done", "as far as what was finalized one may go back"
        assert runs(life) == {"2.0"}

    live(store, script, kind=kind, version="1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_who_says_so_with_the_upgrade_is_not_asked_for_its_point_of_no_return(store: type[Service], kind: Any) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.upgrade("2.0", finalize=True)
        await life.master.until(lambda: life.master.known.record.finalized == "2.0")
        assert runs(life) == {"2.0"}
        assert [op.kind for op in life.master.operations.values()].count("finalize") == 1

    live(store, script, kind=kind, version="1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_an_upgrade_that_failed_has_no_point_of_no_return(store: type[Service], kind: Any) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.slow("node-2")
        upgrade = life.master.upgrade("2.0", finalize=True)
        await life.master.until(lambda: life.master.operations[upgrade].state == "executing")
        await life.master.until(lambda: runs(life) == {"1.0", "2.0"})
        life.master.control(upgrade, "cancel")
        final = life.master.finalize()
        assert await over(life, final) == "declined"
        assert "its upgrade is to be carried out first" in life.master.answers[-1].reason
        assert not life.master.known.record.finalized

    live(store, script, kind=kind, version="1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_format_forbids_to_skip_is_declined_by_the_code_that_would_come(
    store: type[Service], kind: Any
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        upgrade = life.master.upgrade("3.0")
        assert await over(life, upgrade) == "declined"
        assert life.master.answers[-1].reason == "3 does not read the files of 1: go by 2"
        assert (runs(life), life.code.version) == ({"1.0"}, "1.0")

    live(store, script, kind=kind, version="1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_cannot_be_carried_out_fails_with_the_reason_and_may_be_asked_again(
    store: type[Service], kind: Any
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert await over(life, life.master.upgrade("2.0")) == "done"
        await life.code.state.set("refuses", True)
        final = life.master.finalize()
        assert await over(life, final) == "failed"
        assert "the disk is full" in life.master.world.ledger.operation(final).outcome  # type: ignore[union-attr]
        await life.code.state.set("refuses", False)
        assert await over(life, life.master.finalize()) == "done"
        with pytest.raises(Conflict, match=r"is finalized at version 2\.0 already"):
            life.master.finalize()

    live(store, script, kind=kind, version="1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_and_a_master_that_die_meanwhile_bring_it_to_the_same_end(store: type[Service], kind: Any) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.upgrade("2.0", finalize=True)
        for _ in range(12):
            await asyncio.sleep(3)
            await life.kill_host()
            life.master.die()
            life.start_host()
        await life.master.until(lambda: life.master.known.record.finalized == "2.0")
        assert (runs(life), life.master.memory["format"].value) == ({"2.0"}, "2.0")

    live(store, script, kind=kind, version="1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_a_master_that_dies_after_any_write_of_it_brings_it_to_the_same_end(store: type[Service], kind: Any) -> None:
    died: list[int] = []

    def life_with_a_death(after: int) -> None:
        async def script(life: Life) -> None:
            await life.until_deployed()
            deaths = life.master.world.deaths
            life.master.world.die_after = after
            with contextlib.suppress(NotNow):  # it died before it had answered
                life.master.upgrade("2.0", finalize=True)
            await asyncio.sleep(1)
            if all(op.kind != "upgrade" or op.state == "withdrawn" for op in life.master.operations.values()):
                life.master.upgrade("2.0", finalize=True)  # nobody was told of it: it is asked for again
            await life.master.until(lambda: life.master.known.record.finalized == "2.0")
            assert (runs(life), life.master.memory["format"].value) == ({"2.0"}, "2.0")
            kinds = [op.kind for op in life.master.operations.values() if op.state == "done"]
            assert (kinds.count("upgrade"), kinds.count("finalize")) == (1, 1)
            died.append(life.master.world.deaths - deaths)

        live(store, script, kind=kind, version="1.0")

    after = 1
    while not died or died[-1]:
        life_with_a_death(after)
        after += STRIDE
    assert sum(died) > 10, "and the last life had none"


async def test_a_service_without_a_point_of_no_return_says_so() -> None:
    class Plain(Service):
        """Nothing to raise."""

    from upcall.testing import operation

    verdict = await Plain().answer_one(operation("finalize"))
    assert verdict.word == "decline"
    assert "has no point of no return" in verdict.reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_that_is_not_here_any_more_runs_on_as_it_was_declared_until_somebody_upgrades_it(
    tmp_path: Path, kind: Any
) -> None:
    """A newer upcall has other versions of its packages."""
    store = written(tmp_path / "store")

    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.kill_host()
        shutil.rmtree(tmp_path / "store" / "versions" / "1.0")
        life.start_host()
        await asyncio.sleep(10)
        assert "store 1.0 is not here any more: what runs stays" in life.master.plans["deploy"].reason
        life.master.crash("node-1")
        await life.master.until(lambda: all(one.state == "ready" for one in life.master.members.values()))
        assert runs(life) == {"1.0"}
        assert await over(life, life.master.upgrade("2.0")) == "done"
        assert (runs(life), life.code.version) == ({"2.0"}, "2.0")

    live(store, script, kind=kind, version="1.0")
