"""Revisions: everything wanted of a service under one number, who asked for it, when and why.

A change is asked for as a revision and carried out as an operation, which is called what it is: ``upgrade`` when the
package's version changes; where nothing but the number of members rises, ``scale_out``; where each member gets more or
less, and nothing else changes, ``grow`` or ``shrink``; ``update`` otherwise. Both are recorded in one turn, and only
when the operation *begins* the revision stands: the service's own record takes it over, and its code hears of it. So
what a service declines was never wanted of it, and every number that was ever asked for stays in the history with what
became of it.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from upcall.master import carrying, due, finalizing, going_back, history
from upcall.master import records as r
from upcall.master.changes import Changed
from upcall.master.core import Core
from upcall.master.packages import check_options
from upcall.master.services import bindings_of, find
from upcall.master.state import Service
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.operations.records import Operation
from upcall.operations.table import CHANGES, Kind
from upcall.protocol import recurring
from upcall.protocol import service as wire
from upcall.protocol.errors import Closed, Conflict, Forbidden, NotFound
from upcall.protocol.nearest import choice, nearest
from upcall.protocol.operator import Update
from upcall.protocol.options import AMOUNT, SIZE, flattened, merged, without
from upcall.protocol.releases import released

# -- asking ---------------------------------------------------------------------------------------------------------


def update(
    tx: Transaction, name: str, asked: Update, who: str, derived: Mapping[str, wire.Derived] | None = None
) -> str:
    """Records the revision and proposes the operation that carries it out. What can be refused is refused before
    anything is recorded. ``derived``: what follows from its goals (:mod:`upcall.master.goals`). Gives the operation's
    id."""
    service = find(tx.core, name)
    stands = service.record
    revision = prepared(tx.core, service, asked, who, tx.wall_s, derived)
    proposal = given.Propose(
        kind=kind_of(tx.core, history.stands(service), revision),
        asked_by=who,
        service=name,
        reason=asked.reason or _reason(revision),
        revision=revision.number,
        instead=asked.instead or asked.back_to is not None,
        in_window=due.asked_in_window(service, asked.in_window),
    )
    outcome = tx.ledger(proposal)
    if stands.revision not in service.revisions:
        history.begin(tx, service)
    history.put(tx, service, revision)
    return outcome.operation


def rescaled(core: Core, name: str, wanted: wire.Rescale) -> Update:
    """Another size, which the service itself asks for: nothing else, and only where a person lets it, in its windows
    where it has any; where one of these ends in the middle, it is held as any other change in them."""
    service = find(core, name)
    stands = service.record
    schema = core.state.packages.find(stands.package, stands.version).options_schema
    if not stands.options.get("autoscale") or SIZE not in schema.get("properties", {}).get(wanted.option, {}):
        raise Forbidden(
            f"{name} may not change {wanted.option} by itself",
            where="option",
            expected=f"its size, once a person lets it: `upcall scale {name} --min A --max B`",
        )
    bounds = stands.options["autoscale"]
    if not bounds["min"] <= wanted.size <= bounds["max"]:
        raise Forbidden(
            f"{name} may not have {wanted.size} members by itself",
            where="size",
            expected=f"{bounds['min']} to {bounds['max']}, as a person said",
        )
    now_s = core.wall()
    if opens_in_s := due.opens_in_s(stands.options, now_s):
        opens = recurring.moments(due.zone(stands.options), now_s + opens_in_s)
        expected = "to be asked again then"
        raise Closed(f"it waits for its window (next {opens})", where=name, expected=expected, opens_in_s=opens_in_s)
    change = {wanted.option: wanted.size}
    in_window = bool(due.windows(stands.options))
    return Update(set=change, made_from=wanted.made_from, reason=wanted.reason, in_window=in_window)


def prepared(
    core: Core,
    service: Service,
    asked: Update,
    who: str,
    wall_s: float,
    derived: Mapping[str, wire.Derived] | None = None,
) -> r.RevisionRecord:
    """The revision that this would be: checked, and nothing recorded."""
    revision = meant(core, service, asked, who, wall_s, derived)
    stands = service.record
    if history.wants(revision) == history.wants(history.stands(service)):
        raise Conflict(
            f"revision {stands.revision} of {stands.name}, which stands, says that already",
            where=stands.name,
            expected="a difference (`upcall config show` lists what stands)",
        )
    if (good := carrying.last_good(service)) is not None:
        failed, now = (changed(core, good, one) for one in (history.stands(service), revision))
        carrying.must_not_go_along(service, asked, revision, failed, now)
    return revision


def meant(
    core: Core,
    service: Service,
    asked: Update,
    who: str,
    wall_s: float,
    derived: Mapping[str, wire.Derived] | None = None,
) -> r.RevisionRecord:
    """The same, whether or not it says anything else than what stands."""
    stands = service.record
    _must_stand(service, asked)
    base = history.stands(service) if asked.back_to is None else going_back.where(core, service, asked.back_to)
    version = asked.version or base.version
    package = core.state.packages.find(stands.package, version)
    finalizing.must_be_readable(stands, package.version)
    if asked.back_to is None:
        finalizing.must_be_no_downgrade(service, package.version)
    follows = dict((derived or {}) if asked.back_to is None else base.derived)
    options = merged(_options(by_a_person(base), asked), {name: one.value for name, one in follows.items()})
    check_options(package, options)
    due.check(package, options, wall_s)
    return r.RevisionRecord(
        service=stands.name,
        number=max([stands.revision, *service.revisions]) + 1,
        package=package.name,
        version=package.version,
        options=options,
        derived=follows,
        bindings=bindings_of(core, package, {**base.bindings, **asked.bindings}),
        secrets=base.secrets if asked.secrets is None else tuple(asked.secrets),
        at=wall_s,
        asked_by=who,
        reason=asked.reason,
        before=stands.revision,
        back_to=base.number if asked.back_to is not None else 0,
        finalize=asked.finalize,
    )


def by_a_person(stands: r.RevisionRecord | r.ServiceRecord) -> dict[str, Any]:
    """What a person said, without what follows from his goals."""
    return without(stands.options, stands.derived)


def said(service: Service, asked: Update) -> dict[str, Any]:
    """What he would have said once this stands."""
    return _options(by_a_person(service.record), asked)


def kind_of(core: Core, before: r.RevisionRecord, revision: r.RevisionRecord) -> Kind:
    """New files under the same version number (an own service that was edited) are an update. Which options are numbers
    of members, or what each member has, the package says in their schema."""
    if released(before.version) != released(revision.version):
        return "upgrade"
    if history.wants(replace(before, options={})) != history.wants(replace(revision, options={})):
        return "update"
    said = core.state.packages.find(revision.package, revision.version).options_schema.get("properties", {})
    found = {_direction(said.get(name, {}), *pair) for name, pair in changed(core, before, revision).items()}
    return found.pop() if len(found) == 1 else "update"


def _direction(said: Mapping[str, Any], was: Any, now: Any) -> Kind:
    """What a change of this option alone would be called."""
    numbers = all(isinstance(one, int | float) for one in (was, now))
    if numbers and SIZE in said and now > was:
        return "scale_out"
    if numbers and AMOUNT in said:
        return "grow" if now > was else "shrink"
    return "update"


def _must_stand(service: Service, asked: Update) -> None:
    """Two people at once: the second is told whose revision stands."""
    stands = service.record
    if asked.made_from is None or asked.made_from == stands.revision:
        return
    known = service.revisions.get(stands.revision)
    by = f", asked for by {known.asked_by}" if known is not None else ""
    raise Conflict(
        f"revision {stands.revision} of {stands.name} stands{by}; this was made from revision {asked.made_from}",
        where="made_from",
        expected=f"a look at `upcall config diff {stands.name} {asked.made_from}`, and then again",
    )


def _reason(revision: r.RevisionRecord) -> str:
    """Who asked for it is said beside it."""
    again = f", which says again what revision {revision.back_to} said" if revision.back_to else ""
    return f"revision {revision.number}{again}"


def _options(base: Mapping[str, Any], asked: Update) -> dict[str, Any]:
    """A map that is set is merged, key by key; what is unset has its default again."""
    found = dict(base if asked.options is None else asked.options)
    for name, value in asked.set.items():
        inner = found.get(name)
        found[name] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
    for path in asked.unset:
        name, dot, key = path.partition(".")
        inner = found.get(name)
        if not dot and name in found:
            del found[name]
        elif dot and isinstance(inner, dict) and key in inner:
            found[name] = {one: value for one, value in inner.items() if one != key}
            if not found[name]:
                del found[name]
        else:
            known = [flat for flat, _ in flattened(found)]
            raise NotFound(
                f"option {path!r} is not set{nearest(path, known)}",
                where="unset",
                expected=choice(sorted(known), "an option that is set (none is)"),
            )
    return found


# -- what differs ---------------------------------------------------------------------------------------------------


def effective(core: Core, revision: r.RevisionRecord) -> dict[str, Any]:
    """What is set, and the package's defaults for the rest."""
    schema = _schema(core, revision)
    if schema is None:
        return dict(revision.options)
    defaults = {name: one["default"] for name, one in schema.get("properties", {}).items() if "default" in one}
    return {**defaults, **revision.options}


