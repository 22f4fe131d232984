"""A member that ends again and again.

It is started again after a pause that grows with each end (:func:`upcall.operations.members.launch_pause_s`). An
operation that brings it back does so for as long as its start deadline allows, but not more often than
:data:`TRIES_MAX` times; then it has failed, and the loss that follows asks its service what next, with how it ended at
hand: again, elsewhere, anew with empty volumes, or wait. A person is told once for each loop, not for each of its
operations, and what ends by itself over and over holds nobody else's cure.
"""

from typing import Final

from msgspec.structs import replace

from upcall.operations import members
from upcall.operations.book import Book
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import KINDS

TRIES_MAX: Final = 5
"""Launches that end, until the operation that made them has failed."""
LOOPS_FROM: Final = 3
"""Ends in short succession from which a member is said to loop: two may be bad luck."""


def loops(book: Book, operation: Operation) -> bool:
    """It brings back what ends by itself again and again: to take something else away meanwhile costs nothing more."""
    if KINDS[operation.kind].shape != "back":
        return False
    found = [book.members.get(f"{operation.target.service}.{name}") for name in operation.target.members]
    return all(member is not None and members.ends_again(book, member) >= LOOPS_FROM for member in found)


def came_to_nothing(book: Book, member: MemberRecord) -> bool:
    """What was to bring it back has failed, or would: its service is asked anew, whatever the policy says of a first
    end."""
    if member.without_data:
        return True
    cause = book.operations.get(member.ended_by)
    return cause is not None and KINDS[cause.kind].shape == "back" and cause.state == "failed"


def try_now(book: Book, member: MemberRecord) -> None:
    """A person does not wait for the pause; the next one is as long as it would have been."""
    crashes = book.memory.members[member.key].crashes
    if crashes is not None:
        book.memory.members[member.key].crashes = replace(crashes, last_s=book.now_s - members.LONG_PAUSE_S)
        book.mark(member.service)


def alarm(book: Book, operation: Operation) -> tuple[float, str] | None:
    """When a person is told of the loop that the operation is about, and in which words."""
    if not loops(book, operation):
        return None
    member = book.members[f"{operation.target.service}.{operation.target.members[0]}"]
    crashes = book.memory.members[member.key].crashes
    assert crashes is not None
    words = f"{member.key} ended {crashes.count} times within {crashes.last_s - crashes.first_s:.0f} s"
    return crashes.first_s + book.policy(member.service).stuck_after_s, f"{words}: {member.ended_how}"


def is_told(book: Book, operation: Operation) -> bool:
    memory = book.memory.members.get(f"{operation.target.service}.{operation.target.members[0]}")
    return memory is not None and memory.crashes is not None and memory.crashes.told


def note_told(book: Book, operation: Operation) -> None:
    memory = book.memory.members[f"{operation.target.service}.{operation.target.members[0]}"]
    assert memory.crashes is not None
    memory.crashes = replace(memory.crashes, told=True)
