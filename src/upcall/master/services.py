"""Services as people want them: install, uninstall, what a service declared of itself."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from upcall.master import credentials, due, from_wire, history, keeping, past, reporting, whereabouts
from upcall.master import records as r
from upcall.master.changes import Changed
from upcall.master.core import Core
from upcall.master.packages import check_options
from upcall.master.state import Service
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.protocol import checks, templates
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Invalid, NotFound, TooLarge
from upcall.protocol.nearest import choice, nearest
from upcall.protocol.operator import NAME, NAME_WORDS, Install
from upcall.protocol.options import merged
from upcall.protocol.pattern_words import in_words
from upcall.substrate import interface as sub

MEMBERS_MAX = 1000
NOTES_MAX = 1000
MEMORY_KEYS_MAX = 10_000
MEMORY_BYTES_MAX = 256 << 10
_NAME = re.compile(NAME)


def find(core: Core, name: str) -> Service:
    service = core.state.services.get(name)
    if service is None:
        known = core.state.services
        raise NotFound(
            f"no service {name!r}{nearest(name, known)}",
            where="service",
            expected=choice(sorted(known), "an installed service (none is)"),
        )
    return service


def install(tx: Transaction, request: Install, who: str, derived: Mapping[str, wire.Derived] | None = None) -> Service:
    """Records the wanted service. Everything that can be refused is refused before anything is recorded. ``derived``:
    what follows from its goals (:mod:`upcall.master.goals`)."""
    core = tx.core
    record = wanted_record(core, request, who, tx.wall_s, derived)
    name, package, bindings = record.name, core.state.packages.find(record.package, record.version), record.bindings
    another = core.state.ledger.left_by(name) not in ("", package.name)
    needs = tuple(sorted(set(bindings.values())))
    tx.ledger(given.DeclareService(name=name, needs=needs, package=package.name, fresh=request.fresh))
    forget_memory(tx, name, at_once=request.fresh or another)
    past.forget_service(tx, name)
    service = core.state.services[name] = Service(record)
    tx.changed.assignments = True
    tx.changed.schedules[name] = None
    tx.put(r.SERVICE, name, record)
    history.begin(tx, service)
    tx.event("service", name, f"wanted by {who}: package {package.name} {package.version}", who=who)
    return service


def wanted_record(
    core: Core, request: Install, who: str, at: float, derived: Mapping[str, wire.Derived] | None = None
) -> r.ServiceRecord:
    """What would be recorded of it; raises for all that can be refused, and changes nothing."""
    package = core.state.packages.find(request.package, request.version)
    options = merged(request.options, {name: one.value for name, one in (derived or {}).items()})
    check_options(package, options)
    due.check(package, options, at)
    name = request.name or package.name
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise Invalid(f"not a name of a service: {name!r}", where="name", expected=NAME_WORDS)
    if name in core.state.services:
        raise Conflict(
            f"a service {name!r} is installed already", where="name", expected="another name (--name), or uninstall it"
        )
    return r.ServiceRecord(
        name=name,
        package=package.name,
        version=package.version,
        revision=1,
        options=options,
        derived=dict(derived or {}),
        bindings=bindings_of(core, package, request.bindings),
        secrets=tuple(request.secrets),
        created_at=at,
        asked_by=who,
        platform=request.platform,
        keeper=keeping.record(request.keeper, 1) if request.keeper is not None else None,
    )


def bindings_of(core: Core, package: wire.Package, asked: Mapping[str, str]) -> dict[str, str]:
    """Need -> service, for every need of the package."""
    needs = {need.name: need for need in package.needs}
    for name in asked:
        if name not in needs:
            raise Invalid(
                f"package {package.name} has no need {name!r}{nearest(name, needs)}",
                where=f"bindings.{name}",
                expected=choice(needs, "no bindings"),
            )
    bindings = {}
    for name, need in needs.items():
        service = asked.get(name, name)
        if service in core.state.services:
            bindings[name] = service
        elif name in asked or not need.optional:
            raise Conflict(
                f"{package.name} needs {name}, and no service {service!r} is installed",
                where=f"bindings.{name}",
                expected=f"`upcall install {name}` first, or another service bound to it",
            )
    return bindings


def remove_package(tx: Transaction, name: str, version: str, who: str) -> None:
    """An own package that no service is made from: one version, or all of them. What it named goes with the next sweep
    (:mod:`upcall.master.housekeeping`)."""
    state = tx.core.state
    going = state.packages.versions(name, version)
    if not all(package.source for package in going):
        raise Conflict(
            f"package {name} is part of this installation",
            where="package",
            expected="a package of your own (`upcall install FILE` registers one)",
        )
    keys = {(package.name, package.version) for package in going}
    users = sorted(name for name, each in state.services.items() if (each.record.package, each.record.version) in keys)
    named = history.packages_named(state.services)
    earlier = sorted({user for key in keys for user in named.get(key, ())})
    if users or earlier:
        by = ", ".join(users) or f"an earlier revision of {', '.join(earlier)}, which can be gone back to"
        version = next(version for package, version in sorted(keys) if (package, version) in named)
        raise Conflict(
            f"package {name} {version} is used by {by}",
            where="package",
            expected=" and ".join(f"`upcall uninstall {service}`" for service in users or earlier) + " first",
        )
    for package in going:
        state.packages.forget(package)
        tx.delete(r.PACKAGE, f"{package.name}@{package.version}")
        tx.event("package", package.name, f"version {package.version} is removed by {who}")
    tx.changed.assignments = True


def finish_uninstalls(tx: Transaction, changed: Changed) -> None:
    """A rule of the core: what an ended uninstall leaves behind goes. A service's own memory stays as long as its
    volumes may be taken back."""
    ledger, services = tx.core.state.ledger, tx.core.state.services
    for number in changed.operations:
        operation = ledger.operation(number)
        if operation is None or operation.kind not in ("uninstall", "scale_in") or operation.state != "done":
            continue
        name = operation.target.service
        if name not in services:
            continue
        if operation.kind == "scale_in":
            _forget_members(tx, services[name], operation.target.members)
            continue
        if operation.proposed_wall_s < services[name].record.created_at:
            continue  # An older life of the same name.
        service = services.pop(name)
        tx.changed.assignments = True
        for action in [one.id for one in tx.core.state.actions.values() if one.service == name]:
            del tx.core.state.actions[action]
            tx.delete(r.ACTION, action)
        due.forget(tx, name)
        for kind in (r.POLICY, r.ENDPOINTS, r.PLANS, r.HEALTH):
            tx.delete(kind, name)
        history.forget(tx, service)
        for member, generations in service.members.items():
            for generation in generations:
                tx.delete(r.DECLARATION, declaration_key(name, member, generation))
            whereabouts.forgotten(tx, f"{name}.{member}")
        tx.delete(r.SERVICE, name)  # last: as long as it is there, a start finds what is left to do
        tx.event("service", name, "uninstalled")


def _forget_members(tx: Transaction, service: Service, members: Iterable[str]) -> None:
    """They have left for good: what was declared of them goes, and with it what it named."""
    name = service.record.name
    here = {view.name for view in tx.core.state.ledger.members(name)}
    for member in members:
        if member not in here:
            for generation in service.members.pop(member, {}):
                tx.delete(r.DECLARATION, declaration_key(name, member, generation))
            whereabouts.forgotten(tx, f"{name}.{member}")


def declaration_key(service: str, member: str, generation: int) -> str:
    return f"{service}.{member}@{generation}"


def declare(tx: Transaction, name: str, request: wire.Declare) -> int:
    """The service's whole set of members. Gives the version of the declared set (its highest generation).

    All that can be refused is refused before anything is recorded: the members are looked at first, and what the
    ledger says of the policy comes before the master's own records."""
    service = find(tx.core, name)
    # What is on record was looked at when it came; all the others are what it costs to say the whole set again.
    fresh = service.said_anew(request.members)
    _check_members(request, fresh, guests=tx.core.substrate.capabilities.guests)
    _check_secrets(tx.core, name, request)
    tx.refuse(tx.core.state.ledger.objection(name, request.members))
    policy = request.policy
    tx.ledger(
        given.DeclareService(
            name=name,
            minimum=policy.minimum,
            stateful=policy.holds_data,
            policy=from_wire.policy(policy),
            needs=tuple(sorted(set(service.record.bindings.values()))),
        )
    )
    if policy != service.policy or not service.members:
        service.policy = policy
        tx.put(r.POLICY, name, r.PolicyRecord(service=name, policy=policy))
    for member, wanted in fresh.items():
        _declare_member(tx, service, member, wanted)
    members = from_wire.members(request, service.generation, same_as=_unchanged(tx.core, service), anew=fresh)
    tx.ledger(given.DeclareMembers(service=name, members=members, revision=request.revision))
    if starting := tuple(member for member, wanted in request.members.items() if wanted.start):
        tx.ledger(given.StartMembers(service=name, members=starting))
    _forget_old_generations(tx, service)
    _withdraw_what_is_over(tx, service, request)
    tx.dirty_members.add(name)
    return service.newest_generation


