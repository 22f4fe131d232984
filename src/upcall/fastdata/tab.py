"""The flight's tab on the page: where the aircraft is, how its sensors are, what was found, how fast and how late.

All of it comes from queries (`watch`), once a second, shared by all browsers that look; nobody looks, nothing is asked.
A browser gets the places of the 20,000 sensors and the flight's track once, and then only the sensors whose health
changed. It says on its face what is recorded and what is modelled.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog
from nicegui import background_tasks, ui

from upcall.fastdata import sensors, wording
from upcall.fastdata.detect.episodes import Episode
from upcall.fastdata.flights import Flight, load_flight
from upcall.fastdata.login import Login
from upcall.fastdata.queries import Queries
from upcall.fastdata.recordings import fetch_recording
from upcall.fastdata.runs import Run
from upcall.fastdata.schema import NOT_NOW
from upcall.fastdata.watch import RATE_OVER_S, Snapshot, Unanswered, watch
from upcall.protocol.errors import Forbidden, UpcallError

if TYPE_CHECKING:
    from upcall.web.tabs import TabContext, Tabs

PARTS: Final = Path(__file__).parent / "parts"
UPDATE_S: Final = 1.0
UNSEEN_S: Final = 10.0
"""Nobody looked for so long: the store is left alone."""
RETRY_S: Final = 2.0
SERIES_S: Final = 180
TRACK_POINTS: Final = 1_200
LISTED: Final = 60
MM_A_STEP: Final = 4
"""Sensors' places are sent in steps of so many millimetres: they fit 16 bits."""

log = structlog.get_logger(__name__)


def register(tabs: Tabs) -> None:
    from upcall.web.tabs import Tab

    tabs.add(Tab(name="flight", label="Flight", packages=frozenset({"aircraft", "windows"}), build=build))


def build(context: TabContext) -> None:
    ui.add_head_html(f"<style>@layer overrides {{ {(PARTS / 'flight.css').read_text()} }}</style>")
    FlightView(context)


class FlightPart(ui.element, component=PARTS / "flight.js"):
    """What one browser draws."""


@dataclass
class Rates:
    """Whether the rates of a run's snapshots say anything yet.

    A rate is a difference between two looks, and what is stored comes in lumps: at first nothing differs although data
    flows. Nothing stored is told as a rate of 0 only after as long as a rate is taken over.
    """

    are_known: bool = False
    _run: Run | None = None
    _since: float = 0.0

    def take(self, snapshot: Snapshot) -> None:
        if snapshot.run != self._run:
            self._run, self._since, self.are_known = snapshot.run, snapshot.at, False
        flows = snapshot.readings_per_s > 0 and snapshot.packed_mb_per_s > 0
        self.are_known = self.are_known or flows or snapshot.at - self._since > RATE_OVER_S


@dataclass
class Feed:
    """The flight as all browsers see it; runs while somebody looks."""

    addresses: tuple[str, ...]
    login: Callable[[], Awaitable[Login | None]]
    """Asked for at each connection."""
    sockets: Callable[[Sequence[str]], Awaitable[Sequence[str | Path]]] | None = None
    """What leads to these addresses, of a store that is in a cluster elsewhere."""
    snapshot: Snapshot | None = None
    flight: Flight | None = None
    trouble: str = "Waiting for the store."
    is_empty: bool = False
    """The store was asked, and has no flight."""
    queries: Queries | None = None
    rates: Rates = field(default_factory=Rates)
    _looked_at: float = 0.0
    _running: bool = False
    _loaded: str = ""
    found: dict[tuple[str, int, str, int], bool] = field(default_factory=dict)
    """Episodes of this run that were seen so far, and whether they match a label."""

    def look(self) -> None:
        self._looked_at = time.monotonic()
        if not self._running:
            self._running = True
            background_tasks.create(self._run(), name="flight feed")

    async def _run(self) -> None:
        try:
            while time.monotonic() - self._looked_at < UNSEEN_S:
                try:
                    await self._follow()
                except NOT_NOW as error:
                    self.trouble = f"The store does not answer: {error}"
                    await asyncio.sleep(RETRY_S)
                except Forbidden as error:
                    self.trouble = f"The page is refused, and cannot look into the store: {error}"
                    await asyncio.sleep(RETRY_S)
                except UpcallError as error:
                    self.trouble = f"The page cannot ask how to log in to the store: {error}"
                    await asyncio.sleep(RETRY_S)
                except Exception as error:
                    # Whatever it is, whoever looks is not left waiting for it: it is said, and tried again.
                    log.exception("the flight cannot be shown")
                    self.trouble = f"The flight cannot be shown, and is tried again: {error or type(error).__name__}"
                    await asyncio.sleep(RETRY_S)
        finally:
            self._running = False
            if self.queries is not None:
                queries, self.queries = self.queries, None
                await asyncio.to_thread(queries.close)

    async def _follow(self) -> None:
        if self.queries is None:
            login = await self.login()
            if self.sockets is not None:
                hosts, port = await self.sockets(self.addresses), 0
            else:
                hosts, port = hosts_of(self.addresses)
            self.queries = await asyncio.to_thread(Queries.connect, hosts, port, login=login)
        self.rates = Rates()
        async for snapshot in watch(self.queries, UPDATE_S):
            self.is_empty = snapshot is None
            if isinstance(snapshot, Unanswered):
                self.trouble = f"The store does not answer: {snapshot.reason}"
            elif snapshot is None:
                self.trouble = "The store has no flight yet."
            else:
                self.trouble = ""
                await self._take(snapshot)
            if time.monotonic() - self._looked_at >= UNSEEN_S:
                return

    async def _take(self, snapshot: Snapshot) -> None:
        if self.snapshot is None or self.snapshot.run != snapshot.run:
            self.found.clear()
        if self._loaded != snapshot.run.flight_digest:
            self._loaded = snapshot.run.flight_digest
            self.flight = await asyncio.to_thread(_flight_of, snapshot.run)
        for episode in snapshot.episodes:
            self.found[episode.key] = self.found.get(episode.key, False) or episode.key in snapshot.matched
        self.rates.take(snapshot)
        self.snapshot = snapshot


