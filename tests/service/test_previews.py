"""A preview names who would restart, as the change itself then does it: also after one that failed in the middle, and
where the code that runs is broken itself."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

import pytest
from sample_services import Plain
from test_edited_code import EDITED, Better, Web
from test_updates import Cache, command, launched_since, over, with_a_canary_that_crashes

from upcall.protocol import service as wire
from upcall.protocol.operator import Update
from upcall.service import Declaration, Invalid, Member, Operation, Pod, Verdict, accept, decline
from upcall.testing import KINDS, Life
from upcall.testing import live as lived

Live = Any
BACK = Update(back_to=1)


class Gated(Cache):
    """A small one is too slow."""

    async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
        return decline("half as fast as before") if self.options.size_mib == 1 else accept()


def restarted(life: Life, before: list[str]) -> set[str]:
    return {task.rpartition(".")[0] for task in launched_since(life, before)}


def runs(life: Life, members: Iterable[str] = ("web-0", "web-1", "web-2")) -> list[str]:
    return [command(life, name)[1] for name in members]


def test_a_way_back_from_a_canary_that_failed_its_gate_restarts_it_alone(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(size_mib=1), "failed")
        assert runs(life) == ["64", "64", "1"]
        said = await life.master.preview_of(BACK)
        assert (said.restart, said.next) == ({"web-2": "size_mib"}, "restart of web-2: accept")
        before = life.master.launches
        await over(life, life.master.rollback())
        assert restarted(life, before) == {"web-2"}

    live(Gated, script)


def test_another_value_after_it_restarts_all_that_do_not_run_it(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(size_mib=1), "failed")
        assert set((await life.master.preview(size_mib=1, replace_after_s=300.0)).restart) == {"web-0", "web-1"}
        assert set((await life.master.preview(size_mib=128)).restart) == {"web-0", "web-1", "web-2"}
        before = life.master.launches
        await over(life, life.master.change(size_mib=128))
        assert restarted(life, before) == {"web-0", "web-1", "web-2"}

    live(Gated, script)


def test_a_way_back_from_a_canary_that_crashes_names_who_restarts(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, await with_a_canary_that_crashes(life), "failed")
        life.crashing.cancel()  # type: ignore[attr-defined]
        said = await life.master.preview_of(BACK)
        there = runs(life)
        assert set(said.restart) == {name for name, size in zip(("web-0", "web-1", "web-2"), there) if size != "64"}
        before = life.master.launches
        await over(life, life.master.rollback())
        assert restarted(life, before) == set(said.restart)

    live(Cache, script)


def test_members_that_a_failed_change_had_brought_are_there_and_leave_on_the_way_back(live: Live) -> None:
    class Grown(Gated):
        async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
            return accept()

        async def spread(self, came: tuple[Member, ...], why: Operation) -> None:
            raise Invalid("there is nothing to spread")

    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(count=2), "failed")
        said = await life.master.preview_of(BACK)
        assert (said.restart, said.come, said.leave) == ({}, (), ("web-1",))
        assert (await life.master.preview(count=3)).come == ("web-2",)

    live(Grown, script, count=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_way_back_from_edited_code_whose_canary_failed_restarts_it_alone(kind: Any) -> None:
    class Slow(Better):
        package = "web"
        settle_s = 1.0

        async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
            return decline("half as fast as before")

    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.upgrade(EDITED), "failed")
        assert sorted(runs(life, ("web-0", "web-1"))) == ["new", "old"]
        said = await life.master.preview_of(BACK)
        before = life.master.launches
        await over(life, life.master.rollback())
        assert set(said.restart) == restarted(life, before) != set()
        assert len(said.restart) == 1

    lived(Web, script, kind=kind, edits={EDITED: Slow})


class Broken(Web):
    """It was well, once."""

    package = "web"
    broken: ClassVar[bool] = False

    def pods(self) -> list[Pod]:
        if type(self).broken:
            raise LookupError("no such pod")
        return super().pods()


@pytest.mark.parametrize("mended", ["all", "one", "none"])
def test_a_dry_run_of_a_new_file_judges_the_file_where_the_code_that_runs_raises(mended: str) -> None:
    class Mended(Web):
        package = "web"

        def pods(self) -> list[Pod]:
            if mended == "none":
                raise LookupError("nor such a pod")
            return super().pods()

        def task(self, member: Member) -> Declaration:
            new = mended == "all" or member.index == 0
            return Declaration(command=("serve", "new" if new else "old"))

    async def script(life: Life) -> None:
        await life.until_deployed()
        Broken.broken = True
        life.runner._look()
        await life.master.until(lambda: "no such pod" in life.master.plans["deploy"].reason)
        said = await life.master.preview_of(Update(version=EDITED))
        if mended == "none":
            assert said.declined.startswith("its code cannot say what it wants: LookupError: nor such a pod (test_pre")
            return
        assert set(said.restart) == ({"web-0", "web-1"} if mended == "all" else {"web-0"})
        assert (said.answer, said.declined) == ("accept", "")
        assert said.next.endswith(": accept")
        before = life.master.launches
        await over(life, life.master.upgrade(EDITED))
        assert restarted(life, before) == set(said.restart)

    Broken.broken = False
    lived(Broken, script, kind="kernel", edits={EDITED: Mended}, raises=True)


def test_a_dry_run_of_a_new_file_judges_the_file_where_the_code_that_runs_does_not_start() -> None:
    class Sick(Web):
        package = "web"

        async def on_start(self) -> None:
            raise LookupError("nothing was written down")

    async def script(life: Life) -> None:
        await life.master.until(lambda: "deploy" in life.master.plans)
        said: wire.Preview = await life.master.preview_of(Update(version=EDITED))
        assert (said.answer, said.come) == ("accept", ("web-0", "web-1"))

    lived(Sick, script, kind="kernel", edits={EDITED: Better}, raises=True)


def test_who_does_not_answer_in_time_is_asked_again_without_harm(live: Live) -> None:
    class Busy(Plain):
        async def may_update(self, update: Any, why: Operation) -> Verdict:
            await asyncio.sleep(3600)
            return accept()

    async def script(life: Life) -> None:
        await life.until_deployed()
        said = (await life.master.preview(count=4)).answer
        late = f"no answer yet: it has not answered within {life.code.answer_timeout_s:g} s"
        assert said.startswith(late)
        assert said.endswith("asking again is harmless")

    live(Busy, script, cluster={"nodes": 5})
