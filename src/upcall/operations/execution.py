"""What a begun operation does until it is over.

Every step is level-triggered: it looks at records and observations, and does the one thing that is missing. A crash
between two writes leaves a state from which the same look goes on.
"""

from typing import Literal

from msgspec.structs import replace

from upcall.operations import beside, consents, course, looping, members, places
from upcall.operations.book import Book
from upcall.operations.effects import HoldDisruption, ProveDeath, Release, Tell
from upcall.operations.judgement import judge
from upcall.operations.news import MemberReleased
from upcall.operations.records import GIVES_UP, Mark, MemberRecord, Operation, Target
from upcall.operations.table import CHANGES, KINDS, RANK, Word
from upcall.operations.waiting import Judgement

# -- the begin ------------------------------------------------------------------------------------------------------


def begin(book: Book, service: str) -> dict[str, Judgement]:
    """Lets contenders begin, by class and then by age, as far as each one may. Gives what it judged of those that wait,
    as far as that still holds at its end."""
    waiting: dict[str, Judgement] = {}
    contenders = book.live(service)
    if len(contenders) > 1:
        contenders.sort(key=lambda o: (RANK[o.class_], o.number))
    for contender in contenders:
        operation = book.operations[contender.id]
        if operation.state != "open":
            continue
        judgement = judge(book, operation)
        if judgement.may:
            _begin(book, operation, judgement)
            waiting.clear()
            continue
        waiting[operation.id] = judgement
        member = book.members.get(judgement.needs_place)
        if member is not None and places.hold(book, member, same_node=judgement.needs_same_node):
            waiting.clear()
        if judgement.look_s is not None and judgement.look_s > book.now_s:
            book.look_at(service, judgement.look_s)
        elif judgement.proof_of:
            book.emit(ProveDeath(operation=operation.id, node=judgement.proof_of))
    return waiting


def _begin(book: Book, operation: Operation, judgement: Judgement) -> None:
    taken = _targets(book, operation)
    for member in taken:
        other = book.begun_on(member)
        if other is not None and other.id != operation.id and operation.kind != "uninstall":
            # First the one write, then the other: never have two begun on one member.
            end(book, other, "superseded", outcome=f"{operation.id} is wanted of it now: {operation.words()}")
        if KINDS[operation.kind].gives_back == "elsewhere":
            looping.try_now(book, member)  # What ended again and again where it is says nothing of another place.
    begun = book.advance(
        operation, "may begin", outcome=judgement.reason, choice=judgement.choice, over_consent=judgement.over_consent
    )
    service = begun.target.service
    # What is taken counts as gone for every acceptance that was not given together with this one.
    consents.forget(book, begun)
    consents.move_epoch(book, service, f"{begun.id} begins", gone=tuple(m.task for m in taken if book.ready(m)))
    book.emit(Tell(service=service, operation=begun.id, what="begun", text=judgement.reason))
    if begun.kind == "evict":
        book.emit(HoldDisruption(id=begun.foreign_id, held=None))
    if begun.kind == "uninstall":
        _take_over(book, begun, book.live(service))


def _take_over(book: Book, uninstall: Operation, others: list[Operation]) -> None:
    """What only ends the older of two goes on: nothing else would, were the uninstall taken back."""
    for other in others:
        if other.id != uninstall.id and book.allows(other, "superseded") and not beside.only_ends(book, other):
            end(book, other, "superseded", outcome=f"{uninstall.target.service} is uninstalled by {uninstall.id}")


def _targets(book: Book, operation: Operation) -> list[MemberRecord]:
    return book.covered(operation)


# -- the course -----------------------------------------------------------------------------------------------------


def progress(book: Book, service: str) -> None:
    """One look at every live operation of the service that needs no consent any more, or has lost its reason."""
    live = book.live(service)
    if (uninstall := next((o for o in live if o.kind == "uninstall" and o.begun), None)) is not None:
        # Its begin is on record alone when the master died right after it.
        _take_over(book, uninstall, [o for o in live if o.begun or KINDS[o.kind].shape == "plan"])
    for known in live:
        operation = book.operations[known.id]
        match (operation.state, KINDS[operation.kind].shape):
            case ("open", _):
                _withdraw_if_pointless(book, operation)
            case ("preparing", _):
                _prepare(book, operation)
            case ("executing", "away"):
                _away(book, operation)
            case ("executing", "back"):
                _back(book, operation)
            case ("executing", "removal"):
                _removal(book, operation)
            case ("executing", "foreign"):
                _foreign(book, operation)
            case ("executing", "plan"):
                _goes_no_further(book, operation)


