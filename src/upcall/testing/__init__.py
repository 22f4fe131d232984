"""A service's whole life without machines: its own code, the real ledger, and a simulated cluster, in virtual time.

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_drain_holds_a_member_and_gives_it_back(kind):
        async def script(life):
            await life.until_deployed()
            drain = life.master.drain(life.master.node_of("web-1"))
            await life.master.until(lambda: life.master.operations[drain].state == "done")
            assert life.master.state("web-1") == "held"

        live(Hello, script, kind=kind, options={"count": 2})

The cluster is one on which we place (``kernel``) or one on which somebody else does (``delegated``): a service that is
right on one only knows too much. Addresses change at every restart; messages may be lost and repeated; nodes fall
silent, machines die, others end tasks unasked. Ten minutes of deferrals take milliseconds.

For one question and its answer, with no cluster at all, see :class:`upcall.service.testing.Scenario`.
"""

from upcall.service.testing import Scenario, operation, run
from upcall.substrate.simulated import SimulatedKind, Timing
from upcall.testing.life import KINDS, Life, Script, live
from upcall.testing.master import SimulatedMaster

__all__ = [
    "KINDS",
    "Life",
    "Scenario",
    "Script",
    "SimulatedKind",
    "SimulatedMaster",
    "Timing",
    "live",
    "operation",
    "run",
]
