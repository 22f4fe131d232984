"""What happened unasked: a process died, a node fell silent, a member fails its health check.

An observed end is one write, on the member: the incarnation, how it ended, and which operation had ended it. When
none had, what follows is an operation ``lost``: its service may be asked what next, and the static policy says how
long it is waited for. A member that is alive and fails its health check, or does not become ready, gets a cure: a
``restart`` that is asked like any other, with the answer time as its window. Nothing ends it before: whoever runs it
reports that it is unhealthy or late, and goes on looking.

A node that is silent proves nothing: its members are unknown, not ready, and nothing of theirs is ended or started
elsewhere until they are proven dead or a person says so.
"""

from typing import Final

from msgspec.structs import replace

from upcall.operations import beside, consents, members
from upcall.operations.book import REASON_CHARS_MAX, Book
from upcall.operations.compaction import forget_losses
from upcall.operations.effects import EndTask, Release
from upcall.operations.inputs import NodeObserved, TaskObserved
from upcall.operations.memory import Crashes, NodeSeen, Seen
from upcall.operations.news import NodeChanged, OtherGeneration, TaskEnded, TaskLeft, TaskSeen, TaskUnknown
from upcall.operations.proposals import create
from upcall.operations.records import MemberRecord, Operation, Target
from upcall.operations.table import KINDS

SIGNALS: Final = {
    129: "SIGHUP", 130: "SIGINT", 131: "SIGQUIT", 132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE",
    137: "SIGKILL", 139: "SIGSEGV", 141: "SIGPIPE", 143: "SIGTERM",
}  # fmt: skip
"""Exit codes that a shell gives to what a signal ended."""
START_MARGIN_S: Final = 30.0
"""A node says itself that a start is late (``unready``); beyond this the ledger no longer waits for it to say so."""


WELL_S: Final = members.PAUSE_S_MAX
"""Who was well for so long is well: what follows is another illness, with a patience of its own."""
NOT_YET: Final = ("pending", "fetching")
"""Without a place, or without what it runs: this is not time in which it starts."""


# -- tasks ----------------------------------------------------------------------------------------------------------


def observe_task(book: Book, given: TaskObserved) -> None:
    member = book.members.get(f"{given.service}.{given.member}")
    if member is None or given.incarnation > member.incarnation:
        # Nothing on record ever launched it; the wanted set, which the substrate compares, ends it.
        book.emit(
            TaskUnknown(service=given.service, member=given.member, incarnation=given.incarnation, state=given.state)
        )
        return
    if member.leaving is not None and given.incarnation == member.leaving.incarnation:
        _leaving(book, member, given)
    elif given.incarnation < member.incarnation or member.over:
        _of_the_past(book, member, given)
    elif given.state == "ended":
        _ended(book, member, given)
    else:
        _alive(book, member, given)


def _leaving(book: Book, member: MemberRecord, given: TaskObserved) -> None:
    """Of one that runs beside the current one only the end matters."""
    if given.state == "ended":
        beside.over(book, member, _how(given), exit_code=given.exit_code)
    elif given.state != "ending":
        book.memory.members[member.key].leaving_signalled = False
    book.mark(member.service)


def _of_the_past(book: Book, member: MemberRecord, given: TaskObserved) -> None:
    """What is left of an incarnation that was given up is ended unasked."""
    cause = member.by if given.incarnation < member.incarnation else member.ended_by
    operation = book.operations.get(cause)
    if given.state in ("ended", "ending") or operation is None or operation.state == "open":
        return
    book.emit(
        TaskLeft(
            service=member.service,
            member=member.name,
            incarnation=given.incarnation,
            state=given.state,
            given_up_by=cause,
        )
    )
    book.emit(
        EndTask(
            service=member.service,
            member=member.name,
            incarnation=given.incarnation,
            grace_s=0.0,
            operation=cause,
            reason="what is left of an incarnation that was given up",
        )
    )


