"""Everything the master knows in memory, rebuilt from records whenever that is needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec

from upcall.master import records as r
from upcall.master.packages import Packages
from upcall.master.versions import Versions
from upcall.operations.ledger import Ledger
from upcall.operations.records import decode as decode_ledger_record
from upcall.protocol.declaration import Declaration
from upcall.protocol.service import Endpoint, MemberWanted, Package, PlanView, Policy, StateEntry
from upcall.store.interface import Record, Store

T = TypeVar("T")

LEDGER_KINDS = ("service", "member", "operation", "consent")
LEDGER_PREFIX = "ledger/"
SUBSTRATE_PREFIX = "substrate/"


@dataclass(slots=True)
class Service:
    """One installed service, as the master keeps it."""

    record: r.ServiceRecord
    policy: Policy = field(default_factory=Policy)
    members: dict[str, dict[int, MemberWanted]] = field(default_factory=dict)
    """Member -> generation -> declaration; older generations while a task still runs them."""
    revisions: dict[int, r.RevisionRecord] = field(default_factory=dict)
    """Number -> what was wanted under it; those that stood, and those that were only asked for."""
    endpoints: tuple[Endpoint, ...] = ()
    plans: tuple[PlanView, ...] = ()
    health: r.HealthRecord | None = None
    unplaced: str = ""
    """Why the plan of these members has no places yet."""
    unplaced_members: tuple[str, ...] = ()
    members_version: int = 0

    def generation(self, member: str) -> int:
        return max(self.members.get(member, {0: None}))

    @property
    def newest_generation(self) -> int:
        """Of any of its members."""
        return max(map(max, filter(None, self.members.values())), default=0)

    def said_anew(self, members: Mapping[str, MemberWanted]) -> dict[str, MemberWanted]:
        """Those of them of which its newest declaration does not say the same."""
        fresh: dict[str, MemberWanted] = {}
        for member, wanted in members.items():
            generations = self.members.get(member)
            if not generations or generations[max(generations)] != wanted:
                fresh[member] = wanted
        return fresh

    def declared(self, member: str, generation: int = 0) -> MemberWanted | None:
        """The declaration in this generation, or the newest."""
        generations = self.members.get(member, {})
        if not generations:
            return None
        return generations.get(generation) or generations[max(generations)]

    def declaration(self, member: str, generation: int = 0, *, replaces: bool = False) -> Declaration | None:
        """The declaration for a place: one that replaces another has empty volumes, and may want another."""
        wanted = self.declared(member, generation)
        if wanted is None:
            return None
        return wanted.replacement if replaces and wanted.replacement else wanted.declaration


class OldPlace(NamedTuple):
    """Where an incarnation is that runs on beside a newer one."""

    incarnation: int
    node: str
    address: str


@dataclass(slots=True)
class State:
    """The pure ledger and the master's own records; the substrate stands beside it, in the core."""

    start: int
    ledger: Ledger
    services: dict[str, Service]
    packages: Packages
    memory: dict[tuple[str, str], StateEntry]
    substrate_records: dict[tuple[str, str], Any]
    versions: Versions
    """Of all records, as they were read and written."""
    actions: dict[str, r.ActionRecord] = field(default_factory=dict)
    """id -> what a person asked of a service."""
    schedules: dict[tuple[str, str], r.ScheduleRecord] = field(default_factory=dict)
    """Service, name -> what became of what is done again and again."""
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    """member id -> node, address."""
    old_places: dict[str, OldPlace] = field(default_factory=dict)
    """member id -> where names lead again if the new one of two that run at once does not stay ready."""
    replaced: dict[str, str] = field(default_factory=dict)
    """member id -> its address at the place before the present one."""
    next_nodes: dict[str, str] = field(default_factory=dict)
    """member id -> node of the place that was held beside its own last."""
    place_numbers: dict[str, int] = field(default_factory=dict)
    """member id -> number of the place that was asked for last."""
    seen: dict[str, r.SeenRecord] = field(default_factory=dict)
    """member id -> as it was observed last, also before this start."""
    past: dict[str, r.PastRecord] = field(default_factory=dict)
    """member id -> how it ended, of those that have left; the newest last."""

    def declaration(self, service: str, member: str, place: int, generation: int = 0) -> Declaration | None:
        """What runs at this place of a member, if both are known."""
        known = self.services.get(service)
        replaces = self.ledger.replaces(service, member, place)
        return known.declaration(member, generation, replaces=replaces) if known else None

    def is_guest(self, member_id: str) -> bool:
        """A member of somebody else's workload."""
        service, _, member = member_id.partition(".")
        known = self.services.get(service)
        declaration = known.declaration(member) if known is not None else None
        return declaration is not None and bool(declaration.guest)