def fits(core: Core, name: str, request: wire.Declare) -> str:
    """Why not all of these would have a place now; nothing is recorded, and nothing reserved."""
    find(core, name)
    _check_members(request, request.members, guests=core.substrate.capabilities.guests)
    return core.substrate.fits(name, {member: wanted.declaration for member, wanted in request.members.items()})


def resize(tx: Transaction, name: str, request: wire.Resize) -> sub.Resizing:
    """Another amount for a member that runs: one that it is declared to have, or was before."""
    service, core = find(tx.core, name), tx.core
    declared = service.members.get(request.member)
    if declared is None:
        raise NotFound(
            f"{name} has no member {request.member!r}",
            where="member",
            expected=choice(sorted(service.members), "a member that is declared (none is)"),
        )
    if not core.substrate.capabilities.resize_in_place:
        raise Conflict("these machines give a task that runs no other amount", where=name, expected="a restart")
    if all(one.declaration.resources != request.resources for one in declared.values()):
        raise Conflict(
            f"{name}.{request.member} was never declared with this",
            where="resources",
            expected="what it is declared with, or was before",
        )
    found = (one.incarnation for one in core.state.ledger.members(name) if one.name == request.member)
    task = sub.TaskId(name, request.member, next(found, 0))
    tx.substrate(core.substrate.resize(task, request.resources, tx.now_s))
    return core.substrate.resizing(task, request.resources)