def _ended(book: Book, member: MemberRecord, given: TaskObserved) -> None:
    was_ready = book.ready(member)
    cause = _who_ended(book, member)
    with_its_node = cause is None and (given.with_its_node or _lost_with_its_node(book, member))
    how = _how(given)
    by_itself = cause is None or _brought(cause, member)
    finished = member.restart != "always" and given.exit_code == 0 and by_itself
    failures = _failures(book, member, given) if by_itself else member.failures
    failed = failures > 0 and failures > (0 if member.restart == "never" else member.restarts_max)
    keep_s = 0.0 if member.portable else book.policy(member.service).keep_volumes_s
    if failed:
        how = f"{how}; restart={member.restart}: it is not started again"
    book.put(
        replace(
            member,
            ended=member.incarnation,
            ended_how=how,
            ended_by=cause.id if cause else "",
            finished=finished,
            failures=failures,
            failed=failed,
            without_data=given.without_data,
            node=given.node or member.node,
            volumes_until_wall_s=book.wall_s + keep_s if finished or failed else 0.0,
        )
    )
    if finished or failed:
        # Nobody waits for it: its room is for others.
        book.memory.members[member.key].place_node = ""
        book.emit(Release(service=member.service, member=member.name, keep_volumes_s=keep_s, stays=True))
    book.memory.members[member.key].signalled = 0
    _remember(book, member, given, book.seen(member))
    loss = _loss_waiting_for_proof(book, member)
    book.emit(
        TaskEnded(
            service=member.service,
            member=member.name,
            incarnation=member.incarnation,
            how=how,
            exit_code=given.exit_code,
            by=cause.id if cause else "",
            proof_for=loss.id if loss else "",
            node=given.node or member.node,
        )
    )
    if not with_its_node and (cause is None or _counts_as_crash(cause, member)):
        _count_crash(book, member)
    if was_ready and cause is None:
        consents.move_epoch(book, member.service, f"{member.task} is lost", gone=(member.task,))


def _exit_words(code: int) -> str:
    """``exit code 137 (SIGKILL)``: nobody has to know the table by heart."""
    return f"exit code {code}" + (f" ({SIGNALS[code]})" if code in SIGNALS else "")


def _how(given: TaskObserved) -> str:
    return given.reason[:REASON_CHARS_MAX] or (_exit_words(given.exit_code) if given.exit_code is not None else "ended")


def _who_ended(book: Book, member: MemberRecord) -> Operation | None:
    """The operation in whose course it ended; also one of the substrate's that went ahead before it was let."""
    begun = book.begun_on(member)
    if begun is not None:
        return begun
    for operation in book.operations_on(member):
        foreign = KINDS[operation.kind].shape == "foreign" and operation.state in ("open", "done")
        if foreign and operation.target.incarnation_of(member.name) == member.incarnation:
            return operation
    return None


def _loss_waiting_for_proof(book: Book, member: MemberRecord) -> Operation | None:
    """The loss for which its death was proven: what is left on a node that does not answer is ended for it, and only
    then may it begin."""
    if book.node_hears(member):
        return None
    return next((o for o in book.live_on(member) if o.kind == "lost" and o.state == "open"), None)


def _lost_with_its_node(book: Book, member: MemberRecord) -> bool:
    """Its node was away when it ended, whether it is back or not: it did nothing that a pause would keep it from."""
    if not book.node_hears(member):
        return True
    node, launched_s = book.node_seen(member.node), book.memory.members[member.key].launched_s
    returned = node is not None and launched_s is not None and node.since_s > launched_s
    return returned and book.seen(member) is None


def _counts_as_crash(cause: Operation, member: MemberRecord) -> bool:
    """What was cured was no better than dead: cures one after the other have the pauses of a crash loop. Likewise
    what an operation brought and did not keep up."""
    if members.still_leaves(cause):
        return True
    return KINDS[cause.kind].shape == "back" and (_brought(cause, member) or cause.class_ == "cure")


def _brought(cause: Operation, member: MemberRecord) -> bool:
    """The operation started this incarnation, and did not end it."""
    return KINDS[cause.kind].shape == "back" and cause.target.incarnation_of(member.name) != member.incarnation


def _failures(book: Book, member: MemberRecord, given: TaskObserved) -> int:
    """How often it failed in short succession, also to be prepared. That its node was lost is no failure of it."""
    if member.restart == "always" or (given.exit_code in (None, 0) and not given.not_started):
        return member.failures
    return 1 if _lived_s(book, member) >= members.STABLE_S else member.failures + 1


def start_again(book: Book, member: MemberRecord, who: str, why: str) -> Operation:
    """A person wants what is at its end to run once more: it is brought back like one that is lost."""
    book.put(replace(member, finished=False, failed=False, failures=0))
    reason = f"{who} starts it again" + (f": {why}" if why else "")
    return create(book, "lost", _target(member), reason=reason, asked_by=who)


