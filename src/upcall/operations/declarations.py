"""What services declare: themselves, their members, and which of these should run.

Members are declared in groups, because places are found for a whole group or for none of it. Declaring again alters
the generation that the *next* incarnation gets; whatever restarts a member is an operation. Starting is idempotent.
"""

import re
from operator import attrgetter
from typing import Final, Literal

from msgspec.structs import replace

from upcall.operations import consents, maintenance, members, places
from upcall.operations.book import Book
from upcall.operations.effects import Refused, Release, Reserve
from upcall.operations.inputs import (
    DeclareMembers,
    DeclareService,
    MemberDeclaration,
    Retarget,
    StartMembers,
    WithdrawMembers,
)
from upcall.operations.naming import member_of
from upcall.operations.news import MemberDeclared, MemberWithdrawn, ServiceDeclared
from upcall.operations.records import Mark, MemberRecord, ServiceRecord
from upcall.operations.table import KINDS

NAME: Final = re.compile(r"[a-z0-9](?:[-_a-z0-9]{0,61}[a-z0-9])?")
"""Without a dot, which separates service, member and incarnation."""
MEMBERS_MAX: Final = 1000
TOMBSTONES_MAX: Final = 1000
FIRST_REVISION: Final = 1
"""Under which a member was declared whose record does not say so."""
POLICY_S_MAX: Final = 30 * 86400.0
"""Longer than any repair, and finite: what waits longer waits for a person."""
KEEP_VOLUMES_S_MAX: Final = 366 * 86400.0


def _bad_name(name: str, where: str) -> Refused | None:
    if NAME.fullmatch(name):
        return None
    return Refused(
        code="invalid",
        message=f"{name!r} is not a name",
        where=where,
        expected="1 to 63 of a-z, 0-9, - and _, beginning and ending with a letter or digit",
    )


def _leaving(book: Book, service: str) -> Refused | None:
    for operation in book.live(service):
        if operation.kind == "uninstall" and operation.begun:
            return Refused(
                code="conflict",
                message=f"{service} is being uninstalled by {operation.id}",
                where=service,
                expected="wait until it is over",
            )
    return None


def _out_of_bounds(given: DeclareService) -> Refused | None:
    """Numbers that would stop a service for ever, or never wait at all. Written so that not-a-number is refused too."""
    policy = given.policy
    for where, count, least in (("minimum", given.minimum, 0), ("policy.at_most", policy.at_most, 1)):
        if not least <= count <= MEMBERS_MAX:
            expected = f"{least} to {MEMBERS_MAX}"
            return Refused(code="invalid", message=f"{where} is {count}", where=where, expected=expected)
    if len(policy.order) > 2 * MEMBERS_MAX:
        return Refused(code="invalid", message=f"{len(policy.order)} members in order", where="policy.order",
                       expected=f"at most {2 * MEMBERS_MAX}")  # fmt: skip
    for name in ("answer_s", "replace_after_s", "leave_s", "stuck_after_s"):
        value: float = getattr(policy, name)
        if not 0 < value <= POLICY_S_MAX:
            return Refused(
                code="invalid",
                message=f"policy.{name} is {value:g}",
                where=f"policy.{name}",
                expected=f"more than 0 and at most {POLICY_S_MAX:g} seconds",
            )
    if not 0 <= policy.before_stop_s <= POLICY_S_MAX:
        return Refused(
            code="invalid",
            message=f"policy.before_stop_s is {policy.before_stop_s:g}",
            where="policy.before_stop_s",
            expected=f"0 to {POLICY_S_MAX:g} seconds",
        )
    if not 0 <= policy.keep_volumes_s <= KEEP_VOLUMES_S_MAX:
        return Refused(
            code="invalid",
            message=f"policy.keep_volumes_s is {policy.keep_volumes_s:g}",
            where="policy.keep_volumes_s",
            expected=f"0 to {KEEP_VOLUMES_S_MAX:g} seconds",
        )
    return None


def declare_service(book: Book, given: DeclareService) -> Refused | None:
    refused = _bad_name(given.name, "name") or _leaving(book, given.name)
    refused = refused or _out_of_bounds(given)
    if refused is not None:
        return refused
    before = book.services.get(given.name)
    record = ServiceRecord(
        name=given.name,
        minimum=given.minimum,
        stateful=given.stateful,
        policy=given.policy,
        needs=tuple(sorted(set(given.needs))),
        package=given.package or (before.package if before is not None else ""),
    )
    if before is None and given.fresh:
        for tombstone in book.tombstones_of(given.name):
            book.put(replace(tombstone, begins_anew=True))
    if before is not None and replace(before, version=0) == record:
        return None
    book.put(record)
    if before is None:
        book.emit(ServiceDeclared(service=given.name))
    elif (before.minimum, before.policy) != (record.minimum, record.policy):
        consents.move_epoch(book, given.name, "minimum or policy changed")
    return None


