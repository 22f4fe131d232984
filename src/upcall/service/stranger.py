"""The careful stranger: what a service does where its expert wrote nothing.

Somebody who knows nothing about a system, and is careful, takes one member away at a time, and only while all others
are ready. A member that is not ready itself costs nothing; it may be taken as long as nothing else is under way (or
two sick members would wait for each other for ever).
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from upcall.protocol.errors import UpcallError
from upcall.protocol.service import Member as Seen
from upcall.protocol.service import Operation, Policy
from upcall.service.consent import Verdict, accept, defer
from upcall.service.context import Context
from upcall.service.member import Member, MemberSet

if TYPE_CHECKING:
    from upcall.service.service import Service

BEGUN: Final = ("executing", "preparing")
"""States of an operation from its begin to its end."""

ENDED: Final = ("done", "failed", "withdrawn", "declined", "lifted")

AT_THEIR_END: Final = ("finished", "failed")
"""States of a job that ran its course: nothing waits for it to come back."""

TOLD: Final = ("maintenance", "kill", "shutdown")
"""Kinds that are told; they need no answer."""

SAID_MAX: Final = 1000
"""Operations whose silence is remembered as told."""

SILENT_MAX: Final = 2
"""Two questions in a row without an answer: what is asked hangs. The others are asked at the next look."""

GIVES_BACK: Final = ("lost",)
"""Kinds that take nothing away: the member is away already."""


def members(service: "Service", context: Context) -> MemberSet:
    """The members of all pods, then those that are still there although no pod names them any more."""
    found: list[Member] = []
    named: set[str] = set()
    for pod in service.pods():
        names = pod.member_names
        for index, name in enumerate(names):
            peers = tuple(other for other in names if other != name)
            seen = context.members.get(name, Seen(name=name))
            found.append(Member(name, pod.name, index, seen, peers, _runner=context.run_tool))
            named.add(name)
    for name, seen in context.members.items():
        if name not in named:
            found.append(Member(name, seen=seen, _runner=context.run_tool))
    return MemberSet(found)


def policy(service: "Service") -> Policy:
    """All members but one stay ready; fail closed with volumes, open without."""
    counted = [name for pod in service.pods() if pod.counts for name in pod.member_names]
    has_volumes = any(
        (pod.task or service.task)(member).volumes
        for pod in service.pods()
        for member in service.members.of(pod.name)[:1]
    )
    return Policy(
        minimum=max(len(counted) - 1, 0),
        at_most=1,
        silence="hold" if has_volumes else "proceed",
        holds_data=has_volumes,
        replace_after_s=service.options.replace_after_s,
    )


def may_stop(service: "Service", member: Member, why: Operation) -> Verdict:
    """Only while all others that count are ready, unless the member itself is not."""
    if not member.ready:
        return accept(f"{member.name} is not ready anyway")
    counting = {name for pod in service.pods() if pod.counts for name in pod.member_names}
    others = [other for other in service.members.without(member) if other.name in counting]
    away = [other for other in others if not other.back and other.state not in AT_THEIR_END]
    if away:
        settling = [other for other in away if other.ready]
        why_not = "not back: after_ready has not returned" if len(settling) == len(away) else "not ready"
        return defer(f"{_names(away)} {'is' if len(away) == 1 else 'are'} {why_not}", retry_after=5)
    return accept()


async def one_at_a_time(service: "Service", operations: tuple[Operation, ...]) -> Mapping[str, Verdict]:
    """Asks about each operation in the order given, until one is accepted; the rest come after it."""
    verdicts: dict[str, Verdict] = {}
    taken = next((op for op in service.operations if _takes(op)), None)
    silent = 0
    for operation in operations:
        # What takes all of it away need not wait for what brings one of it back.
        whole = operation.kind == "uninstall"
        if taken is not None and not whole and operation.kind not in GIVES_BACK:
            verdicts[operation.id] = defer(f"after {taken.kind} of {taken.member or service.name}")
            continue
        verdict = await asked(service, operation)
        if verdict is None:
            silent += 1
            if silent >= SILENT_MAX:
                break
            continue
        silent = 0
        if verdict.takes_away:
            if taken is not None and not whole:
                verdicts[operation.id] = defer(f"after {taken.kind} of {taken.member or service.name}")
                continue
            taken = operation
        verdicts[operation.id] = verdict
    return verdicts


async def asked(service: "Service", operation: Operation) -> Verdict | None:
    """One question with its deadline; None is silence, and the log says why."""
    try:
        async with asyncio.timeout(service.answer_timeout_s):
            return await service.answer_one(operation)
    except TimeoutError:
        _say(service, operation, f"within {service.answer_timeout_s:g} s", None)
    except UpcallError as error:
        _say(service, operation, f"because: {error}", None)
    except Exception as error:
        _say(service, operation, f"because: {type(error).__name__}: {error}", error)
    return None


def _say(service: "Service", operation: Operation, why: str, error: Exception | None) -> None:
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


def _names(members: Iterable[Member]) -> str:
    return ", ".join(sorted(member.name for member in members))
