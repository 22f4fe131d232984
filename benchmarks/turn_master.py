"""A real master with something on record, without its socket and with agents that are pretended: what is timed by
:mod:`benchmarks.turns`."""

import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from upcall.cluster.folder import Cluster, DataFolder
from upcall.kernel.records import NODE, RESERVATION, NodeRecord, Reservation
from upcall.master import from_wire
from upcall.master import records as r
from upcall.master.app import make
from upcall.master.driver import Driver
from upcall.master.services import declaration_key
from upcall.master.state import LEDGER_PREFIX, SUBSTRATE_PREFIX
from upcall.operations import records as ledger
from upcall.protocol import agent as wire
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.service import MemberWanted, Policy
from upcall.protocol.versions import WIRE
from upcall.store.interface import Change, Put
from upcall.store.sqlite import SqliteStore
from upcall.substrate.local import LocalSubstrate
from upcall.substrate.local_needs import amount_of, need_of

NODES: Final = 20
NODE_NAMES: Final = tuple(f"node-{number}" for number in range(1, NODES + 1))
CPUS: Final = 100.0
MEMORY_MIB: Final = 100_000
FEW: Final = 10
DECLARATION: Final = Declaration(command=("true",), resources=Resources(cpus=0.01, memory_mib=1, disk_mib=1))


@dataclass(frozen=True)
class Size:
    services: int
    members_each: int = 1
    operations: int = 0
    state: Literal["open", "done"] = "done"


def local(core: Driver) -> LocalSubstrate:
    assert isinstance(core.substrate, LocalSubstrate)
    return core.substrate


@asynccontextmanager
async def master(size: Size) -> AsyncIterator[Driver]:
    """With every node registered."""
    async with recorded(size) as folder, started(folder) as (core, _):
        register_all(core, size)
        await core.durable()
        yield core


@asynccontextmanager
async def recorded(size: Size) -> AsyncIterator[DataFolder]:
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Path(name))
        write_records(folder, size)
        yield folder


@asynccontextmanager
async def started(folder: DataFolder) -> AsyncIterator[tuple[Driver, float]]:
    """A master on these records, and after how many seconds it was up."""
    began = time.monotonic()
    made = make(folder, Cluster(cluster="turns", prefix="127.1.1", url="http://127.1.1.1:5050"))
    async with made.app.router.lifespan_context(made.app):
        yield made.core, time.monotonic() - began


def write_records(folder: DataFolder, size: Size) -> None:
    folder.root.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(folder.database)
    changes: list[Change] = []
    for node in NODE_NAMES:
        record = NodeRecord(node, amount_of(CPUS, MEMORY_MIB, MEMORY_MIB))
        changes.append(put(SUBSTRATE_PREFIX + NODE, node, record))
    for at in range(size.services):
        for number in range(size.members_each):
            place = Reservation(
                f"service-{at}", f"member-{number}", node_of(at), address(len(changes)), 1, 1, need_of(DECLARATION)
            )
            changes.append(put(SUBSTRATE_PREFIX + RESERVATION, place.member_id, place))
    store.commit([*changes, *on_record(size, lambda at, _: node_of(at))])
    store.close()


def on_record(size: Size, where: Callable[[int, int], str]) -> list[Change]:
    """What a master has of it, whatever its machines are. ``where``: the node of a service's how many-th member."""
    changes: list[Change] = []
    for at in range(size.services):
        service = f"service-{at}"
        installed = r.ServiceRecord(name=service, package="none", version="1", revision=1, options={})
        changes.append(put(r.SERVICE, service, installed))
        changes.append(put(r.POLICY, service, r.PolicyRecord(service=service, policy=Policy())))
        policy = from_wire.policy(Policy())
        changes.append(put_ledger(ledger.ServiceRecord(name=service, package="none", policy=policy, version=1)))
        for number in range(size.members_each):
            name, wanted = f"member-{number}", MemberWanted(declaration=DECLARATION)
            declared = r.Declared(service=service, name=name, generation=1, wanted=wanted)
            member = ledger.MemberRecord(
                service=service,
                name=name,
                incarnation=1,
                launched=1,
                generation=1,
                target=1,
                started=True,
                initialised=True,
                restarts_max=DECLARATION.restarts_max,
                portable=not DECLARATION.bound_to_its_node,
                node=where(at, number),
                package="none",
                version=1,
            )
            changes += [put(r.DECLARATION, declaration_key(service, name, 1), declared), put_ledger(member)]
    for number in range(1, size.operations + 1):
        # The first services' own are few, whatever the size: they are looked at.
        service = f"service-{FEW + number % (size.services - FEW)}"
        target = ledger.Target(service=service, members=("member-0",), incarnations=(1,))
        operation = ledger.Operation(
            id=f"op-{number}",
            kind="restart",
            class_="voluntary",
            target=target,
            reason="",
            asked_by="operator",
            state=size.state,
            version=1,
        )
        changes.append(put_ledger(operation))
    return changes


def put(kind: str, key: str, value: object) -> Put:
    return Put(kind, key, msgspec.json.encode(value))


def put_ledger(record: ledger.Record) -> Put:
    return Put(LEDGER_PREFIX + ledger.kind_of(record), record.key, ledger.encode(record))


def node_of(service: int) -> str:
    return NODE_NAMES[service % NODES]


def address(number: int) -> str:
    """More than one cluster's loopback network has."""
    return f"127.{2 + number // 65_536}.{number // 256 % 256}.{number % 256}"


def status(service: str, member: int, state: str) -> wire.TaskStatus:
    return wire.TaskStatus(task=f"{service}.member-{member}.1", state=state, fence=1, generation=1)


def heard(core: Driver, node: str, message: wire.FromAgent) -> None:
    core.post(lambda tx: tx.substrate(local(core).agent(node, message, tx.now_s)))


def register_all(core: Driver, size: Size) -> None:
    """Every node comes back with what runs there."""
    tasks: dict[str, list[wire.TaskStatus]] = {node: [] for node in NODE_NAMES}
    for at in range(size.services):
        tasks[node_of(at)] += [status(f"service-{at}", member, "ready") for member in range(size.members_each)]
    for node, found in tasks.items():
        message = wire.Register(
            node=node,
            wire=WIRE,
            boot="1",
            cpus=CPUS,
            memory_mib=MEMORY_MIB,
            disk_mib=MEMORY_MIB,
            attributes={},
            tasks=tuple(found),
        )
        heard(core, node, message)
