"""What each kind of input costs a master with a thousand services and ten thousand members.

Part of :mod:`benchmarks.turns`. Each input is one turn of the real master, timed by itself with the garbage collector
as a master has it; what counts is the 99th percentile. A drain concerns as many members as its node holds, so it is
counted for each of them.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
import psutil

from benchmarks.turn_master import (
    DECLARATION,
    NODE_NAMES,
    NODES,
    Size,
    heard,
    local,
    node_of,
    recorded,
    register_all,
    started,
    status,
)
from upcall.cli.figures import Promise
from upcall.master import garbage, services
from upcall.master.driver import Driver
from upcall.operations import inputs as given
from upcall.protocol import agent as wire
from upcall.protocol import service as service_wire

SERVICES: Final = 1_000
MEMBERS_EACH: Final = 10
INPUTS: Final = 500
"""Of each kind."""
DRAINS: Final = 4
P99_US_MAX: Final = 500.0
START_S_MAX: Final = 5.0
KINDS: Final = ("heartbeat", "observation", "declare", "propose", "answer", "cancel", "drain_member")

PROMISES: Final = (
    *(
        Promise(f"large_{kind}_p99_us", f"at most {P99_US_MAX:g} us", lambda v: v <= P99_US_MAX, "reference")
        for kind in KINDS
    ),
    Promise("large_start_s", f"at most {START_S_MAX:g} s", lambda v: v <= START_S_MAX, "reference"),
)


async def figures() -> dict[str, Any]:
    size, process = Size(SERVICES, MEMBERS_EACH), psutil.Process()
    before = process.memory_info().rss
    async with recorded(size) as folder, started(folder) as (core, started_s):
        register_all(core, size)
        await core.durable()
        found = {"services": SERVICES, "members": SERVICES * MEMBERS_EACH, "start_s": round(started_s, 2)}
        found["memory_mib"] = round((process.memory_info().rss - before) / 2**20)
        core.state.packages.put(service_wire.Package(name="none", version="1"))
        for at in range(SERVICES):
            host_is_there(core, f"service-{at}")
        await core.durable()
        garbage.look_seldom()
        for kind, samples in (await measure(core)).items():
            samples.sort()
            found |= {f"{kind}_p50_us": round(samples[len(samples) // 2], 1), f"{kind}_p99_us": p99(samples)}
    return {f"large_{name}": value for name, value in found.items()}


def p99(samples: list[float]) -> float:
    return round(samples[min(len(samples) - 1, len(samples) * 99 // 100)], 1)


async def measure(core: Driver) -> dict[str, list[float]]:
    """Microseconds of each input, by kind."""
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}

    async def timed(kind: str, work: Callable[[], Any], among: int = 1) -> Any:
        began = time.thread_time()
        result = work()
        taken[kind].append((time.thread_time() - began) * 1e6 / among)
        await core.durable()
        return result

    for number in range(INPUTS):
        service, node = f"service-{number % SERVICES}", node_of(number)
        state = "unready" if number % 2 == 0 else "ready"
        seen = wire.Status(number=number, status=status("service-0", 0, state))
        await timed("heartbeat", partial(beat, core, node))
        await timed("observation", partial(heard, core, node_of(0), seen))
        await timed("declare", partial(declare, core, service, number))
        operation = await timed("propose", partial(propose, core, service))
        await timed("answer", partial(answer, core, service, operation))
        await timed("cancel", partial(cancel, core, operation))
    members = SERVICES * MEMBERS_EACH // NODES
    for node in NODE_NAMES[:DRAINS]:
        await timed("drain_member", partial(drain, core, node), members)
        undrain(core, node)
        await core.durable()
    return taken


def beat(core: Driver, node: str) -> None:
    core.post(lambda tx: tx.substrate(local(core).agent_heard(node, tx.now_s)))


def declare(core: Driver, service: str, number: int) -> None:
    """Its code says the whole service again, and one member is another than before."""
    wanted = {f"member-{at}": service_wire.MemberWanted(declaration=DECLARATION) for at in range(MEMBERS_EACH)}
    changed = msgspec.structs.replace(DECLARATION, env={"NUMBER": str(number)})
    wanted["member-0"] = service_wire.MemberWanted(declaration=changed)
    core.post(lambda tx: services.declare(tx, service, service_wire.Declare(members=wanted)))


def propose(core: Driver, service: str) -> str:
    made: list[str] = []
    wish = given.Propose(kind="replace", service=service, members=("member-1",), asked_by="ann")
    core.post(lambda tx: made.append(tx.ledger(wish).operation))
    return made[0]


def answer(core: Driver, service: str, operation: str) -> None:
    epoch = core.state.ledger.book.epoch(service)
    later = given.Answer(verdict="defer", retry_after_s=60.0, reason="not now")
    core.post(lambda tx: tx.ledger(given.Answers(service=service, epoch=epoch, answers={operation: later})))


def cancel(core: Driver, operation: str) -> None:
    core.post(lambda tx: tx.ledger(given.Cancel(operation=operation, who="ann")))


def drain(core: Driver, node: str) -> None:
    core.post(lambda tx: tx.ledger(given.Propose(kind="maintenance", node=node, asked_by="ann", window_s=600.0)))


def undrain(core: Driver, node: str) -> None:
    core.post(lambda tx: tx.ledger(given.Undrain(node=node, who="ann")))


def host_is_there(core: Driver, service: str) -> None:
    core.post(lambda tx: tx.ledger(given.HostSubscribed(service=service)))


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(asyncio.run(figures()))).decode())