def _schema(core: Core, revision: r.RevisionRecord) -> dict[str, Any] | None:
    """Of its options; None: its package is not there any more."""
    try:
        return core.state.packages.find(revision.package, revision.version).options_schema
    except NotFound:
        return None


def changed(core: Core, was: r.RevisionRecord, now: r.RevisionRecord) -> dict[str, tuple[Any, Any]]:
    """Option -> what it was and what is wanted, of those that differ."""
    schemas = [_schema(core, each) for each in (was, now)]
    if None in schemas:  # One of the two packages is gone: what was set is compared, its defaults nobody knows.
        before, after = dict(flattened(was.options)), dict(flattened(now.options))
    else:
        before, after = dict(flattened(effective(core, was))), dict(flattened(effective(core, now)))
    names = [*before, *(name for name in after if name not in before)]
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] and pair != (None, {}) != pair[::-1]}


def between_versions(core: Core, was: r.RevisionRecord, now: r.RevisionRecord) -> dict[str, str]:
    """Options of the package, and settings in them, that one of the two versions alone has, or that have another
    default."""
    if was.version == now.version:
        return {}
    before, after = (_defaults(core.state.packages.find(one.package, one.version).options_schema) for one in (was, now))
    found = {name: "gone" for name in before if name not in after}
    found |= {name: "new" for name in after if name not in before}
    for name in before:
        if name in after and before[name] != after[name]:
            found[name] = f"default {_default_words(before[name])}, now {_default_words(after[name])}"
    return dict(sorted(found.items()))


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> default, of all that may be given: settings in a map by their own names, in which they are known."""
    found: dict[str, Any] = {}
    for name, part in schema.get("properties", {}).items():
        inner = part.get("properties", {})
        found |= {f"{name}.{key}": one.get("default") for key, one in inner.items() if "not" not in one}
        if not inner:
            found[name] = part.get("default")
    return found


def _default_words(default: Any) -> str:
    return "none" if default is None else str(default)


def proposed(core: Core, service: Service, revision: r.RevisionRecord) -> wire.Revision:
    """As the service's own code is shown it."""
    before = service.revisions.get(revision.before) or history.stands(service)
    entry, source = _files_of(core, revision) if revision.version != before.version else ("", "")
    return wire.Revision(
        number=revision.number,
        version=revision.version,
        kind=kind_of(core, before, revision),
        other_code=revision.version != before.version,
        entry=entry,
        source=source,
        options=revision.options,
        bindings=revision.bindings,
        changed=changed(core, before, revision),
    )


