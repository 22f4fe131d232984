"""One look at a service asks its code for each thing once, and what it makes is of one moment."""

from collections import Counter

import pytest

from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Invalid
from upcall.service import Member, Phase, Pod, Service
from upcall.service.wanted import Checked
from upcall.testing import KINDS, Life, Scenario, SimulatedKind, live


class Counted(Service):
    """Counts what it is asked for."""

    last: "Counted"

    def __init__(self, context: object = None) -> None:
        super().__init__(context)  # type: ignore[arg-type]
        self.asked: Counter[str] = Counter()
        self.env: dict[str, str] = {}
        Counted.last = self

    def pods(self) -> list[Pod]:
        self.asked["pods"] += 1
        return [Pod("a", count=3), Pod("b", count=2, strategy="serial")]

    def deploy(self) -> list[Phase]:
        self.asked["looks"] += 1
        return super().deploy()

    def task(self, member: Member) -> Declaration:
        self.asked["tasks"] += 1
        assert len(self.members) == 5
        assert member.name in self.pod(member.pod).member_names
        return Declaration(command=("run", member.name), env=self.env)


def test_pods_are_asked_for_once_a_look_and_each_task_is_made_once_for_each_of_its_places() -> None:
    declared = Scenario(Counted, fresh=True).run().declared
    assert declared is not None
    assert len(declared.members) == 5
    asked = Counted.last.asked
    assert asked["looks"] > 0
    assert asked["pods"] == asked["looks"]
    assert asked["tasks"] == asked["looks"] * 5 * 2


@pytest.mark.parametrize("kind", KINDS)
def test_declarations_travel_once_however_many_starts_follow(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert life.master.calls.count("PUT members") == 1
        assert life.master.calls.count("PUT starts") > 2

    live(OneByOne, script, kind=kind)


class OneByOne(Service):
    """Its members start one after the other."""

    def pods(self) -> list[Pod]:
        return [Pod("a", count=3, strategy="serial")]

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("run", member.name))


def test_a_declaration_is_checked_anew_when_the_code_has_changed_it_in_place() -> None:
    service, checked = Counted(), Checked()
    pod, member = service.pods()[0], service.members["a-0"]
    first = checked.declaration(service, pod, member)
    assert checked.declaration(service, pod, member) is first
    service.env["X"] = "1"
    assert checked.declaration(service, pod, member).env == {"X": "1"}
    service.env["X"] = 1  # type: ignore[assignment]
    with pytest.raises(Invalid, match="the task of a-0 is no declaration"):
        checked.declaration(service, pod, member)
