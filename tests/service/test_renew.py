"""What an expert does about a member that ends again and again: asked anew, it has it started with empty volumes."""

from upcall.protocol.declaration import Constraints, Declaration, Resources, Volume
from upcall.service import Member, Operation, Pod, Policy, Service, ServiceOptions, Verdict, renew, restart
from upcall.testing import Life, live
from upcall.testing.simulated import SimulatedKind


class Store(Service):
    """Its members do not start on what was damaged, and all that they hold is elsewhere too."""

    package = "store"

    class Options(ServiceOptions):
        pass

    options: Options

    def pods(self) -> list[Pod]:
        return [Pod("m", count=3)]

    def policy(self) -> Policy:
        return Policy(minimum=2, at_most=1, silence="hold", holds_data=True)

    def task(self, member: Member) -> Declaration:
        return Declaration(
            command=("serve",),
            volumes=(Volume(name="data", size_mib=10),),
            resources=Resources(cpus=0.1, memory_mib=10, disk_mib=10),
            constraints=Constraints(apart="m"),
        )

    async def on_lost(self, member: Member, why: Operation) -> Verdict:
        if member.ended_times >= 5:
            return renew(f"{member.name} ended {member.ended_times} times: {member.seen.exit_reason}")
        return restart()


def test_its_service_is_asked_again_and_has_it_renewed_where_no_other_node_is(kind: SimulatedKind) -> None:
    places: list[int] = []

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.cluster.crashing.add("store.m-1")
        life.master.crash("m-1")
        await life.master.until(lambda: life.master.members["m-1"].place == 2)
        life.master.cluster.crashing.clear()
        await life.master.until_ready("m-1")
        places.append(life.master.members["m-1"].place)

    live(Store, script, kind=kind, nodes=3)
    assert places == [2]
