"""What is due of a service, and when: its schedules and its maintenance windows, from its options and its package.

Nothing here acts; :mod:`~upcall.master.schedules` begins what is due.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from upcall.master import records as r
from upcall.master.core import Core
from upcall.master.state import Service
from upcall.master.transaction import Transaction
from upcall.protocol import recurring
from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.protocol.nearest import choice, nearest
from upcall.protocol.service import Package, ScheduleSpec

WINDOWS: Final = "windows"
ZONE: Final = "time_zone"
SCHEDULES: Final = "schedules"
"""Names of the options."""
RETRY_S: Final = 60.0
RETRY_MAX_S: Final = 3600.0
"""What failed is tried again after a pause that doubles up to this."""


@dataclass(frozen=True)
class Wanted:
    """One schedule of a service, as it holds now."""

    spec: ScheduleSpec
    every: str
    zone: str
    by: str
    """Whose word ``every`` is: the package's, or an option."""

    @property
    def never(self) -> bool:
        return self.every == recurring.NEVER

    def at(self, known: r.ScheduleRecord) -> float:
        """When it is to begin, whatever its windows say."""
        if known.failures:
            return known.ended_at + min(RETRY_S * 2.0 ** (known.failures - 1), RETRY_MAX_S)
        return recurring.every(self.every, self.zone).after(known.began_at or known.since)

    def late_at(self, known: r.ScheduleRecord) -> float | None:
        """When one has to have ended well."""
        return (known.done_at or known.since) + self.spec.within_s if self.spec.within_s else None


def windows(options: Mapping[str, Any]) -> recurring.Windows:
    return recurring.windows(tuple(options.get(WINDOWS, ())), zone(options))


def opens_in_s(options: Mapping[str, Any], now_s: float) -> float:
    """Until the next window; 0: one is open, or there are none."""
    known = windows(options)
    return max(known.next(now_s).begin_s - now_s, 0.0) if known else 0.0


def zone(options: Mapping[str, Any]) -> str:
    return str(options.get(ZONE, "UTC"))


def wanted(package: Package, options: Mapping[str, Any]) -> list[Wanted]:
    said = options.get(SCHEDULES, {})
    return [
        Wanted(
            spec=spec,
            every=str(said.get(spec.name, spec.every)).strip().lower(),
            zone=zone(options),
            by="option" if spec.name in said else "package",
        )
        for spec in package.schedules
    ]


def of(core: Core, service: Service) -> list[Wanted]:
    record = service.record
    try:
        package = core.state.packages.find(record.package, record.version)
    except NotFound:
        return []
    return wanted(package, record.options)


def check(package: Package, options: Mapping[str, Any], now_s: float) -> None:
    """Refuses windows and schedules that say nothing, or that would never come; all before anything is recorded."""
    recurring.zone_named(zone(options))
    windows(options)
    known = [spec.name for spec in package.schedules]
    for name in options.get(SCHEDULES, {}):
        if name not in known:
            raise Invalid(
                f"{package.name} {package.version} does nothing named {name!r} by a schedule{nearest(name, known)}",
                where=f"{SCHEDULES}.{name}",
                expected=choice(known, "a package with a schedule"),
            )
    for one in wanted(package, options):
        if not one.never:
            texts = tuple(options.get(WINDOWS, ()))
            recurring.within_reach(
                one.spec.name, one.every, texts, one.zone, one.spec.within_s, one.spec.takes_s, now_s
            )


def asked_in_window(service: Service, asked: bool) -> bool:
    """Whether something waits for a window, once it is known that there are any."""
    if asked and not windows(service.record.options):
        name = service.record.name
        raise Conflict(
            f"{name} has no maintenance windows to wait for",
            where="in_window",
            expected=f"`upcall window {name} 'sat 02:00-04:00'` first, or now",
        )
    return asked


def forget(tx: Transaction, service: str) -> None:
    """It was uninstalled."""
    known = tx.core.state.schedules
    for key in [key for key in known if key[0] == service]:
        del known[key]
        tx.delete(r.SCHEDULE, "/".join(key))
    tx.changed.schedules[service] = None
