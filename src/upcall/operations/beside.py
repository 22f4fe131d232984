"""Two at once: a member that may run twice is brought up elsewhere before what runs is ended.

Where its declaration allows two of it at the same time (``two_at_once``), an operation that brings the member up at
another place launches it there first, *beside* the one that runs. From that launch on the member is the new incarnation
in every respect: that one is cured, lost, stopped, counted once it is back. The old one is *leaving*: it serves and
counts nowhere, so two of one member are never counted as two. What launched the new one is over when the old one has
ended, and takes nothing of the member any more: no wish and no cure waits behind it.

The old one is ended when the new one is back; or when nothing is to come any more (the member is held, at its end, goes
for good, or the system goes down); or when a person, or the end of a window that decides, wants no more waiting. It is
not prepared (``before_stop``): the new one does its work already. Its place stays reserved until it has ended.

So no launch of such a kind meets the minimum: nothing is taken until as much is there. And since two at once do no
harm, nothing waits for the proof that an old one on a silent node is dead: what is left of it is ended when its node
returns.
"""

from msgspec.structs import replace

from upcall.operations import members, places
from upcall.operations.book import Book
from upcall.operations.dependents import dependents_down
from upcall.operations.effects import EndTask, Launch, Reserve
from upcall.operations.news import TaskEnded
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import KINDS
from upcall.operations.windows import window_end_s, window_over


def comes_first(book: Book, operation: Operation, member: MemberRecord) -> bool:
    """The operation brings the member up elsewhere before it ends what runs: as far as is known."""
    if KINDS[operation.kind].gives_back != "elsewhere" or operation.takes or operation.forced is not None:
        return False
    if not member.two_at_once or member.restart != "always":
        return False
    if member.leaving is not None or member.over or book.shutdown() is not None:
        return False
    if operation.state == "executing" and operation.target.incarnation_of(member.name) != member.incarnation:
        return False
    unknown = operation.begun and book.seen(member) is None and book.node_hears(member)
    return (book.well(member) or unknown) and not places.is_its_own(book, member)


def takes_nothing(book: Book, operation: Operation) -> bool:
    """It begins with a launch beside what runs."""
    found = [book.members.get(f"{operation.target.service}.{name}") for name in operation.target.members]
    return len(found) == 1 and found[0] is not None and comes_first(book, operation, found[0])


def waits_for_a_place(book: Book, operation: Operation) -> bool:
    """It has begun, and there is no place to launch at: until there is, what runs serves and counts as before."""
    if operation.state != "executing" or not takes_nothing(book, operation):
        return False
    return not places.held(book, book.members[f"{operation.target.service}.{operation.target.members[0]}"])


def has_left(operation: Operation, member: MemberRecord) -> bool:
    """The operation has brought the member up elsewhere, and only ends what is left of it."""
    elsewhere = KINDS[operation.kind].gives_back == "elsewhere"
    return elsewhere and 0 < operation.target.incarnation_of(member.name) < member.incarnation


def only_ends(book: Book, operation: Operation) -> bool:
    """All that it names has been brought up elsewhere: it takes nothing of the service any more."""
    found = [book.members.get(f"{operation.target.service}.{name}") for name in operation.target.members]
    return bool(found) and all(member is not None and has_left(operation, member) for member in found)


# -- the launch -----------------------------------------------------------------------------------------------------


def launch(book: Book, operation: Operation, member: MemberRecord) -> None:
    """One write: the next incarnation, at the place that is held for it, and which one leaves. Until there is such a
    place, and until it is known (again) that the old one is well, nothing happens."""
    if not places.held(book, member):
        places.hold(book, member)
    elif book.well(member):
        members.launch(book, member, by=operation.id, elsewhere=True, beside=True)


def stays(book: Book) -> list[MemberRecord]:
    """Members of which one leaves, and is not to end yet."""
    return [member for member in book.leaving() if ender(book, member) is None]


