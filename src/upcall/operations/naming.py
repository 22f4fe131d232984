"""Who is named in what is asked: a member of its service, or the refusal that says who is one."""

from upcall.operations.book import Book
from upcall.operations.effects import Refused
from upcall.operations.records import MemberRecord


def member_of(book: Book, service: str, name: str, *, where: str = "member") -> MemberRecord | Refused:
    found = book.members.get(f"{service}.{name}")
    if found is not None and found.removed is None:
        return found
    return Refused(
        code="not_found",
        message=f"{service} has no member {name!r}",
        where=where,
        expected=", ".join(member.name for member in book.members_of(service)),
    )