def _withdraw_if_pointless(book: Book, operation: Operation) -> None:
    parent = book.operations.get(operation.parent)
    if parent is not None and (lifted := _lifted(operation, parent)):
        end(book, operation, "parent lifted", outcome=lifted)
        return
    if parent is not None and KINDS[parent.kind].shape == "plan" and not parent.live:
        end(book, operation, "parent lifted", outcome=f"{parent.id} is {parent.state}")
        return
    if _goes_no_further(book, operation):
        return
    if len(operation.target.members) != 1:
        return
    member = book.members.get(f"{operation.target.service}.{operation.target.members[0]}")
    if member is None or member.removed is not None:
        end(book, operation, "superseded", outcome="the member is gone")
        return
    named = operation.target.incarnation_of(member.name)
    if operation.takes and operation.takes == member.took:
        end(book, operation, "superseded", outcome=f"{member.task} has these volumes")
    elif operation.kind == "vacate" and parent is not None and member.node not in ("", operation.target.node):
        end(book, operation, "superseded", outcome=f"{member.key} is on {member.node} now")
    elif operation.kind == "vacate" and parent is not None and not parent.removes_node and places.refusal(book, member):
        end(book, operation, "superseded", outcome=f"held: {places.words(book, member)}")
    elif operation.kind == "stop" and parent is not None and parent.removes_node:
        end(book, operation, "superseded", outcome=f"{parent.id} removes the node: the member comes up elsewhere")
    elif operation.kind == "lost":
        if member.over and member.incarnation == named and not members.is_lost(book, member):
            end(book, operation, "superseded", outcome=f"{member.ended_by} decides how it comes back")
        elif member.incarnation > named:
            end(book, operation, "superseded", outcome=f"{member.task} took its place")
        elif not member.over and book.node_hears(member) and book.node_state(member.node) == "up":
            end(book, operation, "node back", outcome=f"node {member.node} is back: {member.task} is taken as it is")
    elif operation.class_ == "cure" and book.well(member) and member.incarnation == named:
        end(book, operation, "healthy again", outcome=f"{member.task} is healthy again")
    elif KINDS[operation.kind].shape == "foreign":
        if _over(member, named):
            went_ahead(book, operation)
    elif operation.kind == "stop" and member.incarnation == named and members.ends_again(book, member):
        pass  # It is down for a moment, and would come back: to keep it down is what was asked for.
    elif named and _over(member, named) and book.allows(operation, "incarnation over"):
        if members.is_step(book, operation) and member.incarnation == named and members.is_brought_back(book, member):
            members.take_newest(book, member)  # Its turn had come, and it is down: what brings it back takes nothing.
        end(book, operation, "incarnation over", outcome=f"{member.key}.{named} is over")


def _goes_no_further(book: Book, operation: Operation) -> bool:
    """A change in whose place a newer one is wanted. What it has begun goes on."""
    if operation.kind not in CHANGES and not (operation.kind == "finalize" and operation.state == "open"):
        return False
    later = (o for o in book.live(operation.target.service) if o.kind in CHANGES and o.number > operation.number)
    newer = next(later, None)
    if newer is None:
        return False
    outcome = f"revision {newer.revision} is wanted instead: {newer.id}, asked for by {newer.asked_by}"
    end(book, operation, "superseded", outcome=outcome)
    return True


def _lifted(operation: Operation, parent: Operation) -> str:
    """In words, that nobody wants any more what it is below; empty while it is wanted."""
    if parent.state == "lifted":
        return f"{parent.id} is lifted"
    if operation.target.node in parent.given_back:
        return f"{operation.target.node} is given back by {parent.id}"
    return ""


def went_ahead(book: Book, operation: Operation) -> None:
    given = book.answer(operation)
    said = (
        f"{operation.target.service} had said {given.verdict}"
        if given
        else f"no answer from {operation.target.service}"
    )
    end(book, operation, "finished", outcome=f"the substrate went ahead anyway; {said}")