def launch_again(book: Book, member: MemberRecord) -> None:
    """After a start of the master: what leaves runs on."""
    if (leaving := member.leaving) is not None:
        book.emit(
            Launch(
                service=member.service,
                member=member.name,
                incarnation=leaving.incarnation,
                place=leaving.place,
                generation=leaving.launched,
            )
        )


# -- the end of what leaves -----------------------------------------------------------------------------------------


def ender(book: Book, member: MemberRecord) -> Operation | None:
    """The begun operation that ends what leaves, once its time has come."""
    leaving, shutdown = member.leaving, book.shutdown()
    if leaving is None:
        return None
    if shutdown is not None:
        return shutdown if dependents_down(book, member.service) else None
    for operation in book.live(member.service):
        if operation.state != "executing" or KINDS[operation.kind].shape != "removal":
            continue
        if not book.covers(operation, member):
            continue
        named = operation.target.incarnation_of(member.name) == leaving.incarnation
        if KINDS[operation.kind].releases or (named and not waits(book, operation, member)):
            return operation
    return None


def waits(book: Book, operation: Operation, member: MemberRecord) -> bool:
    """What leaves runs on, for the new one is not there yet and is to come."""
    if member.leaving is None or not has_left(operation, member) or book.ready(member):
        return False
    decides = operation.on_deadline in ("proceed", "force") and window_over(book, operation)
    if operation.forced is not None or decides:
        return False
    return members.runs_by(book, member) and not (member.over and members.held_by(book, member) is not None)


def held(book: Book, operation: Operation) -> str:
    """Why an operation that has begun has not ended what it names; empty when nothing keeps it."""
    found = (book.members.get(f"{operation.target.service}.{name}") for name in operation.target.members)
    member = next((m for m in found if m is not None and operation.begun and waits(book, operation, m)), None)
    if member is None or member.leaving is None:
        return ""
    return f"{member.key}.{member.leaving.incarnation} runs on until it is back elsewhere"


def signal(book: Book, member: MemberRecord) -> None:
    """Tells what leaves to end; once, and again when it is seen alive after all."""
    if (leaving := member.leaving) is None:
        return
    operation, memory = ender(book, member), book.memory.members[member.key]
    if operation is None:
        _look_when_a_window_decides(book, member)
    if operation is None or memory.leaving_signalled:
        return
    memory.leaving_signalled = True
    book.emit(
        EndTask(
            service=member.service,
            member=member.name,
            incarnation=leaving.incarnation,
            grace_s=member.grace_s,
            operation=operation.id,
            reason=operation.reason or operation.kind,
        )
    )


def _look_when_a_window_decides(book: Book, member: MemberRecord) -> None:
    """By the clock alone; all else that ends the wait is observed."""
    for operation in book.live(member.service):
        if operation.on_deadline in ("proceed", "force") and has_left(operation, member):
            end_s = window_end_s(book, operation)
            if end_s is not None:
                book.look_at(member.service, end_s)


def look(book: Book, service: str) -> None:
    """What leaves on a node that is gone is over; on one that is silent it is not waited for once it is to end."""
    for member in book.leaving_of(service):
        assert member.leaving is not None
        state = book.node_state(member.leaving.node)
        if state == "gone" or (state == "silent" and ender(book, member) is not None):
            over(book, member, f"node {member.leaving.node} is {state}; what remains is ended if it returns")


def over(book: Book, member: MemberRecord, how: str, *, exit_code: int | None = None) -> None:
    """The new place is the only one from now on."""
    assert member.leaving is not None
    incarnation, ended_by = member.leaving.incarnation, ender(book, member)
    by = ended_by.id if ended_by is not None else ""
    book.put(replace(member, leaving=None))
    book.memory.members[member.key].leaving_signalled = False
    if not member.at_its_end:
        places = {member.name: member.place}
        book.emit(Reserve(service=member.service, places=places, generations={member.name: member.launched}))
    book.emit(
        TaskEnded(
            service=member.service,
            member=member.name,
            incarnation=incarnation,
            how=how,
            exit_code=exit_code,
            by=by,
            node=member.leaving.node,
        )
    )
