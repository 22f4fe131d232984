"""The guard: known ready members against the minimum. It lies below every consent.

Let *untaken* be the members known ready that no begun operation takes away. What is not known to be ready counts as
down, and so does what a begun operation takes, and who is ready but whose service has not yet done what it does then
(:mod:`upcall.operations.hooks`). So right after a recovery of the master, when nothing is known, nothing may stop.

- The target is ready or may be, or the operation keeps it away: the other untaken ones must reach the minimum. It may
  be while nobody has said yet what it is: whoever runs it does, or its node is silent.
- The target is not ready and will be given back: taking it costs nothing, but no other operation of the service may
  have begun. (So two members in a long pause are never both killed at once.) What brings back a member that ends by
  itself again and again does not count: it takes nothing, and may go on for ever. Nor does what has begun and whose
  end waits for the minimum (:mod:`upcall.operations.ends`): it waits for the very member that this gives back. Nor does
  what this operation takes the place of (:mod:`upcall.operations.superseding`).
- What begins with a launch beside the one that runs takes nothing (:mod:`upcall.operations.beside`), also while it has
  begun and waits for its place.

Members that do not count for the minimum (a job beside a service) cost nothing and save nothing.

Waived for uninstall and shutdown; skipped when a person forced the operation, when it is only told, and when its
window ended with ``force``. Coming back in place after a loss takes nothing away and passes: a quorum whose members
all died must be able to start together.
"""

from upcall.operations import beside, ends, looping, superseding
from upcall.operations.book import Book
from upcall.operations.minimum import shortfall
from upcall.operations.records import Operation
from upcall.operations.table import KINDS


def objection(book: Book, operation: Operation) -> str:
    """Why the guard holds the operation; empty when it passes."""
    row = KINDS[operation.kind]
    service = book.services.get(operation.target.service)
    if service is None or row.waives_minimum or row.shape == "plan":
        return ""
    if beside.takes_nothing(book, operation):
        return ""
    targets = book.covered(operation)
    if targets and not any(target.counts for target in targets):
        return ""
    if any(book.ready(target) or ends.unknown(book, target) for target in targets) or _keeps_away(operation):
        return shortfall(book, operation)
    return _alone(book, operation)


def _keeps_away(operation: Operation) -> bool:
    row = KINDS[operation.kind]
    return row.shape in ("away", "removal") and not row.gives_back


def _alone(book: Book, operation: Operation) -> str:
    for other in book.live(operation.target.service):
        waits = other.begun and other.id != operation.id and KINDS[other.kind].shape != "plan"
        if waits and not _lets_pass(book, other, operation):
            return f"{other.id} ({other.kind} of {', '.join(other.target.members)}) has begun: one at a time"
    return ""


def _lets_pass(book: Book, other: Operation, operation: Operation) -> bool:
    if looping.loops(book, other) or ends.takes_nothing_yet(book, other) or beside.only_ends(book, other):
        return True
    return _takes_the_place_of(book, operation, other)


def _takes_the_place_of(book: Book, operation: Operation, other: Operation) -> bool:
    """Then that one is withdrawn as this one begins, and there is one as before."""
    found = [book.members.get(f"{other.target.service}.{name}") for name in other.target.members]
    return operation.target.members == other.target.members and all(
        member is not None and superseding.gives_way(book, other, operation, member) for member in found
    )
