"""A change of options that is proposed: whether the service agrees to it.

What nobody has to write is refused here: options that the service's own model refuses, a ``pods()`` that raises with
them, code that cannot say what it wants, an option that is never changed, a member that may not leave. Only what
passed is the expert's to answer.
"""

from dataclasses import dataclass, replace
from typing import Final

from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import UpcallError
from upcall.protocol.releases import released
from upcall.service import faults
from upcall.service.changing import Update, between
from upcall.service.comparing import Comparison, NobodyKnows, compare, declarations, with_options
from upcall.service.consent import Verdict, accept, decline
from upcall.service.options import ServiceOptions, validated
from upcall.service.questions import checked
from upcall.service.service import Service
from upcall.service.trying import Code, Refused, code_of, of_the_same_files

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
    if found is not None and (against := await _may_leave(service, operation, found)):
        return decline(against)
    if found is not None and (unplaced := await no_place(service, found)):
        return replace(decline(unplaced), by_system=True)
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
        asked_about = would_be("scale_in", name, incarnation=member.incarnation, below=operation, leaving=leaving)
        verdict = checked(type(service), "scale_in", "may_scale_in", await service.may_scale_in(member, asked_about))
        if verdict.word == "decline" or (verdict.word == "defer" and not verdict.waiting_helps):
            helps = "; ".join(way.does for way in verdict.would_help)
            return f"{name} would leave: {verdict.reason}" + (f" (would help: {helps})" if helps else "")
    return ""


async def no_place(service: Service, found: Comparison) -> str:
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


def would_be(
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
