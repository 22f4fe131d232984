"""A change of a running service (``update``, ``upgrade``) goes in steps below it, and no member gets what is new before
its turn has come.

What a member gets with its next incarnation is its *target*. A later revision that is declared leaves it as it is, so a
crash in the middle brings what the member had. A step (a ``restart`` below the change) brings the newest, in the write
that launches. What is down when its turn comes needs no step: it takes the newest over, and whatever brings it back
brings that; nothing is taken for it, so nobody is asked.

Steps lie below a plan that has begun and goes on. Of one that went no further they bring nothing new: the newest is not
known to be any good, or is another one's.
"""

from upcall.operations import consents, looping, members
from upcall.operations.book import Book
from upcall.operations.effects import Refused
from upcall.operations.inputs import Propose
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import CHANGES, KINDS, ONE_AT_A_TIME


def another_change(book: Book, given: Propose) -> Refused | None:
    """One at a time: the second is told whose stands, unless it is wanted in its place. What goes is not changed."""
    if (refused := of_what_goes(book, given.service)) is not None:
        return refused
    standing = next((o for o in book.live(given.service) if o.kind in ONE_AT_A_TIME), None)
    goes_on = standing is not None and standing.kind == "finalize" and standing.begun
    if standing is None or (given.instead and not goes_on):
        return None
    what = standing.kind if standing.kind == "finalize" else f"{standing.kind} to revision {standing.revision}"
    ways = "" if goes_on else f", `upcall operation cancel {standing.id}`"
    return Refused(
        code="conflict",
        message=f"{given.service} is being changed: {standing.id} ({what}), asked by {standing.asked_by}, "
        f"is {standing.state}",
        where=given.service,
        expected=f"wait until it is over{ways}" + ("" if goes_on or given.kind == "finalize" else ", or --instead"),
    )


def of_what_goes(book: Book, service: str) -> Refused | None:
    """Nothing is carried out any more of a service that is being uninstalled."""
    going = goes(book, service)
    if going is None:
        return None
    return Refused(
        code="conflict",
        message=f"{service} is being uninstalled by {going.id}, asked by {going.asked_by}",
        where=service,
        expected="a service that stays",
    )


def goes(book: Book, service: str) -> Operation | None:
    """The uninstall that has begun."""
    return next((o for o in book.live(service) if o.kind == "uninstall" and o.begun), None)


def objection(parent: Operation) -> Refused | None:
    """What stands against a step below it; its service is known to be the same."""
    if KINDS[parent.kind].shape != "plan":
        return Refused(
            code="invalid",
            message=f"{parent.id} ({parent.words()}) has no steps",
            where="parent",
            expected="a plan of the service that has begun: " + ", ".join(CHANGES),
        )
    if parent.kind in CHANGES and not parent.begun:
        return Refused(
            code="conflict",
            message=f"{parent.id} ({parent.words()}) has not begun",
            where="parent",
            expected="its steps after its begin",
        )
    return None


def of_what_is_down(book: Book, parent: str, member: MemberRecord, bringing: Operation) -> Operation | None:
    """The step is wanted of a member that comes back by an operation: that one brings the newest, at once. Who wants
    it is the service, so it says what follows a loss, too. Nothing, where it is no step of a change."""
    change = book.operations.get(parent)
    if change is None or change.kind not in CHANGES:
        return None
    if member.behind and change.paused is None:
        members.take_newest(book, member)
        looping.try_now(book, member)
        if bringing.state == "open":
            consents.answered_by_a_step(book, bringing, f"its turn in {change.id} has come")
    return bringing
