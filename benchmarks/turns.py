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
import time
from collections.abc import Callable
from statistics import median
from typing import Final

from benchmarks import large_cluster
from benchmarks.turn_master import FEW, Size, heard, local, master, node_of, status
from upcall.cli.figures import Promise, Report
from upcall.master.driver import Driver
from upcall.operations import inputs as given
from upcall.protocol import agent as wire

MANY_OPERATIONS: Final = 10_000
MANY_MEMBERS: Final = 1_000
MANY_OWN_MEMBERS: Final = 100
TURNS: Final = 50
"""Timed together; their median counts, so a pause of the machine in one of them does not."""
BATCHES: Final = 9
RATIO_MAX: Final = 2.0
"""Between large and small: caches and garbage collection are allowed for, a look at everything is not."""

Events = dict[str, Callable[[Driver, int], None]]


def promise(event: str, what: str) -> Promise:
    words = f"at most {RATIO_MAX:g} times: what exists besides costs nothing"
    return Promise(f"{event}_{what}_ratio", words, lambda ratio: ratio <= RATIO_MAX)


PROMISES: Final = (
    *(promise(event, what) for what in ("ended", "open", "members") for event in ("heartbeat", "observation", "wish")),
    *large_cluster.PROMISES,
)


def main() -> int:
    report = Report("turns", PROMISES)
    asyncio.run(measure_all(report))
    report.figures |= asyncio.run(large_cluster.figures())
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


if __name__ == "__main__":
    sys.exit(main())
