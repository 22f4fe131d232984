"""A mistake in an expert's code is told with his own file and line, where it is looked for, and fails its test."""

import asyncio
from pathlib import Path

import pytest

from upcall.service import Declaration, Member, Operation, Pod, Service, Verdict, accept, defer
from upcall.testing import KINDS, Life, Scenario, SimulatedKind, live, operation

HERE = Path(__file__).name
both_kinds = pytest.mark.parametrize("kind", KINDS)


class Mistyped(Service):
    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.cuont)]  # type: ignore[attr-defined]


class Misspelt(Service):
    def task(self, member: Member) -> Declaration:
        return Declaration(comand=("serve",))  # type: ignore[call-arg]


class Unreasoned(Service):
    def task(self, member: Member) -> Declaration:
        return Declaration(command=("serve",))

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        return defer("") if why else accept()


class Raising(Unreasoned):
    async def after_ready(self, member: Member) -> None:
        raise KeyError(member.name)


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_a_mistyped_option_fails_a_scenario_with_its_line() -> None:
    where = rf"{HERE}:{line_of('self.options.cuont')} in pods"
    with pytest.raises(AssertionError, match=rf"no attribute 'cuont'.*\({where}\)"):
        Scenario(Mistyped, fresh=True).run()


def test_a_wrong_keyword_names_the_valid_ones_also_in_the_plan_that_people_see() -> None:
    outcome, faults = Scenario(Misspelt, fresh=True).broken()
    words = outcome.plans["deploy"].reason
    assert "Unexpected keyword argument 'comand'; it takes command, artifacts, env, files, volumes, ports" in words
    assert f"({HERE}:{line_of('comand=')} in task)" in words
    assert [fault.words for fault in faults] == [words]


def test_a_question_that_raises_fails_a_scenario() -> None:
    with pytest.raises(AssertionError, match=r"stop of server-0: ValueError: defer\(\) needs a reason.*in may_stop"):
        Scenario(Unreasoned, operations=[operation("stop", "server-0")]).run()


@both_kinds
def test_a_hook_that_raises_fails_a_life_unless_the_script_takes_it_out(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: life.faults)

    with pytest.raises(AssertionError, match=r"after_ready\(server-0\): KeyError: 'server-0' .*in after_ready"):
        live(Raising, script, kind=kind)

    async def forgiving(life: Life) -> None:
        await life.master.until(lambda: life.faults)
        life.kill_host()
        life.faults.clear()
        await asyncio.sleep(60)
        life.faults.clear()

    async def killed(life: Life) -> None:
        await forgiving(life)
        life.start_host()
        await life.master.until(lambda: life.faults)
        await life.kill_host()
        life.faults.clear()
        life.start_host()
        life.kill_host()

    live(Raising, killed, kind=kind)


@both_kinds
def test_a_script_that_waits_in_vain_is_told_where(kind: SimulatedKind) -> None:
    async def waits_for_nobody() -> None:
        await asyncio.get_running_loop().create_future()

    async def script(life: Life) -> None:
        await waits_for_nobody()  # here

    with pytest.raises(AssertionError, match=rf"it waits at {HERE}, line \d+: .*create_future"):
        live(Unreasoned, script, kind=kind)


@both_kinds
def test_members_are_gone_through_as_members_and_found_by_name(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        members = life.code.members
        assert [member.name for member in members] == ["server-0"]
        assert "server-0" in members
        assert members["server-0"] in members
        assert members.get("server-9") is None

    live(Unreasoned, script, kind=kind)