def objection(book: Book, service: str, names: tuple[str, ...]) -> Refused | None:
    """What stands against declaring members of these names."""
    if service not in book.services:
        return Refused(
            code="not_found",
            message=f"no service {service!r}",
            where="service",
            expected="a service that was declared",
        )
    refused = _leaving(book, service)
    for name in names:
        if refused is None and f"{service}.{name}" not in book.members:
            refused = _bad_name(name, "members")
    many = len(book.indexes.members_of.get(service, ())) + len(names) > 2 * MEMBERS_MAX  # with those that have left
    if refused is None and many and len(book.members_of(service)) + len(names) > 2 * MEMBERS_MAX:
        refused = Refused(
            code="invalid",
            message=f"{len(names)} more members",
            where="members",
            expected=f"at most {MEMBERS_MAX} in a service",
        )
    return refused


def declare_members(book: Book, given: DeclareMembers) -> Refused | None:
    refused = objection(book, given.service, tuple(declared.name for declared in given.members))
    if refused is not None:
        return refused
    joined = _any_begins(book, given) and _has_data(book, given)
    places, package = {}, book.services[given.service].package
    for declared in given.members:
        key = f"{given.service}.{declared.name}"
        member = before = book.members.get(key)
        if member is None or not _is_on_record(given, declared, member, package):
            member = _declare_member(book, given, declared, before, joined=joined)
        another = member is not before or declared.anew
        # Who has a place and is what he was keeps it: only the others are to be found one, together.
        if (another or not book.memory.members[key].place_node) and not member.at_its_end:
            places[member.name] = member.reserved_place
    if places:
        book.emit(Reserve(service=given.service, places=places))
    return None


def _any_begins(book: Book, given: DeclareMembers) -> bool:
    """At its place, for all that its own record says."""
    for declared in given.members:
        known = book.members.get(f"{given.service}.{declared.name}")
        if known is None or known.removed is not None or known.at_its_end:
            return True
    return False


def _has_data(book: Book, given: DeclareMembers) -> bool:
    """Whether members of the service have data, so that one which is new joins them: those that are there, and those
    that are declared again and take their volumes back."""
    returning = (book.members.get(f"{given.service}.{declared.name}") for declared in given.members)
    back = (m for m in returning if m is not None and m.removed is not None and not _volumes_gone(book, m))
    return any(member.has_data for member in (*book.members_of(given.service), *back))


def left_behind(book: Book, service: str) -> list[str]:
    """Members of the life before, by name, that had data which can still be taken back. (What is portable has none, and
    who left before the others went had given its away.)"""
    gone = (m for m in book.tombstones_of(service) if m.has_data and not m.portable and not m.left)
    return sorted(member.name for member in gone if not _volumes_gone(book, member))


def lost_behind(book: Book, service: str) -> list[str]:
    """Members of the life before, by name, that had data which cannot be taken back, although that of others can."""
    gone = [m for m in book.tombstones_of(service) if m.has_data and not m.portable and not m.left]
    ended_by = {m.removed.why for m in gone if m.removed is not None and not _volumes_gone(book, m)}
    lost = (m for m in gone if m.removed is not None and m.removed.why in ended_by and _volumes_gone(book, m))
    return sorted(member.name for member in lost)


def _volumes_gone(book: Book, member: MemberRecord) -> bool:
    """What it has left cannot be taken back any more, or is not to be: another package has nothing to do with it."""
    service = book.services.get(member.service)
    another = service is not None and "" != member.package != service.package
    with_its_node = book.memory.volumes_bound_to_node and book.node_state(member.node) == "gone"
    return member.begins_anew or another or with_its_node or book.wall_s >= member.volumes_until_wall_s


def _target(before: MemberRecord, given: DeclareMembers, declared: MemberDeclaration, *, anew: bool) -> int:
    """Which generation its next incarnation gets. What was launched keeps what it has under a later revision until its
    turn in the update has come; under the same one the newest follows (other machines, other addresses)."""
    follows = given.revision in (0, before.revision or FIRST_REVISION)
    unchanged = declared.same_as == before.next_generation
    if anew or before.incarnation == 0 or unchanged or (follows and not before.behind):
        return declared.generation
    return before.next_generation


_SAID: Final = attrgetter(
    "generation", "restart", "restarts_max", "start_timeout_s", "grace_s", "counts", "hooks", "portable", "two_at_once"
)
"""What a declaration says of a member, in its words and on its record."""


def _is_on_record(given: DeclareMembers, declared: MemberDeclaration, member: MemberRecord, package: str) -> bool:
    """The same is declared again, as most are of a service that says its whole set."""
    return (
        member.removed is None
        and _SAID(declared) == _SAID(member)
        and member.target == member.generation
        and given.revision in (0, member.revision)
        and (not member.volumes_until_wall_s or member.at_its_end)
        and member.package == package
    )