def _prepare(book: Book, operation: Operation) -> None:
    """The member leaves (data moved, confirmed by its service), and only then does it end."""
    parent = book.operations.get(operation.parent)
    policy = consents.policy_of(book, operation.target.service)
    if parent is not None and (lifted := _lifted(operation, parent)):
        end(book, operation, "parent lifted", outcome=lifted)
    elif parent is not None and _goes_no_further_by(parent):
        # Nothing has ended yet: who leaves stays after all.
        end(book, operation, "parent lifted", outcome=f"{parent.id} is {parent.state}: {stays(operation)}")
    elif book.shutdown() is not None:
        end(book, operation, "shutdown", outcome="the system went down first")
    elif not policy.leaves or operation.forced is not None:
        execute_removal(book, operation, "nothing to move")
    elif book.now_s >= course.leave_until_s(book, operation):
        said = course.words(book, operation)
        idle = f"the member had not left after {policy.leave_s:.0f} s" + (f" without progress ({said})" if said else "")
        end(book, operation, "deadline", outcome=f"{idle}: {stays(operation)}")
    else:
        book.look_at(operation.target.service, course.leave_until_s(book, operation))


def _goes_no_further_by(parent: Operation) -> bool:
    return KINDS[parent.kind].shape == "plan" and parent.state in ("withdrawn", "failed")


def stays(operation: Operation) -> str:
    """In words, what becomes of who was leaving."""
    names = ", ".join(operation.target.members) or operation.target.service
    return f"{names} stay{'' if len(operation.target.members) > 1 else 's'}"


def execute_removal(
    book: Book, operation: Operation, word: Literal["has left", "nothing to move"], why: str = ""
) -> None:
    """The second phase: now the incarnations are frozen."""
    targets = _targets(book, operation)
    target = Target(
        service=operation.target.service,
        members=tuple(m.name for m in targets),
        incarnations=tuple(m.incarnation for m in targets),
        node=operation.target.node,
    )
    book.advance(operation, word, outcome=why, target=target)


def _away(book: Book, operation: Operation) -> None:
    member, named = _single(book, operation)
    if member is not None and member.over and member.incarnation == named and member.ended_by != operation.id:
        member = _taken_over(book, operation, member)
    if member is None or _over(member, named):
        end(book, operation, "incarnation over", outcome=member.ended_how if member else "the member is gone")
    elif book.node_state(member.node) == "gone":
        end(
            book,
            operation,
            "node lost for good",
            outcome=f"node {member.node} is gone; what remains is ended if it returns",
        )


def _back(book: Book, operation: Operation) -> None:
    """A restart (of any cause) is done when the *next* incarnation is ready, so its slot stays taken until then."""
    member, named = _single(book, operation)
    service = operation.target.service
    if member is None:
        end(book, operation, "start deadline", outcome="the member is gone")
    elif shutdown := book.shutdown():
        if member.over:
            _taken_over(book, operation=shutdown, member=member)
        end(book, operation, "shutdown", outcome="the system went down first")
    elif uninstall := next((o for o in book.live(service) if o.kind == "uninstall" and o.begun), None):
        end(book, operation, "superseded", outcome=f"{service} is uninstalled by {uninstall.id}")
    elif member.incarnation > named and book.ready(member):
        end(book, operation, "newer ready", outcome=f"{member.task} is ready")
    elif _nowhere(book, operation, member):
        state = book.node_state(member.node)
        end(
            book, operation, "node lost for good", outcome=f"node {member.node} is {state}, and {member.task} has ended"
        )
    elif member.finished:
        end(book, operation, "newer ready", outcome=f"{member.task} has finished")
    elif member.failed:
        end(book, operation, "start deadline", outcome=f"{member.task} has failed: {member.ended_how}")
    elif member.incarnation > named and book.now_s >= _start_deadline_s(book, operation, member):
        end(
            book,
            operation,
            "start deadline",
            outcome=f"{member.task} was not ready within {member.start_timeout_s:.0f} s",
        )
    elif member.over and member.incarnation > named and member.without_data:
        end(book, operation, "ended again", outcome=member.ended_how)  # No other try brings its data back.
    elif member.over and member.incarnation - named >= looping.TRIES_MAX:
        end(book, operation, "ended again", outcome=f"it ended {looping.TRIES_MAX} times: {member.ended_how}")
    elif member.over:
        pause_s = members.launch_pause_s(book, member)
        if pause_s > book.now_s:
            book.look_at(service, pause_s)
        else:
            elsewhere = operation.choice in GIVES_UP and member.incarnation == named
            members.bring_up(book, member, by=operation.id, elsewhere=elsewhere, same_node=operation.choice == "renew")
    if member is not None and operation.id in book.operations and book.operations[operation.id].live:
        deadline_s = _start_deadline_s(book, operation, book.members[member.key])
        if book.members[member.key].incarnation > named and deadline_s > book.now_s:
            book.look_at(service, deadline_s)