def differ(core: Core, name: str, request: wire.Declare) -> tuple[str, ...]:
    """Members that are there and were told something else than this, and would start with it again. What was declared
    since and has not come to them does not count: nobody runs it."""
    service = find(core, name)
    _check_members(request, service.said_anew(request.members), guests=core.substrate.capabilities.guests)
    found = []
    for member, wanted in request.members.items():
        runs = service.members.get(member, {}).get(core.state.ledger.target(name, member))
        if runs and (runs.declaration, runs.replacement) != (wanted.declaration, wanted.replacement):
            found.append(member)
    return tuple(found)


def start(tx: Transaction, name: str, request: wire.Starts) -> None:
    find(tx.core, name)
    if request.members:
        tx.ledger(given.StartMembers(service=name, members=request.members))
        tx.dirty_members.add(name)


def _check_members(request: wire.Declare, fresh: Mapping[str, wire.MemberWanted], *, guests: bool) -> None:
    if len(request.members) > MEMBERS_MAX:
        raise TooLarge(f"{len(request.members)} members", where="members", expected=f"at most {MEMBERS_MAX}")
    for member, wanted in fresh.items():
        if not _NAME.fullmatch(member):
            raise Invalid(f"not a name of a member: {member!r}", where="members", expected=in_words(NAME))
        if not wanted.declaration.command:
            raise Invalid("the command is empty", where=f"members.{member}.declaration.command", expected="a program")
        if wanted.declaration.guest and not guests:
            raise Invalid(
                f"{wanted.declaration.guest} is a workload of somebody else's, and here are none",
                where=f"members.{member}.declaration.guest",
                expected="a cluster that has such (Kubernetes)",
            )
        checks.validate(member, wanted.declaration, where=f"members.{member}.declaration")
        templates.validate(member, wanted.declaration, where=f"members.{member}.declaration")
        if wanted.replacement is not None:
            checks.validate(member, wanted.replacement, where=f"members.{member}.replacement")
            templates.validate(member, wanted.replacement, where=f"members.{member}.replacement")


