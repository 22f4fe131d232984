"""The careful stranger: what a service does where its expert wrote nothing.

Somebody who knows nothing about a system, and is careful, takes one member away at a time, and only while all others
are ready. A member that is not ready itself costs nothing; it may be taken as long as nothing else is under way (or
two sick members would wait for each other for ever).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from upcall.protocol.errors import UpcallError
from upcall.protocol.service import Member as Seen
from upcall.protocol.service import Operation, Policy
from upcall.service import together
from upcall.service.attempts import as_an_error
from upcall.service.blame import in_words_with_line, method_at
from upcall.service.consent import Verdict, accept, decline, defer
from upcall.service.context import Context
from upcall.service.member import Member, MemberSet
from upcall.service.numbering import numbered
from upcall.service.pod import Pod
from upcall.service.questions import NoAnswer, checked, method_of

if TYPE_CHECKING:
    from upcall.service.service import Service

BEGUN: Final = ("executing", "preparing")
"""States of an operation from its begin to its end."""

ENDED: Final = ("done", "failed", "withdrawn", "declined", "lifted")

AT_THEIR_END: Final = ("finished", "failed")
"""States of a job that ran its course: nothing waits for it to come back."""

TOLD: Final = ("maintenance", "kill", "shutdown")
"""Kinds that are told; they need no answer."""

UNTIL_A_CHANGE_S: Final = 60.0
"""Of a deferral whose reason is a member or an operation: with these it is asked about again at once, so it is renewed
only to be heard of."""

NAMED_MAX: Final = 8
"""Of a set that is answered by who goes first."""

ENDS_AGAIN: Final = 3
"""Ends in short succession from which a member ends again and again; two may be bad luck."""

LATE: Final = "within "
"""How the reason of a silence begins that is none but slowness."""

SAID_MAX: Final = 1000
"""Operations whose silence is remembered as told."""

SILENT_MAX: Final = 2
"""Two questions in a row without an answer: what is asked hangs. The others are asked at the next look."""

GIVES_BACK: Final = ("lost",)
"""Kinds that take nothing away: the member is away already."""


def members(service: "Service", context: Context) -> MemberSet:
    """The members of all pods, then those that are still there although no pod names them any more. Made once for what
    was heard last: fifty questions about two hundred members ask for them."""
    pods = pods_of(service)
    if context.made is not None and context.made[0] is context.members and context.made[1] == pods:
        return context.made[2]
    found: list[Member] = []
    named: set[str] = set()
    for pod in pods:
        names = pod.member_names
        for index, name in enumerate(names):
            peers = tuple(other for other in names if other != name)
            seen = context.members.get(name, Seen(name=name))
            number = index if pod.numbers is None else pod.numbers[index]
            found.append(Member(name, pod.name, number, seen, peers, _runner=context.run_tool))
            named.add(name)
    for name, seen in context.members.items():
        if name not in named:
            found.append(Member(name, seen=seen, _runner=context.run_tool))
    context.made = (context.members, pods, MemberSet(found))
    return context.made[2]


def pods_of(service: "Service") -> list[Pod]:
    """Asked of the expert's code once for each look at the service, else anew: an action may have changed them."""
    pods = service._context.pods
    return numbered(service, service.pods()) if pods is None else pods


def _has_volumes(service: "Service", pod: Pod, member: Member) -> bool:
    built = service._context.built or {}
    return bool((built.get(member.name) or (pod.task or service.task)(member)).volumes)


def policy(service: "Service") -> Policy:
    """All members but one stay ready; fail closed with volumes, open without."""
    pods = pods_of(service)
    counted = [name for pod in pods if pod.counts for name in pod.member_names]
    has_volumes = any(_has_volumes(service, pod, member) for pod in pods for member in service.members.of(pod.name)[:1])
    return Policy(
        minimum=max(len(counted) - 1, 0),
        at_most=1,
        silence="hold" if has_volumes else "proceed",
        holds_data=has_volumes,
        replace_after_s=service.options.replace_after_s,
    )


def may_stop(service: "Service", member: Member, why: Operation) -> Verdict:
    """Only while all others that count are back, unless the member itself is not ready. What the same maintenance holds
    on the same node does not count against the rest of it: no waiting brings that back."""
    if not member.ready:
        return accept(f"{member.name} is not ready anyway")
    counting = {name for pod in pods_of(service) if pod.counts for name in pod.member_names}
    counting -= service._context.coming
    others = [other for other in service.members.without(member) if other.name in counting]
    away = [other for other in others if not other.back and other.state not in AT_THEIR_END]
    away = [other for other in away if not _held_with(other, why)]
    if away:
        is_are = "is" if len(away) == 1 else "are"
        return defer(f"{_names(away)} {is_are} {_away_how(away)}", retry_after=UNTIL_A_CHANGE_S)
    return accept()


def _held_with(other: Member, why: Operation) -> bool:
    return bool(why.parent) and other.state == "held" and other.seen.node == why.node


def _away_how(away: list[Member]) -> str:
    if all(other.ready for other in away):
        return "not back: after_ready has not returned"
    return "not ready"


def may_scale_in(service: "Service", member: Member, why: Operation, *, moves_data: bool) -> Verdict:
    """Who has data, and no expert who moves it away, does not leave for good."""
    pod = next((pod for pod in pods_of(service) if pod.name == member.pod), None)
    has_volumes = pod is not None and _has_volumes(service, pod, member)
    if has_volumes and not moves_data:
        return decline(f"{member.name} has data, and {service.package} has no leave() that moves it away")
    return may_stop(service, member, why)


