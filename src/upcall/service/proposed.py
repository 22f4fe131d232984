"""A change of options that is proposed: whether the service agrees to it, and what it would do.

What nobody has to write is refused here: options that the service's own model refuses, a ``pods()`` that raises with
them, code that cannot say what it wants, an option that is never changed, a member that may not leave. Only what
passed is the expert's to answer.
"""

from dataclasses import dataclass
from typing import Final

from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import UpcallError
from upcall.protocol.releases import released
from upcall.service import faults
from upcall.service.changing import Update, between
from upcall.service.comparing import Comparison, NobodyKnows, compare, declarations, effects, with_options
from upcall.service.consent import Verdict, accept, decline
from upcall.service.options import ServiceOptions, validated
from upcall.service.questions import checked
from upcall.service.service import Service
from upcall.service.stranger import asked
from upcall.service.trying import Code, Refused, code_of, of_the_same_files
from upcall.service.while_running import sorted_out

REFUSED_MAX: Final = 5
"""Reasons named at once."""


@dataclass(frozen=True)
class Looked:
    """A change that makes sense."""

    update: Update
    code: Code
    """Who answers: the service in the version that would come; where that cannot be tried, as it runs."""
    found: Comparison | None = None
    """What it does; None: nobody can say that beforehand."""


async def looked_at(service: Service, revision: wire.Revision, kind: str) -> Looked:
    """The change, and what it does. Raises :class:`Refused`."""
    code, upgrade, here = (
        await code_of(service, revision),
        kind == "upgrade",
        service._context.version or service.version,
    )
    if code is None:
        update = Update(revision.number, revision.version, upgrade, service.options, (), here)
        return Looked(update, of_the_same_files(service))
    try:
        options = validated(code.service.Options, revision.options, where=service.name)
    except UpcallError as error:
        raise Refused(error.problem.message, where="options") from error
    if code.service is service and not service._context.started:
        # What it would declare with them nobody can say: it does not start.
        return Looked(Update(revision.number, revision.version, upgrade, options, (), here), code)
    if not hasattr(code.service, "options"):
        code.service.options = options  # Those of before mean nothing to it.
    changes = between(service.options, options)
    update = Update(revision.number, revision.version, upgrade, options, changes, here)
    try:
        found = await _compared(service, code, options)
    except NobodyKnows:
        return Looked(update, code)
    if found.refused:
        said = [f"{change.name} is never changed: {found.how[change.name].reason}" for change in found.refused]
        raise Refused("; ".join(said[:REFUSED_MAX]))
    return Looked(update, code, found)


async def _compared(service: Service, code: Code, options: ServiceOptions) -> Comparison:
    before = service if code.service is not service else None
    here = service._context.version
    if before is not None and here and released(here) != service.version:
        # The version that runs is not here any more: other code of it answers, and cannot say what it was.
        await code.call(declarations, with_options(code.service, options))
        raise NobodyKnows
    try:
        return await code.call(compare, code.service, service.options, options, None, before)
    except (NobodyKnows, Refused):
        raise
    except Exception as error:
        raise Refused(f"with these options: {faults.words(error, type(service))}") from error


async def consent_to_update(service: Service, operation: wire.Operation, revision: wire.Revision) -> Verdict:
    """The answer to an update or an upgrade."""
    try:
        looked = await looked_at(service, revision, operation.kind)
    except Refused as refused:
        return decline(refused.problem.message)
    if looked.code.service is service and not service._context.started:
        # Nobody is there to ask. It takes nothing away: each step is asked of the code that comes.
        return accept(f"the code of {service.name} that runs could not start")
    found = looked.found
    if found is not None and (
        against := await _may_leave(service, operation, found) or await _no_place(service, found)
    ):
        return decline(against)
    return await looked.code.service.may_update(looked.update, operation)


async def consent_to_finalize(service: Service, operation: wire.Operation) -> Verdict:
    """The answer to the point of no return. It is about a service that is all of one version."""
    behind = sorted(member.name for member in service.members.values() if member.seen.behind)
    if behind:
        names = ", ".join(behind)
        return decline(f"{names} would come back in the version before: its upgrade is to be carried out first")
    return await service.may_finalize(operation)


async def _may_leave(service: Service, operation: wire.Operation, found: Comparison) -> str:
    """Why it comes to nothing to begin: a member that leaves may not. What only has to wait a little is the steps' own
    business. Empty: nothing stands against it."""
    leaving = tuple(name for name in reversed(found.leave) if name in service.members)
    for name in leaving:
        member = service.members[name]
        asked_about = _would_be("scale_in", name, incarnation=member.incarnation, below=operation, leaving=leaving)
        verdict = checked(type(service), "scale_in", "may_scale_in", await service.may_scale_in(member, asked_about))
        if verdict.word == "decline" or (verdict.word == "defer" and not verdict.waiting_helps):
            helps = "; ".join(way.does for way in verdict.would_help)
            return f"{name} would leave: {verdict.reason}" + (f" (would help: {helps})" if helps else "")
    return ""


