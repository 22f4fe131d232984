"""What one turn of the master costs, with little and with much on record: an event should cost what it changes.

    python -m benchmarks.turns            writes build/turns.json

The master is the real one (ledger, kernel, local substrate, SQLite), without its socket; agents are pretended. Three
events are timed, each in a small and in a large cluster of the same run, so that only ratios are promised:

* a *heartbeat* of a node: nothing changes;
* an *observation*: one member is seen unready, then ready again;
* a *wish*: a person proposes an operation and cancels it.

*Ended* are operations of the past, *open* ones wait for services that never answer, *members* are those of other
services. A service is the unit at which the ledger looks: what an observation costs in one with many *own members* is
reported, and nothing is promised of it.
"""

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, Literal

import msgspec

from upcall.cli.figures import Promise, Report
from upcall.cluster.folder import Cluster, DataFolder
from upcall.kernel.records import NODE, RESERVATION, NodeRecord, Reservation
from upcall.master import records as r
from upcall.master.app import make
from upcall.master.driver import Driver
from upcall.master.state import LEDGER_PREFIX, SUBSTRATE_PREFIX
from upcall.operations import inputs as given
from upcall.operations import records as ledger
from upcall.protocol import agent as wire
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.service import MemberWanted
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
MANY_OPERATIONS: Final = 10_000
MANY_MEMBERS: Final = 1_000
MANY_OWN_MEMBERS: Final = 100
TURNS: Final = 50
"""Timed together; their median counts, so a pause of the machine in one of them does not."""
BATCHES: Final = 9
RATIO_MAX: Final = 2.0
"""Between large and small: caches and garbage collection are allowed for, a look at everything is not."""

DECLARATION: Final = Declaration(command=("true",), resources=Resources(cpus=0.01, memory_mib=1, disk_mib=1))
Events = dict[str, Callable[[Driver, int], None]]


@dataclass(frozen=True)
class Size:
    services: int
    members_each: int = 1
    operations: int = 0
    state: Literal["open", "done"] = "done"


def promise(event: str, what: str) -> Promise:
    words = f"at most {RATIO_MAX:g} times: what exists besides costs nothing"
    return Promise(f"{event}_{what}_ratio", words, lambda ratio: ratio <= RATIO_MAX)


PROMISES: Final = tuple(
    promise(event, what) for what in ("ended", "open", "members") for event in ("heartbeat", "observation", "wish")
)


def main() -> int:
    report = Report("turns", PROMISES)
    asyncio.run(measure_all(report))
    return report.finish()


async def measure_all(report: Report) -> None:
    pairs = {
        "ended": (Size(100, 1, FEW), Size(100, 1, MANY_OPERATIONS)),
        "open": (Size(1_000, 1, FEW, "open"), Size(1_000, 1, MANY_OPERATIONS, "open")),
        "members": (Size(1, FEW), Size(MANY_MEMBERS // FEW, FEW)),
        "own_members": (Size(1, FEW), Size(1, MANY_OWN_MEMBERS)),
    }
    for what, (small, large) in pairs.items():
        async with master(small) as few, master(large) as many:
            for event, work in EVENTS.items():
                few_us, many_us = await compare(few, many, work)
                report.figures |= {
                    f"{event}_few_{what}_us": round(few_us, 1),
                    f"{event}_many_{what}_us": round(many_us, 1),
                    f"{event}_{what}_ratio": round(many_us / few_us, 2),
                }


async def compare(few: Driver, many: Driver, work: Callable[[Driver, int], None]) -> tuple[float, float]:
    """Microseconds of a turn in each, in alternating batches: a slower minute of the machine is slower for both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(BATCHES):
        for core, found in zip((few, many), taken, strict=True):
            found.append(await batch(core, work))
    return min(taken[0]), min(taken[1])


async def batch(core: Driver, work: Callable[[Driver, int], None]) -> float:
    gc.collect()
    gc.disable()
    found = []
    for number in range(TURNS):
        began = time.thread_time()
        work(core, number)
        found.append((time.thread_time() - began) * 1e6)
        await core.durable()  # its commit is none of the turn's own time
    gc.enable()
    return median(found)


# -- the events -----------------------------------------------------------------------------------------------------


def heartbeat(core: Driver, number: int) -> None:
    core.post(lambda tx: tx.substrate(local(core).agent_heard(node_of(number), tx.now_s)))


def observation(core: Driver, number: int) -> None:
    state = "unready" if number % 2 == 0 else "ready"
    heard(core, node_of(0), wire.Status(number=number, status=status("service-0", 0, state)))


def wish(core: Driver, number: int) -> None:
    made = []
    proposal = given.Propose(kind="replace", service="service-0", members=("member-0",), asked_by="operator")
    core.post(lambda tx: made.append(tx.ledger(proposal).operation))
    core.post(lambda tx: tx.ledger(given.Cancel(operation=made[0], who="operator")))


EVENTS: Final[Events] = {"heartbeat": heartbeat, "observation": observation, "wish": wish}


# -- a master with something on record ------------------------------------------------------------------------------


def local(core: Driver) -> LocalSubstrate:
    assert isinstance(core.substrate, LocalSubstrate)
    return core.substrate


@asynccontextmanager
async def master(size: Size) -> AsyncIterator[Driver]:
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Path(name))
        write_records(folder, size)
        made = make(folder, Cluster(cluster="turns", prefix="127.1.1", url="http://127.1.1.1:5050"))
        async with made.app.router.lifespan_context(made.app):
            register_all(made.core, size)
            await made.core.durable()
            yield made.core


def write_records(folder: DataFolder, size: Size) -> None:
    folder.root.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(folder.database)
    changes: list[Change] = []
    for node in NODE_NAMES:
        record = NodeRecord(node, amount_of(CPUS, MEMORY_MIB, MEMORY_MIB))
        changes.append(put(SUBSTRATE_PREFIX + NODE, node, record))
    for at in range(size.services):
        service = f"service-{at}"
        installed = r.ServiceRecord(name=service, package="none", version="1", revision=1, options={})
        changes += [put(r.SERVICE, service, installed), put_ledger(ledger.ServiceRecord(name=service, version=1))]
        for number in range(size.members_each):
            name, wanted = f"member-{number}", MemberWanted(declaration=DECLARATION)
            declared = r.Declared(service=service, name=name, generation=1, wanted=wanted)
            member = ledger.MemberRecord(
                service=service, name=name, incarnation=1, started=True, node=node_of(at), version=1
            )
            changes += [put(r.DECLARATION, f"{service}/{name}/1", declared), put_ledger(member)]
            place = Reservation(service, name, node_of(at), address(len(changes)), 1, 1, need_of(DECLARATION))
            changes.append(put(SUBSTRATE_PREFIX + RESERVATION, place.member_id, place))
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
    store.commit(changes)
    store.close()


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


if __name__ == "__main__":
    sys.exit(main())