def _declare_member(
    book: Book, given: DeclareMembers, declared: MemberDeclaration, known: MemberRecord | None, *, joined: bool
) -> MemberRecord:
    """Gives its record; the one that was known, if nothing of it is another. ``joined``: others have data, in case that
    it begins at its place."""
    service = given.service
    before = known or MemberRecord(service=service, name=declared.name)
    returns = before.removed is not None
    same = before.generation == declared.generation and not returns
    again = before.at_its_end and not same and before.volumes_until_wall_s > 0
    fresh_volumes = (returns or again) and _volumes_gone(book, before)
    record = replace(
        before,
        generation=declared.generation,
        target=_target(before, given, declared, anew=returns or before.at_its_end),
        revision=given.revision or before.revision,
        restart=declared.restart,
        restarts_max=declared.restarts_max,
        start_timeout_s=declared.start_timeout_s,
        grace_s=declared.grace_s,
        counts=declared.counts,
        hooks=declared.hooks,
        portable=declared.portable,
        two_at_once=declared.two_at_once and declared.portable,
        took=0 if fresh_volumes else before.took,
        joined=joined if fresh_volumes or not before.version else before.joined,
        taken_back=before.has_data and not fresh_volumes if returns else before.taken_back,
        finished=before.finished and same,
        failed=before.failed and same,
        failures=before.failures if same else 0,
        removed=None,
        left=False,
        place=before.place + (1 if fresh_volumes else 0),
        first_place=before.place + 1 if fresh_volumes else before.first_place,
        starts_before=before.incarnation if fresh_volumes else before.starts_before,
        initialised=before.initialised and not fresh_volumes,
        node="" if returns else before.node,
        # How its earlier life ended is no reason for how this one is: what is remembered of that is the past's.
        ended_how="" if returns else before.ended_how,
        # Whatever ended its earlier life, it was taken away on purpose: it is not lost, and has not crashed.
        ended_by=before.removed.why if before.removed is not None else before.ended_by,
        volumes_until_wall_s=before.volumes_until_wall_s if before.at_its_end and same else 0.0,
        begins_anew=False,
        package=book.services[service].package,
    )
    if before.version and record == before:
        return before
    book.put(record)
    if not before.version:
        book.emit(MemberDeclared(service=service, member=record.name))
    elif returns:
        kept: Literal["with fresh volumes", "with its volumes"] = (
            "with fresh volumes" if fresh_volumes else "with its volumes"
        )
        book.emit(MemberDeclared(service=service, member=record.name, again=kept))
    return book.members[record.key]


def retarget_members(book: Book, given: Retarget) -> Refused | None:
    found: list[MemberRecord] = []
    for name in given.members:
        member = member_of(book, given.service, name, where="members")
        if isinstance(member, Refused):
            return member
        found.append(member)
    for member in found:
        members.take_newest(book, member)
    return None


def start_members(book: Book, given: StartMembers, *, who: str) -> Refused | None:
    found: list[MemberRecord] = []
    for name in given.members:
        member = member_of(book, given.service, name, where="members")
        if isinstance(member, Refused):
            return member
        found.append(member)
    refused = _leaving(book, given.service)
    if refused is not None:
        return refused
    for member in found:
        if not member.started:
            book.put(replace(member, started=True))
        holder = members.held_by(book, member)
        if holder is not None and KINDS[holder.kind].shape == "away" and book.allows(holder, "lift"):
            maintenance.lift(book, holder, Mark(who=who, why="started again", wall_s=book.wall_s))
    return None


def withdraw_members(book: Book, given: WithdrawMembers) -> Refused | None:
    found: list[MemberRecord] = []
    for name in given.members:
        member = book.members.get(f"{given.service}.{name}")
        if member is None or member.removed is not None:
            continue
        if member.incarnation > 0 and not member.at_its_end:
            return Refused(
                code="conflict",
                message=f"{member.key} was launched",
                where="members",
                expected="a member that was never launched, or a job at its end; else scale_in or uninstall",
            )
        found.append(member)
    for member in found:
        if member.at_its_end:
            # Its numbers are not used twice; its room is free since it ended.
            mark = Mark(who=given.service, why="withdrawn", wall_s=book.wall_s)
            places.call_off(book, member)
            book.put(replace(member, removed=mark, started=False))
            book.emit(MemberWithdrawn(service=member.service, member=member.name, launched=True))
            continue
        places.call_off(book, member)
        book.delete(member)
        book.emit(Release(service=member.service, member=member.name, keep_volumes_s=0.0))
        book.emit(MemberWithdrawn(service=member.service, member=member.name))
    return None
