"""What is wanted of a member takes the place of what only brings it back.

Bringing back takes as long as it takes, and may never end by itself: a member crashes again and again, or never becomes
ready. So no wish waits behind it. While the member is not ready, ``stop``, ``vacate``, ``replace``, ``move``,
``scale_in`` and ``uninstall`` supersede it, and so does a ``restart`` that a person forced, that a plan needs, or that
brings a newer declaration than the one that was launched: the one that brings back is withdrawn, and the wish begins.
Before the old incarnation has ended there is nothing to supersede: the wish waits for that end, which is its own.

An uninstall also takes the place of a removal that still prepares, and of what has taken nothing yet (an end that waits
until enough others are ready, a launch elsewhere that waits for its place): nobody waits for data to be moved, for a
minimum or for a place within a service that goes.
"""

from upcall.operations import ends
from upcall.operations.book import Book
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import KINDS


def behind(book: Book, wish: Operation, member: MemberRecord) -> Operation | None:
    """The begun operation on the member that the wish waits for, if it waits for one."""
    begun = book.begun_on(member)
    if begun is None or begun.id == wish.id or gives_way(book, begun, wish, member):
        return None
    return begun


def gives_way(book: Book, begun: Operation, wish: Operation, member: MemberRecord) -> bool:
    if wish.kind == "uninstall":
        return KINDS[begun.kind].shape == "back" or begun.state == "preparing" or ends.takes_nothing_yet(book, begun)
    if KINDS[begun.kind].shape != "back" or not _still_away(book, begun, member):
        return False
    if wish.kind == "restart":
        newer = 0 < member.launched < member.next_generation
        return wish.class_ != "cure" and (wish.forced is not None or bool(wish.parent) or newer)
    return KINDS[wish.kind].shape in ("away", "removal")


def _still_away(book: Book, back: Operation, member: MemberRecord) -> bool:
    """What it was to end has ended, and what it brings is not ready."""
    ended = member.over or member.incarnation > back.target.incarnation_of(member.name)
    return ended and not book.ready(member)