def _decode(found: list[Record], kind: type[T]) -> list[T]:
    return [msgspec.json.decode(record.value, type=kind) for record in found]


def _past(records: list[Record]) -> dict[str, r.PastRecord]:
    found = {record.key: msgspec.json.decode(record.value, type=r.PastRecord) for record in records}
    return dict(sorted(found.items(), key=lambda one: one[1].left_at))


def load(store: Store, start: int) -> State:
    """Rebuilds everything from the store. ``start`` is this start's number, the first half of every epoch."""
    records = {kind: store.load(kind) for kind in store.kinds()}

    def of(kind: str) -> list[Record]:
        return records.get(kind, [])

    services = {record.name: Service(record) for record in _decode(of(r.SERVICE), r.ServiceRecord)}
    for declared in _decode(of(r.DECLARATION), r.Declared):
        if service := services.get(declared.service):
            service.members.setdefault(declared.name, {})[declared.generation] = declared.wanted
    for revision in _decode(of(r.REVISION), r.RevisionRecord):
        if service := services.get(revision.service):
            service.revisions[revision.number] = revision
    for policy in _decode(of(r.POLICY), r.PolicyRecord):
        if service := services.get(policy.service):
            service.policy = policy.policy
    for endpoints in _decode(of(r.ENDPOINTS), r.EndpointsRecord):
        if service := services.get(endpoints.service):
            service.endpoints = endpoints.endpoints
    for plans in _decode(of(r.PLANS), r.PlansRecord):
        if service := services.get(plans.service):
            service.plans = plans.plans
    for health in _decode(of(r.HEALTH), r.HealthRecord):
        if service := services.get(health.service):
            service.health = health
    memory = {
        (entry.service, entry.key): StateEntry(value=entry.value, version=entry.version)
        for entry in _decode(of(r.STATE), r.StateRecord)
    }
    ledger_records = [
        decode_ledger_record(record.value) for kind in LEDGER_KINDS for record in of(LEDGER_PREFIX + kind)
    ]
    substrate_records = {
        (kind.removeprefix(SUBSTRATE_PREFIX), record.key): msgspec.json.decode(record.value)
        for kind, found in records.items()
        if kind.startswith(SUBSTRATE_PREFIX)
        for record in found
    }
    ledger = Ledger(ledger_records, start=start)
    return State(
        start=start,
        ledger=ledger,
        services=services,
        packages=Packages(_decode(of(r.PACKAGE), Package)),
        memory=memory,
        substrate_records=substrate_records,
        versions=Versions(record for found in records.values() for record in found),
        actions={record.id: record for record in _decode(of(r.ACTION), r.ActionRecord)},
        schedules={(one.service, one.name): one for one in _decode(of(r.SCHEDULE), r.ScheduleRecord)},
        seen={record.key: msgspec.json.decode(record.value, type=r.SeenRecord) for record in of(r.SEEN)},
        past=_past(of(r.PAST)),
        replaced={record.key: record.value.decode() for record in of(r.REPLACED)},
        place_numbers={f"{m.service}.{m.name}": m.place for name in services for m in ledger.members(name)},
    )
