"""One input, one small function: it changes what the input says, and nothing that follows from it."""

from msgspec.structs import replace

from upcall.operations import (
    beside,
    consents,
    course,
    declarations,
    disruptions,
    ends,
    execution,
    hooks,
    losses,
    members,
    people,
    places,
    proposals,
)
from upcall.operations.book import REASON_CHARS_MAX, Book
from upcall.operations.effects import Cordon, Refused, Release, Reserve, Show
from upcall.operations.inputs import (
    Answers,
    AssumeDead,
    Back,
    Cancel,
    ClockJumped,
    Confirm,
    DeclareMembers,
    DeclareService,
    DisruptionBegan,
    DisruptionEnded,
    DisruptionsListed,
    Force,
    GiveBack,
    GiveUpVolumes,
    HostSubscribed,
    HostUnsubscribed,
    Input,
    NodeObserved,
    Pause,
    PlaceHeld,
    PlaceObserved,
    PlaceRefused,
    PlacesObserved,
    PlanFailed,
    Propose,
    Retarget,
    Started,
    StartMembers,
    TaskObserved,
    Tick,
    Undrain,
    Up,
    WithdrawAnswer,
    WithdrawMembers,
    Working,
)
from upcall.operations.memory import HostSeen
from upcall.operations.news import HostChanged, Slept
from upcall.operations.records import ConsentRecord, MemberRecord, Operation


def take(book: Book, given: Input) -> None:
    """Changes what the input says, or fills in ``refused`` and changes nothing."""
    result = _take(book, given)
    if isinstance(result, Refused):
        book.out.refused = result
    elif isinstance(result, Operation):
        book.out.operation = result.id


def _take(book: Book, given: Input) -> Operation | Refused | None:
    match given:
        case DisruptionBegan():
            return disruptions.began(book, given)
        case DeclareService():
            return declarations.declare_service(book, given)
        case DeclareMembers():
            return declarations.declare_members(book, given)
        case StartMembers():
            return declarations.start_members(book, given, who=given.service)
        case WithdrawMembers():
            return declarations.withdraw_members(book, given)
        case Answers():
            return consents.answer(book, given)
        case WithdrawAnswer():
            return consents.withdraw(book, given)
        case Retarget():
            return declarations.retarget_members(book, given)
        case Confirm():
            return _confirm(book, given)
        case PlanFailed():
            return _plan_failed(book, given)
        case Working():
            return course.learn(book, given)
        case Back():
            return hooks.returned(book, given)
        case Propose():
            return proposals.propose(book, given)
        case Force():
            return people.force(book, given)
        case Pause():
            return people.pause(book, given)
        case Cancel():
            return people.cancel(book, given)
        case GiveBack():
            return people.give_back(book, given)
        case GiveUpVolumes():
            return people.give_up_volumes(book, given)
        case Undrain():
            return people.undrain(book, given)
        case Up():
            return people.up(book, given)
        case AssumeDead():
            return people.assume_dead(book, given)
        case _:
            _learn(book, given)
            return None


def _learn(book: Book, given: Input) -> None:
    """What cannot be refused: it has happened."""
    match given:
        case Started():
            _started(book, given)
        case ClockJumped():
            _clock_jumped(book, given)
        case TaskObserved():
            losses.observe_task(book, given)
        case NodeObserved():
            losses.observe_node(book, given)
        case PlaceObserved():
            known = book.memory.members.get(f"{given.service}.{given.member}")
            # A declaration reserves for all members again: what is known already is no reason to look. While two of it
            # run, this is the place of the one that leaves.
            stays = known is not None and book.members[f"{given.service}.{given.member}"].leaving is None
            if known is not None and stays and known.place_node != given.node:
                known.place_node = given.node
                book.mark(given.service)
        case PlaceHeld():
            places.learn(book, given.service, given.member, given.place, node=given.node)
        case PlaceRefused():
            places.learn(book, given.service, given.member, given.place, reason=given.reason)
        case PlacesObserved(places=said):
            for one in said:
                _learn(book, one)
        case DisruptionEnded():
            disruptions.ended(book, given)
        case DisruptionsListed():
            disruptions.listed(book, given)
        case HostSubscribed() | HostUnsubscribed():
            _host(book, given)
        case Tick():
            pass


# -- the driver -----------------------------------------------------------------------------------------------------


def wanted(book: Book, service: str = "") -> list[MemberRecord]:
    """Every incarnation that should run now; of one service, or of all."""
    among = book.members_of(service) if service else sorted(book.members.values(), key=lambda m: m.key)
    return [
        m for m in among if m.removed is None and m.incarnation > 0 and not m.over and ends.ending_of(book, m) is None
    ]