def hosts_of(addresses: Sequence[str]) -> tuple[list[str | Path], int]:
    """And their port, which is the same of all."""
    hosts, ports = zip(*(address.rsplit(":", 1) for address in addresses), strict=True)
    return list(hosts), int(ports[0])


_feeds: dict[tuple[str, ...], Feed] = {}


class FlightView:
    """One browser's view of the feed."""

    def __init__(self, context: TabContext) -> None:
        self._context = context
        self._sent = np.zeros(sensors.SENSORS, np.uint8)
        self._run: Run | None = None
        self._picked = -1
        self._shown_at: object = None
        self._is_ready = False
        self._part = FlightPart()
        self._part.on("ready", self._ready)
        self._part.on("pick", lambda event: self._pick(event.args))
        ui.timer(UPDATE_S, self._tick)

    def _ready(self) -> None:
        """The browser drew it, for the first time or again."""
        self._part.run_method("layout", layout())
        self._sent[:] = 0
        self._run = None
        self._is_ready = True

    def _pick(self, sensor: Any) -> None:
        if isinstance(sensor, int) and 0 <= sensor < sensors.SENSORS:
            self._picked = sensor
            self._shown_at = None

    async def _tick(self) -> None:
        ends = self._context.bound("windows", "cassandra", "reader")[:1]
        addresses = tuple(sorted({address for end in ends for address in end.addresses}))
        if not self._is_ready:
            return
        if not addresses:
            self._part.run_method("update", {"trouble": "The store is not there yet."})
            return
        feed = _feeds.setdefault(addresses, self._feed(addresses, ends[0].service, ends[0].name))
        feed.look()
        snapshot = feed.snapshot
        if snapshot is None:
            self._part.run_method("update", {"trouble": feed.trouble, "empty": feed.is_empty})
            return
        if snapshot.run != self._run:
            self._run = snapshot.run
            self._sent[:] = 0
            self._part.run_method("began", beginning(snapshot.run, feed.flight))
        told = describe(snapshot, feed.flight, feed.found, feed.rates.are_known)
        changed = np.flatnonzero(snapshot.latest.health != self._sent)
        told["changed"] = [[int(sensor), int(snapshot.latest.health[sensor])] for sensor in changed]
        told["trouble"] = feed.trouble
        self._sent = snapshot.latest.health.copy()
        self._part.run_method("update", told)
        await self._show_series(feed, snapshot)

    def _feed(self, addresses: tuple[str, ...], service: str, endpoint: str) -> Feed:
        relayed = self._context.client.relayed
        sockets = partial(relayed.sockets, service, endpoint) if relayed is not None else None
        return Feed(addresses, partial(self._login, service, endpoint), sockets)

    async def _login(self, service: str, endpoint: str) -> Login | None:
        said = await self._context.client.credentials(service, endpoint)
        return Login(said.user, said.password) if said.user else None

    async def _show_series(self, feed: Feed, snapshot: Snapshot) -> None:
        if self._picked < 0 and snapshot.episodes:
            self._picked = snapshot.episodes[0].sensor
        if self._picked < 0 or feed.queries is None or self._shown_at == (self._picked, snapshot.second):
            return
        last = max(0, snapshot.second)
        try:
            told = await series(feed.queries, snapshot, self._picked, max(0, last - SERIES_S), last)
        except NOT_NOW as error:
            log.info("a sensor's series could not be read", sensor=self._picked, error=repr(error))
            return
        self._shown_at = (self._picked, snapshot.second)
        self._part.run_method("show", told)


