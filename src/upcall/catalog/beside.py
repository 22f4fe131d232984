"""What goes with a machine on which several members are. Pure."""

from collections.abc import Iterable

from upcall.service import Member, Operation, Verdict, hopeless

MACHINES = "with three machines or more no two copies are on one: `upcall node add`, then `upcall scale`"


def held_with(members: Iterable[Member], why: Operation) -> tuple[Member, ...]:
    """Whom the same drain holds on the same machine."""
    return tuple(each for each in members if why.parent and each.state == "held" and each.node == why.node)


def comes_back_with_it(reason: str, held: Iterable[Member]) -> Verdict:
    """To the stop of the next one there: those come back once the drain is over, and it waits for this stop."""
    names = [each.name for each in held]
    are = "is" if len(names) == 1 else "are"
    return hopeless(f"{reason}; {', '.join(names)} {are} held by the same drain", would_help=MACHINES)
