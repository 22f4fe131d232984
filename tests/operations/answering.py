"""Services that say the same to whatever they are asked, in the word that fits the question."""

from msgspec.structs import replace

from upcall.operations import inputs as given
from upcall.operations.records import AFTER_A_LOSS, BEFORE, Operation
from upcall.operations.views import PendingSet


def fitting(operation: Operation, answer: given.Answer) -> given.Answer:
    """Who agrees has a lost member restarted; who does not, puts it off."""
    words = AFTER_A_LOSS if operation.kind == "lost" else BEFORE
    if answer.verdict in words:
        return answer
    return replace(answer, verdict="restart" if answer.verdict == "accept" else "defer")


def accept_all(pending: PendingSet) -> dict[str, given.Answer]:
    accept = given.Answer(verdict="accept")
    return {one.operation.id: fitting(one.operation, accept) for one in pending.operations if one.asked}
