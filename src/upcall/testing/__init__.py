"""A service's whole life without machines: its own code, the real ledger, and a simulated cluster, in virtual time.

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_drain_holds_a_member_and_gives_it_back(kind):
        async def script(life):
            await life.until_deployed()
            drain = life.master.drain(life.master.node_of("web-1"))
            await life.master.until(lambda: life.master.operations[drain].state == "done")
            assert life.master.state("web-1") == "held"

        live(Hello, script, kind=kind, options={"count": 2})

The cluster is one on which we place (``kernel``), one on which somebody else does (``delegated``), or a played
Kubernetes (``kubernetes``): a service that is right on one only knows too much. Addresses change at every restart;
messages may be lost and repeated; nodes fall silent, machines die, others end tasks unasked. Ten minutes of deferrals
take milliseconds.

One question and its answer, with no cluster at all, is a :class:`Scenario`.
"""

from upcall.testing.life import KINDS, Life, Script, live
from upcall.testing.master import SimulatedMaster
from upcall.testing.scenario import Outcome, Scenario, operation
from upcall.testing.simulated import SimulatedKind, Timing
from upcall.testing.virtual import VirtualLoop, run

__all__ = [
    "KINDS",
    "Life",
    "Outcome",
    "Scenario",
    "Script",
    "SimulatedKind",
    "SimulatedMaster",
    "Timing",
    "VirtualLoop",
    "live",
    "operation",
    "run",
]