def _check_secrets(core: Core, service: str, request: wire.Declare) -> None:
    for member, wanted in request.members.items():
        for kind, declaration in (("declaration", wanted.declaration), ("replacement", wanted.replacement)):
            for secret in declaration.secrets if declaration is not None else ():
                credentials.allow(core, service, secret.ref, f"members.{member}.{kind}.secrets.{secret.name}")


def _declare_member(tx: Transaction, service: Service, member: str, wanted: wire.MemberWanted) -> None:
    """Something of it is said for the first time."""
    generations = service.members.setdefault(member, {})
    newest = max(generations, default=0)
    same = newest and generations[newest].declaration == wanted.declaration
    generation = newest if same else newest + 1
    generations[generation] = wanted
    name = service.record.name
    tx.changed.names[name] = None  # an endpoint says which port of it, and not its number
    declared = r.Declared(service=name, name=member, generation=generation, wanted=wanted)
    tx.put(r.DECLARATION, declaration_key(name, member, generation), declared)


def _unchanged(core: Core, service: Service) -> dict[str, int]:
    """Member -> the generation that it is meant to run, where its newest declaration says the same: it went back."""
    ledger, name = core.state.ledger, service.record.name
    found: dict[str, int] = {}
    for member, generations in service.members.items():
        if len(generations) == 1:
            continue
        number = ledger.target(name, member)
        target, newest = generations.get(number), generations[max(generations)]
        if target and (target.declaration, target.replacement) == (newest.declaration, newest.replacement):
            found[member] = number
    return found


def _withdraw_what_is_over(tx: Transaction, service: Service, request: wire.Declare) -> None:
    """A job at its end that its service names no more."""
    left_out = service.members.keys() - request.members.keys()
    if not left_out:
        return
    name = service.record.name
    over = {view.name for view in tx.core.state.ledger.members(name) if view.status in ("finished", "failed")}
    if gone := sorted(left_out & over):
        tx.ledger(given.WithdrawMembers(service=name, members=tuple(gone)))
        _forget_members(tx, service, gone)


def _forget_old_generations(tx: Transaction, service: Service) -> None:
    """Needed are the newest declaration, those that run, and what a member gets whose turn has not come."""
    ledger, name = tx.core.state.ledger, service.record.name
    for member, generations in service.members.items():
        if len(generations) == 1:
            continue
        needed = ledger.generations(name, member)
        for generation in sorted(generations)[:-1]:
            if generation not in needed:
                del generations[generation]
                tx.delete(r.DECLARATION, declaration_key(name, member, generation))


def set_endpoints(tx: Transaction, name: str, request: wire.Endpoints) -> None:
    service = find(tx.core, name)
    credentials.check(name, request.endpoints)
    if service.endpoints != request.endpoints:
        service.endpoints = request.endpoints
        tx.changed.names[name] = None
        tx.put(r.ENDPOINTS, name, r.EndpointsRecord(service=name, endpoints=request.endpoints))


def set_plans(tx: Transaction, name: str, request: wire.Plans) -> None:
    """Plans are to be shown; a step's change of state is an event."""
    service = find(tx.core, name)
    if service.plans == request.plans:
        return
    before = _steps(service.plans)
    for key, step in _steps(request.plans).items():
        if key not in before or (before[key].state, before[key].reason) != (step.state, step.reason):
            text, detail = reporting.step(key[0], " / ".join(key), step, starts_member=key[2] in service.members)
            data = {"plan": key[0], "phase": key[1], "step": key[2], "state": step.state}
            tx.event("plan", name, text, detail=detail, service=name, **data)
    known = {plan.name: plan for plan in service.plans}
    for plan in request.plans:
        if text := reporting.plan(known.get(plan.name), plan):
            tx.event("plan", name, text, service=name, plan=plan.name, state=plan.state)
    service.plans = request.plans
    tx.put(r.PLANS, name, r.PlansRecord(service=name, plans=request.plans))