def _started(book: Book, given: Started) -> None:
    """Repeats what still stands; all of it is harmless when it was done already."""
    book.memory.firmness = given.firmness
    for key, known in book.memory.members.items():
        known.place_node = given.places.get(key, "") if book.members[key].leaving is None else ""
    book.memory.volumes_bound_to_node = given.volumes_bound_to_node
    for operation in book.standing():
        if operation.kind == "maintenance":
            for node in operation.nodes:
                book.emit(Cordon(node=node, closed=True))
    for member in sorted(book.members.values(), key=lambda m: m.key):
        stays = member.removed is None
        if not stays or (member.at_its_end and member.over):
            keep_s = max(0.0, member.volumes_until_wall_s - book.wall_s)
            book.emit(Release(service=member.service, member=member.name, keep_volumes_s=keep_s, stays=stays))
    for service in sorted(book.services):
        places = {m.name: m.place for m in book.members_of(service) if m.incarnation == 0}
        if places:
            book.emit(Reserve(service=service, places=places))
    for member in beside.stays(book):
        beside.launch_again(book, member)
    for member in wanted(book):
        members.emit_launch(book, member)
    book.mark_all()
    book.mark("")


def _clock_jumped(book: Book, given: ClockJumped) -> None:
    """The judge slept: every monotonic deadline starts anew, so nothing is lost because of the sleep. Windows are by
    wall time and may be over; they say so when they are judged. An acceptance is no deadline but a promise for a time:
    the service made it about a world of then, and it does not hold for longer because we slept."""
    memory, now_s = book.memory, book.now_s
    memory.started_s = now_s
    for operation in memory.operations.values():
        if operation.since_s is not None:
            operation.since_s = now_s
        if operation.course is not None:
            operation.course = replace(operation.course, moved_s=now_s)
        if operation.first_launched_s is not None:
            operation.first_launched_s = now_s
        if operation.question is not None:
            operation.question = replace(operation.question, since_s=now_s)
        if operation.notice_ends_s is not None:
            operation.notice_ends_s += given.slept_s
    for member in memory.members.values():
        if member.launched_s is not None:
            member.launched_s = now_s
        if member.seen is not None and member.seen.unwell_s is not None:
            member.seen = replace(member.seen, unwell_s=now_s)
        if member.crashes is not None:
            member.crashes = replace(member.crashes, last_s=now_s)
    for service in sorted(book.consents):
        _renew(book, book.consents[service])
    book.emit(Slept(slept_s=given.slept_s))
    memory.due = {}
    book.mark_all()
    book.mark("")


def _renew(book: Book, consent: ConsentRecord) -> None:
    if consent.epoch.start == book.memory.start and consent.answers:
        renewed = {
            o: given
            if given.verdict == "accept"
            else replace(given, at_s=book.now_s, until_s=book.now_s + given.until_s - given.at_s)
            for o, given in consent.answers.items()
        }
        if renewed != consent.answers:
            book.put(replace(consent, answers=renewed))


def _host(book: Book, given: HostSubscribed | HostUnsubscribed) -> None:
    """Unanswered questions come again after a reconnect."""
    subscribed = isinstance(given, HostSubscribed)
    before = book.host(given.service)
    if before is None or before.subscribed != subscribed:
        book.memory.service(given.service).host = HostSeen(subscribed=subscribed, since_s=book.now_s)
        book.emit(HostChanged(service=given.service, subscribed=subscribed))
    if subscribed:
        book.emit(Show(service=given.service))
    book.mark(given.service)


# -- services -------------------------------------------------------------------------------------------------------


def _plan_failed(book: Book, given: PlanFailed) -> Refused | None:
    operation = book.operations.get(given.operation)
    if operation is None or operation.target.service != given.service:
        return people.not_found(given.operation)
    if book.allows(operation, "gave up"):
        execution.end(book, operation, "gave up", outcome=given.reason[:REASON_CHARS_MAX])
    elif operation.state != "failed":
        return Refused(
            code="conflict",
            message=f"{operation.id} ({operation.words()}) is {operation.state}",
            where=operation.id,
            expected="a plan of the service that has begun",
        )
    return None


def _confirm(book: Book, given: Confirm) -> Refused | None:
    operation = book.operations.get(given.operation)
    if operation is None or operation.target.service != given.service:
        return people.not_found(given.operation)
    if operation.state == "preparing":
        execution.execute_removal(book, operation, "has left", f"{given.service} confirms that it has left")
    elif operation.state == "executing" and book.allows(operation, "finished"):
        execution.end(book, operation, "finished", outcome=f"{given.service} has finished it")
    elif operation.state == "executing":
        if not operation.prepared:
            book.put(replace(operation, prepared=True))
    elif operation.state != "done":
        return Refused(
            code="conflict",
            message=f"{operation.id} is {operation.state}",
            where=operation.id,
            expected="a removal that prepares, or an operation that has begun",
        )
    return None
