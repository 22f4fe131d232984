"""What ``upcall demo`` shows of the data: found in the store by queries, said in lines.

The command line knows nothing of flights; it asks this module for looks (:func:`watch`), about one a second. Where the
store is, the platform says (its endpoints).
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from upcall.fastdata import sensors, wording
from upcall.fastdata import watch as flight_watch
from upcall.fastdata.login import Login
from upcall.fastdata.queries import Queries
from upcall.fastdata.schema import NOT_NOW

STORE: Final = ("cassandra", "reader")
RETRY_S: Final = 0.5
LINES_MAX: Final = 50


class ClientLike(Protocol):
    """What is needed of a client of the operator API."""

    def endpoints(self) -> list[Any]: ...

    def credentials(self, service: str, endpoint: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """One look."""

    text: str
    found: list[str] = field(default_factory=list)
    """Anomalies since the last look, in words."""
    matched: Mapping[str, Any] | None = None
    """The first anomaly that answers for a labelled fault, once there is one."""


def watch(client: ClientLike) -> Iterator[Seen]:
    """Looks for as long as one asks."""
    logging.getLogger("cassandra").setLevel(logging.ERROR)
    queries = None
    while queries is None:
        queries = _connected(client)
        if queries is None:
            yield Seen("the store has no tables yet")
            time.sleep(RETRY_S)
    loop = asyncio.new_event_loop()
    snapshots = flight_watch.watch(queries)
    told: set[tuple[str, int, str, int]] = set()
    try:
        while True:
            snapshot = loop.run_until_complete(anext(snapshots))
            if isinstance(snapshot, flight_watch.Unanswered):
                yield Seen(f"the store does not answer: {snapshot.reason}")
            else:
                yield Seen("nothing is stored yet") if snapshot is None else _seen(snapshot, told)
    finally:
        # Ctrl-C leaves the look that was under way: it is ended before its generator can be.
        under_way = asyncio.all_tasks(loop)
        for task in under_way:
            task.cancel()
        if under_way:
            loop.run_until_complete(asyncio.gather(*under_way, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        queries.close()


def _connected(client: ClientLike) -> Queries | None:
    addresses: list[str] = next(
        (endpoint.addresses for endpoint in client.endpoints() if (endpoint.service, endpoint.name) == STORE), []
    )
    if not addresses:
        return None
    hosts, ports = zip(*(address.rsplit(":", 1) for address in addresses), strict=True)
    try:
        said = client.credentials(*STORE)
        login = Login(said.user, said.password) if said.user else None
        return Queries.connect(hosts, int(ports[0]), login=login)
    except NOT_NOW:
        return None


def _seen(snapshot: flight_watch.Snapshot, told: set[tuple[str, int, str, int]]) -> Seen:
    text = (
        f"second {snapshot.second} of the flight {snapshot.run.flight}: "
        f"{snapshot.readings_per_s / 1e6:.2f} million readings/s stored ({snapshot.mb_per_s:.1f} MB/s as float32, "
        f"{snapshot.packed_mb_per_s:.1f} MB/s on the wire), {snapshot.lag_s:.1f} s behind"
    )
    found = []
    for episode in reversed(snapshot.episodes):
        if episode.key in told:
            continue
        told.add(episode.key)
        label = " (a labelled fault)" if episode.key in snapshot.matched else ""
        found.append(
            f"second {episode.begin}: {episode.kind.value} of {sensors.name(episode.sensor)}{label}, "
            f"{wording.says(episode)}"
        )
    return Seen(text, found[-LINES_MAX:], _first_match(snapshot))


def _first_match(snapshot: flight_watch.Snapshot) -> Mapping[str, Any] | None:
    for episode in reversed(snapshot.episodes):
        if fault := snapshot.matched.get(episode.key):
            return {
                "run": snapshot.run.run_id,
                "seed": snapshot.run.seed,
                "sensor": episode.sensor,
                "kind": episode.kind.value,
                "begin_second": episode.begin,
                "fault_begin_sample": fault.begin_sample,
            }
    return None
