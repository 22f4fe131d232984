"""More or less for each member: where the machines can give it while the member runs they do, at one first; elsewhere
the member restarts. What a machine has no room for is said in its own words."""

import asyncio
from typing import Annotated, Any

import pytest
from sample_services import Plain

from upcall.service import Declaration, Field, Member, OptionChange, Pod, Resources, amount, in_place, live
from upcall.testing import Life, SimulatedKind
from upcall.testing import live as lives
from upcall.testing.kubernetes import PlayedKubernetes

MEMBERS = ("web-0", "web-1", "web-2")
ON_NODES: tuple[SimulatedKind, ...] = ("kubernetes",)


class Sized(Plain):
    """It takes more or less of both as it runs."""

    settle_s = 5.0

    class Options(Plain.Options):
        memory_mib: Annotated[int, amount("memory"), in_place] = 64
        cpus: Annotated[float, amount("cpus"), in_place] = 0.1
        threads_each: int = 0
        level: Annotated[str, live] = "info"
        greeting: str = Field("hello")

    options: Options

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.told: list[str] = []

    def pods(self) -> list[Pod]:
        return [Pod("web", count=3)]

    def task(self, member: Member) -> Declaration:
        options = self.options
        resources = Resources(memory_mib=options.memory_mib, cpus=options.cpus)
        threads = f"{options.threads_each * options.memory_mib}"
        return Declaration(command=("serve", options.greeting, options.level, threads), resources=resources)

    async def apply_live_at(self, member: Member, changes: tuple[OptionChange, ...]) -> None:
        self.told += [f"{member.name} {change.name}" for change in changes]


def cluster(life: Life) -> PlayedKubernetes:
    found = life.master.cluster
    assert isinstance(found, PlayedKubernetes)
    return found


def has(life: Life) -> dict[str, str]:
    """Memory that members' containers really have."""
    found = [one for one in cluster(life).kubelets.containers.values() if one.alive]
    return {one.task.member: one.has["limits"]["memory"] for one in found}


async def over(life: Life, operation: str, state: str = "done") -> None:
    await life.master.until(lambda: life.master.operations[operation].state not in ("open", "executing"))
    found = life.master.operations[operation]
    assert found.state == state, life.master.plans
    await life.master.until(lambda: life.plan_state("update") == state)


def test_who_grows_and_shrinks_runs_on_where_that_can_be_and_restarts_elsewhere(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.master.launches
        assert (await life.master.preview(memory_mib=96)).live == (MEMBERS if kind == "kubernetes" else ())
        for size in (96, 48):
            operation = life.master.change(memory_mib=size)
            await over(life, operation)
            assert life.master.operations[operation].kind == ("grow" if size == 96 else "shrink")
            if kind == "kubernetes":
                assert has(life) == dict.fromkeys(MEMBERS, f"{size}Mi")
        restarted = life.master.launches[len(before) :]
        assert len(restarted) == (0 if kind == "kubernetes" else 6)
        life.master.crash("web-1")
        await life.master.until(lambda: life.master.state("web-1") == "ready" and "web-1.2" in life.master.launches)
        if kind == "kubernetes":
            assert has(life)["web-1"] == "48Mi", "its next start has what it was given"

    lives(Sized, script, kind=kind)


@pytest.mark.parametrize("kind", ON_NODES)
def test_one_is_given_it_first_and_the_others_when_it_has_stayed_well(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        operation = life.master.change(memory_mib=96, level="debug")
        await life.master.until(lambda: "96Mi" in has(life).values())
        await asyncio.sleep(2)
        assert sorted(has(life).values()) == ["64Mi", "64Mi", "96Mi"]
        await over(life, operation)
        assert sorted(life.code.told) == [f"{name} level" for name in MEMBERS], "of a size nobody is told"

    lives(Sized, script, kind=kind)


@pytest.mark.parametrize("kind", ON_NODES)
def test_what_else_follows_from_it_takes_a_restart(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(memory_mib=96))
        before = life.master.launches
        assert (await life.master.preview(memory_mib=128)).live == ()
        await over(life, life.master.change(memory_mib=128))
        assert len(life.master.launches) == len(before) + 3

    lives(Sized, script, kind=kind, options={"threads_each": 1})


@pytest.mark.parametrize("kind", ON_NODES)
@pytest.mark.parametrize(
    ("by_the_server", "words"),
    [
        (True, "is forbidden: node didn't have enough allocatable resources: memory"),
        (False, "Infeasible: Node didn't have enough capacity: memory"),
    ],
)
def test_what_a_node_can_never_give_fails_the_update_in_its_words_and_is_taken_back(
    kind: SimulatedKind, by_the_server: bool, words: str
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        cluster(life).api.refuses_too_much = by_the_server
        before = life.master.launches
        await over(life, life.master.change(memory_mib=10**8), "failed")
        reason = life.master.plans["update"].reason
        assert "web-2 cannot be given it where it runs: " in reason
        assert words in reason
        await life.master.until(lambda: all(one.resize is None for one in cluster(life).kubelets.containers.values()))
        wanted = {pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in cluster(life).api.all("Pod")}
        assert wanted == {"64Mi"}
        assert life.master.launches == before, "nobody was touched"

    lives(Sized, script, kind=kind)


@pytest.mark.parametrize("kind", ON_NODES)
def test_what_a_node_has_no_room_for_now_is_waited_for_and_said(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        machines = cluster(life).kubelets.machines
        room = max(machine.description.memory_mib for machine in machines.values())
        cluster(life).kubelets.taken = room - 80
        operation = life.master.change(memory_mib=96)
        waits = "web-2 is given what it is to have: Deferred: Node didn't have enough resource: memory"

        def said() -> bool:
            steps = life.steps("update") if "update" in life.master.plans else {}
            return any(waits in reason for _, reason in steps.values())

        await life.master.until(said)
        cluster(life).kubelets.taken = 0
        await over(life, operation)
        assert has(life) == dict.fromkeys(MEMBERS, "96Mi")

    lives(Sized, script, kind=kind)


@pytest.mark.parametrize("kind", ON_NODES)
@pytest.mark.parametrize("who", ["host", "master"])
def test_who_dies_while_it_is_given_goes_on_with_it(kind: SimulatedKind, who: str) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.master.launches
        operation = life.master.change(memory_mib=96)
        await life.master.until(lambda: "96Mi" in has(life).values())
        if who == "host":
            await life.kill_host()
            life.start_host()
        else:
            life.master.die()
        await over(life, operation)
        assert has(life) == dict.fromkeys(MEMBERS, "96Mi")
        assert set(life.master.launches) == set(before), "what is wanted is told again, and it is the same"

    lives(Sized, script, kind=kind)