def _count_crash(book: Book, member: MemberRecord) -> None:
    memory, seen = book.memory.members[member.key], book.seen(member)
    before = memory.crashes
    stable = _lived_s(book, member) >= members.STABLE_S and seen is not None and seen.was_ready
    if before is None or stable:
        memory.crashes = Crashes(count=1, last_s=book.now_s, first_s=book.now_s, generation=member.launched)
    else:
        generation, count = member.launched, before.count + 1
        memory.crashes = replace(before, count=count, last_s=book.now_s, generation=generation, over=False)


def _loops_no_more(book: Book, member: MemberRecord, given: TaskObserved | None = None) -> None:
    """Before what was seen of it is forgotten, or replaced by ``given``: what was well stays so, for the words about
    it, also when its node is not heard of."""
    memory, seen = book.memory.members[member.key], book.seen(member)
    if memory.crashes is None or memory.crashes.over:
        return
    well = seen is not None and seen.state == "ready" and book.now_s >= seen.since_s + members.PAUSE_S_MAX
    launched = (given.generation if given is not None else 0) or member.launched
    other = given is not None and given.state == "ready" and launched != memory.crashes.generation
    if well or other:
        memory.crashes = replace(memory.crashes, over=True)


def _lived_s(book: Book, member: MemberRecord) -> float:
    launched_s = book.memory.members[member.key].launched_s
    return book.now_s - launched_s if launched_s is not None else 0.0


def _alive(book: Book, member: MemberRecord, given: TaskObserved) -> None:
    before, memory = book.seen(member), book.memory.members[member.key]
    begins = before is not None and before.state in NOT_YET and given.state != before.state
    if begins or memory.launched_s is None:
        memory.launched_s = book.now_s
    if before is not None and given.progress > before.progress and not before.was_ready:
        _goes_on(book, member)
    if given.state != "ending":
        memory.signalled = 0
    _remember(book, member, given, before)
    node = given.node or member.node
    initialised = member.initialised or given.state == "ready"
    launched = given.generation or member.launched
    if launched != member.launched:
        book.emit(
            OtherGeneration(
                service=member.service,
                member=member.name,
                incarnation=member.incarnation,
                runs=launched,
                on_record=member.launched,
            )
        )
    if (node, initialised, launched) != (member.node, member.initialised, member.launched):
        book.put(replace(member, node=node, initialised=initialised, launched=launched))
    if before is None or before.state != given.state:
        book.emit(
            TaskSeen(
                service=member.service,
                member=member.name,
                incarnation=member.incarnation,
                state=given.state,
                before=before.state if before is not None else "",
                reason=given.reason[:REASON_CHARS_MAX],
                node=node,
            )
        )
    book.mark(member.service)


def _goes_on(book: Book, member: MemberRecord) -> None:
    """Its start told progress: what tells it is not late, and what brought it back goes on with it. One that ends and
    begins again gains nothing by it: only so many tries are made."""
    book.memory.members[member.key].launched_s = book.now_s
    brings = book.memory.operations.get(member.by)
    if brings is not None and brings.first_launched_s is not None:
        brings.first_launched_s = book.now_s


def _remember(book: Book, member: MemberRecord, given: TaskObserved, before: Seen | None) -> None:
    _loops_no_more(book, member, given)
    same = before is not None and before.state == given.state
    book.memory.members[member.key].seen = Seen(
        incarnation=given.incarnation,
        state=given.state,
        since_s=before.since_s if same and before is not None else book.now_s,
        node=given.node or member.node,
        reason=given.reason[:REASON_CHARS_MAX],
        progress=given.progress,
        was_ready=given.state == "ready" or (before is not None and before.was_ready),
        unwell_s=_unwell_s(book, before, given),
    )


def _unwell_s(book: Book, before: Seen | None, given: TaskObserved) -> float | None:
    """Since when it is unwell, or flaps between well and unwell: a cure's patience counts from there, for each illness
    of a member that flaps gets a cure of its own, which ends with it."""
    first_s = before.unwell_s if before is not None else None
    if before is not None and before.state == "ready" and book.now_s >= before.since_s + WELL_S:
        first_s = None
    return book.now_s if first_s is None and given.state == "unready" else first_s