async def _no_place(service: Service, found: Comparison) -> str:
    """Why it comes to nothing to begin: those that come, or are to have more than before, have no place. It is the
    system that says so. Empty: they have one."""
    grow = tuple(name for name in found.differ if _is_more(found.was[name], found.wanted[name]))
    for names in (
        found.come,
        (*grow, *found.come) if grow else (),
    ):  # Those that come are named alone where they can be.
        placed = {name: wire.MemberWanted(declaration=found.wanted[name]) for name in names}
        if placed and (unplaced := await service._context.fits(wire.Declare(members=placed))):
            return f"no place for {', '.join(placed)}: {unplaced}"
    return ""


def _is_more(was: Declaration, now: Declaration) -> bool:
    """It asks more of its node than before, of something."""
    before, after = was.resources, now.resources
    sizes = {volume.name: volume.size_mib for volume in was.volumes}
    return (
        after.cpus > before.cpus
        or after.memory_mib > before.memory_mib
        or after.disk_mib > before.disk_mib
        or any(volume.size_mib > sizes.get(volume.name, 0) for volume in now.volumes)
    )


async def preview(service: Service, revision: wire.Revision) -> wire.Preview:
    """What a revision would do, and what the service says to it now. Nothing follows from it."""
    kind = revision.kind
    operation = _would_be(kind, revision=revision)
    try:
        looked = await looked_at(service, revision, kind)
    except Refused as refused:
        how = {} if revision.other_code else {one.name: str(service.how(one)) for one in _changes(service, revision)}
        why = refused.problem.message
        return wire.Preview(how=how, answer=f"decline: {why}", declined=why, unasked=True)
    found = looked.found
    verdict = await asked(service, operation)
    answer = _words(verdict)
    declined = verdict.reason if verdict is not None and verdict.word == "decline" else ""
    unasked = found is not None and bool(declined) and declined == await _no_place(service, found)
    if found is None:
        why = f"version {revision.version}, where that tells it something else"  # Its code is not here to say where.
        every = {member.name: why for member in service.members if member.pod}
        return wire.Preview(restart=every, answer=answer, declined=declined, next=await _first_step(service, every))
    how, restart = await looked.code.call(effects, looked.code.service, service.options, found)
    version = f"version {revision.version}"
    return wire.Preview(
        how=how,
        restart={name: ", ".join([version, *([why] if why else [])]) for name, why in restart.items()}
        if revision.other_code
        else restart,
        live=tuple(name for name in found.wanted if name in found.was) if found.live else (),
        live_first=_told_first(service, found),
        come=found.come,
        leave=found.leave,
        answer=answer,
        declined=declined,
        unasked=unasked,
        next=await _first_step(service, restart),
    )


def _changes(service: Service, revision: wire.Revision) -> tuple:  # type: ignore[type-arg]
    try:
        return between(service.options, validated(service.Options, revision.options, where=service.name))
    except UpcallError:
        return ()


async def _first_step(service: Service, restart: dict[str, str]) -> str:
    members = [member for member in service.members if member.name in restart]
    if not members:
        return ""
    canary = service.canary(members)
    said = await asked(service, _would_be("restart", canary.name, incarnation=canary.incarnation))
    return f"restart of {canary.name}: {_words(said)}"


def _told_first(service: Service, found: Comparison) -> str:
    """Who would be told first what changes while members run; empty: nobody is told alone."""
    ready = [member for member in service.members if member.back and member.name in found.was]
    return service.canary(ready).name if ready and sorted_out(service, found.live).each else ""


def _words(verdict: Verdict | None) -> str:
    if verdict is None:
        return "no answer (`upcall logs --host` says why)"
    return f"{verdict.word}: {verdict.reason}" if verdict.reason else verdict.word


def _would_be(
    kind: str,
    member: str = "",
    *,
    incarnation: int = 0,
    revision: wire.Revision | None = None,
    below: wire.Operation | None = None,
    leaving: tuple[str, ...] = (),
) -> wire.Operation:
    return wire.Operation(
        id=below.id if below is not None else f"preview-{kind}",
        kind=kind,
        klass="voluntary",
        state="open",
        reason=below.reason if below is not None else "a preview",
        asked_by=below.asked_by if below is not None else "a person",
        parent=below.id if below is not None else "",
        comes_back=kind != "scale_in",
        leaving=leaving,
        member=member,
        incarnation=incarnation,
        revision=revision,
    )