# --- what is told, as plain data


def layout() -> dict[str, Any]:
    """Where all sensors sit and what the groups of a block measure."""
    table = sensors.TABLE

    def packed(millimetres: Any) -> str:
        return base64.b64encode((millimetres // MM_A_STEP).astype("<i2").tobytes()).decode()

    kinds = [sensors.SHEETS[sensors.kind_of(group * sensors.NEIGHBOURS)].title for group in range(20)]
    return {"x": packed(table.x_mm), "y": packed(table.y_mm), "kinds": kinds}


def beginning(run: Run, flight: Flight | None) -> dict[str, Any]:
    """A run: what stays the same while it lasts."""
    told: dict[str, Any] = {
        "run": {"flight": run.flight, "rate_hz": run.rate_hz, "title": "recorded flight, modelled sensors"},
        "flying": run.sensors,
        "blocks": list(run.block_numbers),
        "flight": None,
    }
    if flight is not None:
        step = max(1, flight.seconds // TRACK_POINTS)
        told["flight"] = {
            "seconds": flight.seconds,
            "altitude_ft": flight.altitude_ft[::step].tolist(),
            "latitude": (flight.latitude_udeg[::step] / 1e6).round(5).tolist(),
            "longitude": (flight.longitude_udeg[::step] / 1e6).round(5).tolist(),
        }
        told["run"]["title"] = f"{flight.icao24}, recorded flight, modelled sensors"
    return told


def describe(
    snapshot: Snapshot, flight: Flight | None, found: dict[tuple[str, int, str, int], bool], rates_known: bool
) -> dict[str, Any]:
    """Now; a rate that is not known yet is none, not 0."""
    run = snapshot.run
    second = run.flight_second(max(0, snapshot.second))
    return {
        "now": {
            "second": snapshot.second,
            "flight_second": second,
            "flight": flight.second_of(second) if flight is not None else None,
            "readings_per_s": snapshot.readings_per_s if rates_known else None,
            "mb_per_s": snapshot.mb_per_s if rates_known else None,
            "packed_mb_per_s": snapshot.packed_mb_per_s if rates_known else None,
            "bits_per_reading": snapshot.bits_per_reading,
            "lag_s": snapshot.lag_s,
            "missing": snapshot.latest.missing_samples,
            "found": len(found),
            "matched": sum(found.values()),
        },
        "episodes": [listed(episode, snapshot) for episode in snapshot.episodes[:LISTED]],
    }


def listed(episode: Episode, snapshot: Snapshot) -> dict[str, Any]:
    label = snapshot.matched.get(episode.key)
    return {
        "key": f"{episode.sensor}-{episode.kind.value}-{episode.begin}",
        "sensor": episode.sensor,
        "name": sensors.name(episode.sensor),
        "kind": episode.kind.value,
        "open": episode.is_open,
        "when": f"{episode.begin} s" if episode.end <= episode.begin + 1 else f"{episode.begin} to {episode.end} s",
        "says": f"{wording.says(episode)}; {wording.sure(episode)}",
        "labelled": f"begins at {label.begin_sample / snapshot.run.rate_hz:.1f} s" if label is not None else "",
    }


async def series(queries: Queries, snapshot: Snapshot, sensor: int, first: int, last: int) -> dict[str, Any]:
    read = await queries.series(snapshot.run.run_id, sensor, first, last)
    sheet = sensors.SHEETS[sensors.kind_of(sensor)]
    mean, least, greatest, _ = (row.astype(float).round(6).tolist() for row in read.values)
    told: dict[str, Any] = {
        "sensor": sensor,
        "name": sensors.name(sensor),
        "what": f"{sheet.title}, {sheet.unit}; mean, least and greatest",
        "unit": sheet.unit,
        "seconds": read.seconds.tolist(),
        "mean": mean,
        "least": least,
        "greatest": greatest,
    }
    mine = next((episode for episode in snapshot.episodes if episode.sensor == sensor), None)
    if mine is not None:
        told |= {"from": mine.begin, "to": mine.end}
    return told


def _flight_of(run: Run) -> Flight | None:
    """The recording, from the artifact cache; the tab does without it where it is missing."""
    try:
        flight = load_flight(fetch_recording(run.flight))
    except Exception as error:  # the artifact layer has errors of its own, and none of them may end the feed
        log.info("the recorded flight is not at hand", flight=run.flight, error=repr(error))
        return None
    return flight if flight.digest == run.flight_digest else None