# -- nodes ----------------------------------------------------------------------------------------------------------


def observe_node(book: Book, given: NodeObserved) -> None:
    before = book.node_seen(given.node)
    if before is not None and before.state == given.state:
        return
    lost: dict[str, list[str]] = {}
    if given.state != "up":
        for member in sorted(book.members_on(given.node), key=lambda m: m.key):
            if book.ready(member) and book.begun_on(member) is None:
                lost.setdefault(member.service, []).append(member.task)
    seen = NodeSeen(state=given.state, since_s=book.now_s, reason=given.reason[:REASON_CHARS_MAX])
    book.memory.node(given.node).seen = seen
    book.emit(NodeChanged(node=given.node, state=given.state, reason=given.reason[:REASON_CHARS_MAX]))
    if given.state != "up":
        # What was seen there is not known any more; after its return everything is observed afresh.
        for member in book.members_on(given.node):
            _loops_no_more(book, member)
            book.memory.members[member.key].seen = None
    if given.state == "gone" and book.memory.volumes_bound_to_node:
        _nothing_is_kept(book, given.node)
    for service, tasks in lost.items():
        consents.move_epoch(book, service, f"node {given.node} is {given.state}", gone=tuple(tasks))
    if before is not None and given.state == "up":
        _returned(book, given.node)
    book.mark_node(given.node)
    book.mark("")


def _nothing_is_kept(book: Book, node: str) -> None:
    """What members that have left had there is gone with it, also for a master that starts after this, and when another
    node of that name joins."""
    for member in book.members_on(node):
        if member.removed is not None and member.has_data and not member.begins_anew:
            book.put(replace(member, begins_anew=True))


def _returned(book: Book, node: str) -> None:
    """The volumes of those that are dead are there again, and nobody has another place yet: what was said of their loss
    was said of a node that was away. Otherwise one that was to come up elsewhere would begin anew beside its data."""
    if not book.memory.volumes_bound_to_node:
        return
    services: dict[str, None] = {}
    for member in sorted(book.members_on(node), key=lambda m: m.key):
        for operation in book.live_on(member) if member.over else []:
            if operation.kind == "lost" and operation.state == "open":
                consents.overtaken(book, operation, f"node {node} is back")
                services[member.service] = None
    for service in services:
        consents.move_epoch(book, service, f"node {node} is back")


# -- what follows ---------------------------------------------------------------------------------------------------


def look(book: Book, service: str) -> None:
    """Proposes ``lost`` and cures where nothing has been proposed yet."""
    if service not in book.services or book.shutdown() is not None:
        return
    for member in book.not_well(service):
        if not members.runs_by(book, member) or member.incarnation == 0 or book.begun_on(member) is not None:
            continue
        if member.over:
            if members.is_lost(book, member) and members.held_by(book, member) is None:
                _propose_lost(book, member, f"{member.task} ended: {member.ended_how}")
        elif not book.node_hears(member):
            _propose_lost(book, member, f"node {member.node} is {book.node_state(member.node)}")
        else:
            _consider_cure(book, member)


def _propose_lost(book: Book, member: MemberRecord, reason: str) -> None:
    if any(o.kind == "lost" for o in book.live_on(member)):
        return
    forget_losses(book, member)
    create(book, "lost", _target(member), reason=reason, asked_by="upcall")


def _consider_cure(book: Book, member: MemberRecord) -> None:
    seen = book.seen(member)
    if seen is None:
        return
    reason = ""
    if seen.state == "unready":
        reason = f"{member.task} is not well" + (f": {seen.reason}" if seen.reason else "")
    elif seen.state in ("starting", "running"):
        launched_s = book.memory.members[member.key].launched_s
        assert launched_s is not None, f"{member.task} was seen, and so had been launched"
        late_s = launched_s + member.start_timeout_s + START_MARGIN_S
        if book.now_s >= late_s:
            reason = f"{member.task} is not ready after {member.start_timeout_s:.0f} s"
        else:
            book.look_at(member.service, late_s)
    if reason and not any(o.class_ == "cure" for o in book.live_on(member)):
        create(book, "restart", _target(member), reason=reason, asked_by="upcall", class_="cure")


def _target(member: MemberRecord) -> Target:
    return Target(service=member.service, members=(member.name,), incarnations=(member.incarnation,), node=member.node)