def may_rebalance(service: "Service") -> Verdict:
    """While nobody is away, and no change is under way: that moves load, too."""
    changing = next((op for op in service.operations if op.revision is not None and op.state in BEGUN), None)
    if changing is not None:
        return defer(f"after {changing.id} ({changing.kind})", retry_after=UNTIL_A_CHANGE_S)
    away = [member for member in service.members if member.pod and not member.back and member.state not in AT_THEIR_END]
    return defer(f"{_names(away)} not ready", retry_after=UNTIL_A_CHANGE_S) if away else accept()


async def one_at_a_time(service: "Service", operations: tuple[Operation, ...]) -> Mapping[str, Verdict]:
    """All of :func:`in_turn` that was answered."""
    return {op.id: verdict async for op, verdict in in_turn(service, operations) if verdict is not None}


async def in_turn(
    service: "Service", operations: tuple[Operation, ...]
) -> AsyncIterator[tuple[Operation, Verdict | None]]:
    """Asks about each operation in the order given, until one is accepted (or all that may go together, as one:
    :mod:`upcall.service.together`); the rest come after it. Where the questions take long, those further back are put
    off until their turn comes: who is still being asked is not silent."""
    taken = next((op for op in service.operations if _takes(op) and not _costs_nothing(service, op)), None)
    silent = 0
    loop, patience_s, told = asyncio.get_running_loop(), service.answer_timeout_s, False
    slow_at_s = loop.time() + patience_s / 2
    tried: set[str] = set()
    as_one: set[str] = set()
    for place, operation in enumerate(operations):
        if operation.id in as_one:
            continue
        group = together.with_it(service, operation) if taken is None and operation.id not in tried else ()
        if group:
            tried |= {each.id for each in group}
            all_of_it = await together.asked(service, group)
            if all_of_it is not None and all_of_it.takes_away:
                taken, as_one = operation, {each.id for each in group}
                for each in group:
                    yield each, all_of_it
                continue
        # What is about all of it need not wait for what brings one of it back.
        whole = not operation.member
        free = whole or taken is None or _brings_back(service, taken, operation.member)
        if taken is not None and not free and operation.kind not in GIVES_BACK:
            yield operation, _after(service, taken, len(operations))
            continue
        if silent >= SILENT_MAX:
            continue
        if not told and loop.time() > slow_at_s:
            told = True
            for number, later in enumerate(operations[place + 1 :], 1):
                yield later, defer(f"asked in its turn, after {number} others", retry_after=patience_s * 2)
        verdict = await asked(service, operation)
        if verdict is None:
            silent += 1
            yield operation, None
            continue
        silent = 0
        if verdict.takes_away:
            if taken is not None and not free:
                yield operation, _after(service, taken, len(operations))
                continue
            # An update takes nothing itself: its steps do, each in its turn.
            taken = operation if operation.revision is None else taken
        yield operation, verdict


def _after(service: "Service", taken: Operation, asked_about: int) -> Verdict:
    """In a large set the one that goes first is not named: or each step of it would be news about all the others."""
    first = f"after {'loss' if taken.kind == 'lost' else taken.kind} of {taken.member or service.name}"
    words = first if asked_about <= NAMED_MAX else "one at a time: another one goes first"
    return defer(words, retry_after=UNTIL_A_CHANGE_S)


async def asked(service: "Service", operation: Operation) -> Verdict | None:
    """One question with its deadline; None is silence, and ``why`` and the log say what was wrong, and where."""
    method = method_of(operation.kind)
    try:
        async with asyncio.timeout(service.answer_timeout_s):
            with as_an_error():
                given = await service.answer_one(operation)
            return checked(type(service), operation.kind, method, given)
    except TimeoutError:
        say(service, operation, f"{LATE}{service.answer_timeout_s:g} s: {method_at(type(service), method)}", None)
    except UpcallError as error:
        say(service, operation, f"because: {in_words_with_line(error)}", None)
    except Exception as error:
        what = f"{operation.kind} of {operation.member or service.name}"
        told = None if isinstance(error, NoAnswer) else error
        say(service, operation, f"because: {service.raised(what, error)}", told)
    return None


def was_late(service: "Service", operation: Operation) -> bool:
    """Its last silence was no error: the deadline of the question was over."""
    return service._context.said.get(operation.id, "").startswith(LATE)


def say(service: "Service", operation: Operation, why: str, error: Exception | None) -> None:
    """Once for each operation and reason; the question is asked again every few seconds, for hours if need be."""
    said = service._context.said
    if said.get(operation.id) == why:
        return
    if len(said) >= SAID_MAX:
        said.clear()
    said[operation.id] = why
    service.log.warning("no answer to %s (%s) %s", operation.id, operation.kind, why, exc_info=error)
    service._context.note(operation.id, f"its code gave no answer {why}")


def _takes(operation: Operation) -> bool:
    """Whether the operation takes a member away now, or may at any moment."""
    if operation.state in ENDED or operation.kind in TOLD or not operation.member:
        return False
    return operation.state in BEGUN or operation.answer == "accept"


def _brings_back(service: "Service", taken: Operation, name: str) -> bool:
    """What is wanted of a member does not wait behind what only brings it back: that may never end by itself, and the
    ledger lets the wish take its place."""
    known = service.members.get(name)
    return taken.member == name and taken.state in BEGUN and known is not None and not known.ready


def _costs_nothing(service: "Service", operation: Operation) -> bool:
    """It brings back what does not count, or what ends by itself again and again: nobody else waits for that."""
    member = service.members.get(operation.member)
    if operation.kind not in GIVES_BACK or member is None:
        return False
    try:
        counts = any(pod.counts for pod in pods_of(service) if pod.name == member.pod)
    except Exception:  # Its code cannot say: what is asked of it besides is answered all the same.
        return False
    return not counts or member.seen.ended_times >= ENDS_AGAIN


def _names(members: Iterable[Member]) -> str:
    return ", ".join(sorted(member.name for member in members))
