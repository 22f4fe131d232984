"""Services that say the same to whatever they are asked, in the word that fits the question; and what more than one
test of a world looks at."""

from msgspec.structs import replace

from upcall.operations import inputs as given
from upcall.operations.records import AFTER_A_LOSS, BEFORE, Operation
from upcall.operations.views import PendingSet
from upcall.testing.simulated import SimulatedSubstrate
from upcall.testing.world import World


def fitting(operation: Operation, answer: given.Answer) -> given.Answer:
    """Who agrees has a lost member restarted; who does not, puts it off."""
    words = AFTER_A_LOSS if operation.kind == "lost" else BEFORE
    if answer.verdict in words:
        return answer
    return replace(answer, verdict="restart" if answer.verdict == "accept" else "defer")


def accept_all(pending: PendingSet) -> dict[str, given.Answer]:
    accept = given.Answer(verdict="accept")
    return {one.operation.id: fitting(one.operation, accept) for one in pending.operations if one.asked}


def held_next(world: World) -> dict[str, tuple[str, int]]:
    """Next places that are held on a cluster that we place on: member -> node, and the number of the place."""
    assert isinstance(world.substrate, SimulatedSubstrate)
    return world.substrate._next