def _nowhere(book: Book, operation: Operation, member: MemberRecord) -> bool:
    """It has ended, and its volumes are on a node that does not answer: bringing it back there would wait for ever."""
    if not member.over or book.node_hears(member) or not book.memory.volumes_bound_to_node:
        return False
    leaves = operation.choice in GIVES_UP and member.incarnation == operation.target.incarnation_of(member.name)
    return not leaves


def _start_deadline_s(book: Book, operation: Operation, member: MemberRecord) -> float:
    """From the first launch until it is ready, whatever lies between: no place yet, fetching, pauses."""
    return book.first_launched_s(operation) + member.start_timeout_s


def _removal(book: Book, operation: Operation) -> None:
    row = KINDS[operation.kind]
    targets = [book.members[f"{operation.target.service}.{name}"] for name in operation.target.members]
    for member, named in zip(targets, operation.target.incarnations, strict=True):
        if beside.comes_first(book, operation, member):
            beside.launch(book, operation, member)
            return
        if member.leaving is not None and (row.releases or member.leaving.incarnation == named):
            return
        lost = book.node_state(member.node) == "gone" and book.allows(operation, "node lost for good")
        if not _over(member, named) and not lost:
            return
    for member, named in zip(targets, operation.target.incarnations, strict=True):
        if row.releases and member.removed is None:
            _release(book, operation, member)
        elif member.incarnation == named and member.ended_by != operation.id:
            _taken_over(book, operation, member)
    if operation.kind == "uninstall":
        _remove_service(book, operation.target.service)
    end(
        book,
        operation,
        "incarnation over",
        outcome=f"{len(targets)} ended" if len(targets) != 1 else targets[0].ended_how,
    )


def _release(book: Book, operation: Operation, member: MemberRecord) -> None:
    keep_s = consents.policy_of(book, member.service).keep_volumes_s
    mark = Mark(who=operation.asked_by, why=operation.id, wall_s=book.wall_s)
    places.call_off(book, member)
    until_wall_s, left = book.wall_s + keep_s, operation.kind == "scale_in"
    book.put(replace(member, removed=mark, started=False, volumes_until_wall_s=until_wall_s, left=left))
    book.emit(Release(service=member.service, member=member.name, keep_volumes_s=keep_s))
    book.emit(MemberReleased(service=member.service, member=member.name, by=operation.id, keep_volumes_s=keep_s))


def _remove_service(book: Book, service: str) -> None:
    consent = book.consents.get(service)
    if consent is not None:
        book.delete(consent)
    record = book.services.get(service)
    if record is not None:
        book.delete(record)


def _foreign(book: Book, operation: Operation) -> None:
    member, named = _single(book, operation)
    if member is None or _over(member, named):
        end(book, operation, "incarnation over", outcome=member.ended_how if member else "the member is gone")


def _taken_over(book: Book, operation: Operation, member: MemberRecord) -> MemberRecord:
    """It had died before: from now on it is this operation that decides how it comes back, and whether."""
    book.put(replace(member, ended_by=operation.id))
    return book.members[member.key]


def _single(book: Book, operation: Operation) -> tuple[MemberRecord | None, int]:
    name = operation.target.members[0]
    member = book.members.get(f"{operation.target.service}.{name}")
    if member is not None and member.removed is not None:
        member = None
    return member, operation.target.incarnation_of(name)


def _over(member: MemberRecord, named: int) -> bool:
    """Its incarnation has ended, or a newer one was seen."""
    return member.ended >= named or member.incarnation > named


def end(book: Book, operation: Operation, word: Word, *, outcome: str, cancelled: Mark | None = None) -> None:
    """The operation is over, or withdrawn before it began: its service is told."""
    ended = book.advance(operation, word, outcome=outcome, cancelled=cancelled)
    consents.forget(book, ended)
    what: Literal["withdrawn", "ended"] = "withdrawn" if ended.state == "withdrawn" else "ended"
    book.emit(Tell(service=ended.target.service, operation=ended.id, what=what, text=outcome))
