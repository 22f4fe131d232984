"""What is done of a service again and again, and when the system may act by itself, as the page shows it: pure.

Instants that move with the clock are rounded to the minute, which is what is drawn, so a panel does not change with
each snapshot.
"""

import functools
from typing import Any, Final

from upcall.protocol import recurring
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import ScheduleView, ServiceView

Item = dict[str, Any]

MINUTE_S: Final = 60


def windows(service: ServiceView, now_s: float) -> Item | None:
    """Its windows, whether one is open, and until when, or when the next one opens; None: it may act at any time."""
    texts, zone = tuple(map(str, service.options.get("windows", ()))), _zone(service)
    try:
        known = _read(texts, zone)
    except Invalid:
        return {"texts": list(texts), "zone": zone, "open": False, "opens": 0.0, "closes": 0.0}
    if not known:
        return None
    span = known.next(now_s)
    is_open = span.begin_s <= now_s
    return {"texts": list(texts), "zone": zone, "open": is_open, "opens": span.begin_s, "closes": span.end_s}


@functools.lru_cache(maxsize=1024)
def _read(texts: tuple[str, ...], zone: str) -> recurring.Windows:
    return recurring.windows(texts, zone)


def schedules(service: ServiceView, now_s: float) -> list[Item]:
    """Those that come, the next one first; one that is never done is shown where a person said so."""
    zone = _zone(service)
    found = [
        _schedule(one, zone, now_s) for one in service.schedules if one.every != recurring.NEVER or one.by != "package"
    ]
    return sorted(found, key=lambda one: (one["state"] == "never", one["next"], one["name"]))


def _zone(service: ServiceView) -> str:
    """In which its times of day are meant, and shown."""
    return str(service.options.get("time_zone", "UTC"))


def _schedule(one: ScheduleView, zone: str, now_s: float) -> Item:
    due = 0.0 < one.due <= now_s
    return {
        "name": one.name,
        "description": one.description,
        "every": one.every,
        "zone": zone,
        "by_person": one.by != "package",
        "state": _state(one, due=due),
        "next": round((one.next if one.windows else one.due) / MINUTE_S) * MINUTE_S,
        "due": due,
        "due_at": one.due if due else 0.0,
        "began": one.began if one.running else 0.0,
        "ended": one.ended,
        "took_s": round(one.took_s),
        "outcome": one.outcome,
        "error": one.error,
        "late": one.late,
    }


def _state(one: ScheduleView, *, due: bool) -> str:
    if one.running:
        return "running"
    if one.every == recurring.NEVER:
        return "never"
    if one.late:
        return "late"
    if one.outcome == "failed":
        return "failed"
    return "due" if due else "planned"