def _steps(plans: tuple[wire.PlanView, ...]) -> dict[tuple[str, str, str], wire.StepView]:
    return {(plan.name, phase.name, step.name): step for plan in plans for phase in plan.phases for step in phase.steps}


def note(tx: Transaction, name: str, said: wire.Note) -> None:
    """Kept with the operation for as long as this master lives; the event is kept for longer."""
    operation = tx.core.state.ledger.operation(said.operation)
    if operation is None or operation.target.service != name:
        raise NotFound(f"{name} has no operation {said.operation!r}", where="operation")
    if len(said.text) > wire.NOTE_CHARS_MAX:
        raise TooLarge(f"{len(said.text)} characters", where="text", expected=f"at most {wire.NOTE_CHARS_MAX}")
    notes = tx.core.notes
    notes[said.operation] = said.text
    while len(notes) > NOTES_MAX:
        del notes[next(iter(notes))]
    tx.event("host", said.operation, f"{name}: {said.text}", service=name, operation=said.operation)


# -- a service's own memory -----------------------------------------------------------------------------------------


def read_memory(core: Core, name: str, key: str) -> wire.StateEntry:
    entry = core.state.memory.get((name, key))
    if entry is None:
        raise NotFound(f"no key {key!r} in the memory of {name}", where="key")
    return entry


def write_memory(tx: Transaction, name: str, key: str, write: wire.StateWrite) -> wire.StateEntry:
    """Compare and swap: the version that was read must still be the current one."""
    find(tx.core, name)
    memory = tx.core.state.memory
    _expect_version(tx.core, name, key, write.version)
    size = len(msgspec.json.encode(write.value))
    if size > MEMORY_BYTES_MAX:
        raise TooLarge(f"{size} bytes for key {key!r}", where="value", expected=f"at most {MEMORY_BYTES_MAX} bytes")
    if (name, key) not in memory and sum(1 for service, _ in memory if service == name) >= MEMORY_KEYS_MAX:
        raise TooLarge(f"{name} has {MEMORY_KEYS_MAX} keys", where="key", expected="fewer keys")
    entry = memory[name, key] = wire.StateEntry(value=write.value, version=write.version + 1)
    tx.put(r.STATE, f"{name}/{key}", r.StateRecord(service=name, key=key, value=write.value, version=entry.version))
    return entry


def delete_memory(tx: Transaction, name: str, key: str, version: int | None) -> None:
    if version is not None:
        _expect_version(tx.core, name, key, version)
    if tx.core.state.memory.pop((name, key), None):
        tx.delete(r.STATE, f"{name}/{key}")


def forget_memory(tx: Transaction, name: str, *, at_once: bool = False) -> None:
    """What an uninstalled service remembered goes when its volumes can no longer be taken back; ``at_once``: when they
    are not to be."""
    memory, ledger = tx.core.state.memory, tx.core.state.ledger
    if not at_once and ledger.volumes_until(name) > tx.wall_s:
        return
    for service, key in [entry for entry in memory if entry[0] == name]:
        del memory[service, key]
        tx.delete(r.STATE, f"{service}/{key}")


def _expect_version(core: Core, name: str, key: str, version: int) -> None:
    entry = core.state.memory.get((name, key))
    stands = entry.version if entry else 0
    if stands != version:
        raise Conflict(
            f"key {key!r} of {name} has version {stands}",
            where="version",
            expected=f"{stands}, not {version}; read again",
        )


def endpoint_addresses(core: Core, service: Service, endpoint: wire.Endpoint) -> list[str]:
    """``host:port`` of the members behind an endpoint that have an address."""
    found = []
    for member in endpoint.members:
        declaration: Any = service.declaration(member)
        place = core.state.places.get(f"{service.record.name}.{member}")
        if declaration is None or place is None or not place[1]:
            continue
        found += [f"{place[1]}:{port.number}" for port in declaration.ports if port.name == endpoint.port]
    return found
