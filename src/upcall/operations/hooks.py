"""Ready is not back: what a service does once a member is ready.

A service may have something to do for each incarnation that is ready (a broker joins the quorum again; ``after_ready``
in the SDK). Until its code says that this is done, the member is ready and does not count: not for the guard, not for
an acceptance, not for the end of the restart that brought it. What is done is one write, on the member, so neither a
restart of the master nor one of the host forgets it; what was not heard is done again.
"""

from msgspec.structs import replace

from upcall.operations.book import REASON_CHARS_MAX, Book
from upcall.operations.effects import Refused
from upcall.operations.inputs import Back
from upcall.operations.memory import HookFailed
from upcall.operations.naming import member_of
from upcall.operations.news import MemberBack
from upcall.operations.records import MemberRecord


def returned(book: Book, given: Back) -> Refused | None:
    member = member_of(book, given.service, given.member)
    if isinstance(member, Refused):
        return member
    if given.incarnation != member.incarnation or member.back >= member.incarnation:
        return None  # Of the past, or said again.
    if given.error:
        _failed(book, member, HookFailed(incarnation=given.incarnation, error=_cut(given.error)))
    else:
        book.memory.members[member.key].hook = None
        book.put(replace(member, back=member.incarnation))
        book.emit(MemberBack(service=member.service, member=member.name, incarnation=member.incarnation))
    return None


def _failed(book: Book, member: MemberRecord, failed: HookFailed) -> None:
    """Told once for each reason; it is called again, ever more slowly, for hours if need be."""
    memory = book.memory.members[member.key]
    if memory.hook == failed:
        return
    memory.hook = failed
    book.emit(
        MemberBack(service=member.service, member=member.name, incarnation=failed.incarnation, error=failed.error)
    )
    book.mark(member.service)


def _cut(error: str) -> str:
    return error[:REASON_CHARS_MAX]