def _files_of(core: Core, revision: r.RevisionRecord) -> tuple[str, str]:
    """Where its code is; of a package that is not there any more, nobody knows."""
    try:
        package = core.state.packages.find(revision.package, revision.version)
    except NotFound:
        return "", ""
    return package.entry, package.source


def of_operation(core: Core, operation: Operation) -> wire.Revision | None:
    """What an update or upgrade brings."""
    service = core.state.services.get(operation.target.service)
    revision = service.revisions.get(operation.revision) if service is not None else None
    return proposed(core, service, revision) if service is not None and revision is not None else None


def carried_out_by(core: Core, revision: r.RevisionRecord) -> str:
    """The operation, while it is on record."""
    ledger = core.state.ledger
    found = (one for one in ledger.live(revision.service) if one.revision == revision.number)
    return next((one.id for one in found), "")


# -- what becomes of it ---------------------------------------------------------------------------------------------


def follow(tx: Transaction, changes: Changed) -> None:
    """A rule of the core: a revision stands once its operation has begun, and its record says how that ended."""
    for number in changes.operations:
        operation = tx.core.state.ledger.operation(number)
        if operation is None or operation.kind not in CHANGES:
            continue
        service = tx.core.state.services.get(operation.target.service)
        if service is None or operation.proposed_wall_s < service.record.created_at:
            continue  # Of an older life of the same name.
        revision = service.revisions.get(operation.revision)
        if revision is None:
            if operation.state == "open":  # The master died between the two records: nobody was told of either.
                tx.ledger(given.Cancel(operation=number, who="upcall", why="its revision is not on record"))
            continue
        began = operation.begun or operation.state in ("done", "failed")
        if began and revision.number > service.record.revision:
            _stand(tx, service, revision)
            revision = service.revisions[revision.number]
        if not operation.live and not revision.outcome:
            ended = "cancelled" if operation.state == "withdrawn" and revision.began_at else operation.state
            if ended == "done" and revision.finalize:
                finalizing.at_once(tx, service, revision, in_window=operation.in_window)
            history.put(tx, service, replace(revision, outcome=ended, why=operation.outcome, ended_at=tx.wall_s))


def _stand(tx: Transaction, service: Service, revision: r.RevisionRecord) -> None:
    """One write of the service's record: from then on its code is told this revision."""
    record = service.record
    if record.version != revision.version:
        tx.changed.assignments = True
    service.record = replace(
        record,
        version=revision.version,
        revision=revision.number,
        options=revision.options,
        derived=revision.derived,
        bindings=revision.bindings,
        secrets=revision.secrets,
    )
    tx.put(r.SERVICE, record.name, service.record)
    history.put(tx, service, replace(revision, began_at=tx.wall_s))
    tx.dirty_wanted.add(record.name)
    tx.changed.schedules[record.name] = None
    tx.event("service", record.name, f"revision {revision.number} stands, asked for by {revision.asked_by}",
             who=revision.asked_by, revision=revision.number)  # fmt: skip
