"""The operation that a change of options makes is called what it is, and carried out by the same rules."""

from typing import Annotated, Any

from sample_services import Plain

from upcall.service import Declaration, Field, Member, Pod, Resources, amount, size
from upcall.testing import Life, SimulatedKind, live


class Sized(Plain):
    """Its package says which options are sizes."""

    class Options(Plain.Options):
        count: Annotated[int, size("web")] = Field(2, ge=1, le=9)
        others: int = 1
        memory_mib: Annotated[int, amount("memory")] = 64
        cpus: Annotated[float, amount("cpus")] = 0.1
        greeting: str = "hello"

    options: Options

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count), Pod("other", count=self.options.others)]

    def task(self, member: Member) -> Declaration:
        resources = Resources(memory_mib=self.options.memory_mib, cpus=self.options.cpus)
        return Declaration(command=("serve", self.options.greeting), resources=resources)


async def changed(life: Life, kind: str, **options: Any) -> None:
    """It is shown as that before, is that on record, and comes to its end."""
    assert (await life.master.preview(**options)).answer == "accept"
    await over(life, life.master.change(**options), kind)


async def over(life: Life, operation: str, kind: str) -> None:
    await life.master.until(lambda: life.master.operations[operation].state not in ("open", "executing"))
    found = life.master.operations[operation]
    assert (found.kind, found.klass, found.state) == (kind, "voluntary", "done"), life.master.plans


def test_what_only_changes_sizes_is_called_so(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await changed(life, "scale_out", count=4)
        assert life.master.launches.count("web-3.1") == 1
        assert "web-0.2" not in life.master.launches, "nobody restarts for it"
        await changed(life, "grow", memory_mib=96, cpus=0.2)
        assert "web-3.2" in life.master.launches
        await changed(life, "shrink", cpus=0.1)
        await changed(life, "update", memory_mib=64, cpus=0.3)  # less of one, more of the other
        await changed(life, "update", count=5, memory_mib=96)
        await changed(life, "update", count=4)  # its steps are called scale_in
        assert [(op.member, op.state) for op in life.master.operations.values() if op.kind == "scale_in"] == [
            ("web-4", "done")
        ]
        await changed(life, "update", others=2)  # its package does not say that this is a size
        await changed(life, "update", greeting="servus")
        await over(life, life.master.rollback(), "update")
        await over(life, life.master.rollback(to=1), "update")
        await over(life, life.master.rollback(to=2), "scale_out")

    live(Sized, script, kind=kind, nodes=6)


def test_what_comes_has_a_place_or_is_declined_as_any_change() -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        too_large = life.master.change(count=9)
        await life.master.until(lambda: life.master.operations[too_large].state == "declined")
        assert life.master.operations[too_large].kind == "scale_out"
        larger = life.master.change(memory_mib=9000)
        await life.master.until(lambda: life.master.operations[larger].state == "declined")
        assert life.master.operations[larger].kind == "grow"
        assert "no place for web-0, web-1, other-0: needs" in life.master.answers[-1].reason
        assert life.master.answers[-1].by_system, "the service was not asked"
        assert life.master.known.record.revision == 1, "nothing of it stands"
        await changed(life, "shrink", memory_mib=48)
        await changed(life, "scale_out", count=3)

    live(Sized, script, kind="kernel", nodes=3)


def test_one_that_was_cancelled_or_is_put_in_anothers_place_keeps_its_name(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.slow("web-1")
        grows = life.master.change(memory_mib=96)
        await life.master.until(lambda: "web-1.2" in life.master.launches)
        life.master.control(grows, "cancel")
        await life.master.until(lambda: life.master.operations[grows].state == "withdrawn")
        life.master.make_ready("web-1")
        await over(life, life.master.rollback(), "shrink")

    live(Sized, script, kind=kind, nodes=4)
