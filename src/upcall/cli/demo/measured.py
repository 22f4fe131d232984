"""``upcall demo --once``: what the demo promises, measured and judged.

The data folder is new and empty, beside the usual one, and goes when all went well: an anomaly can only be one of this
run, and nothing of an earlier run is fast or slow for it. The report says in which size it ran; the limits bind on the
full one.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from upcall.cli import down, footprint, keeping
from upcall.cli.figures import Promise, Report
from upcall.cli.session import Session
from upcall.client.folder import cluster_of
from upcall.protocol.errors import Conflict

PROMISES: Final = (
    Promise("first_anomaly", "one that matches a labelled fault", bool),
    Promise("to_first_anomaly_s", "at most 90 s, warm", lambda value: value <= 90, "reference"),
    Promise("peak_memory_mib", "at most 6144 MiB", lambda value: value <= 6144, "reference"),
    Promise("left_processes", "none", lambda value: value == 0),
)
OF_THE_FULL_SIZE: Final = frozenset({"to_first_anomaly_s", "peak_memory_mib"})
FETCHED_MIB_WARM: Final = 1.0
"""Less than that came over the network: the cache was warm."""


@dataclass(slots=True)
class Ran:
    """What a run of the demo came to."""

    fetched_mib: float
    matched: Mapping[str, Any] | None = None
    first_s: float = 0.0
    """Monotonic clock, when it was over."""
    ours: bool = True
    """The cluster was started for it, and ended with it."""
    full: bool = False
    """In the composition's own size, not in a smaller one."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By service: what it ran with."""
    incomplete: str = ""
    """What `down` could not end in order."""


def measure(session: Session, began: float, run: Callable[[Session, footprint.Peak], Ran]) -> None:
    """Run it on an empty folder; one clear error when a promise that binds here does not hold."""
    report = Report("demo", PROMISES, seed=None, began=began)
    if keeping.running(session.folder):
        raise Conflict(
            "a cluster is up, and its work would be measured too",
            where=str(session.folder.root),
            expected="`upcall down` first",
        )
    folder = session.folder.root.with_name(f"{session.folder.root.name}-once")
    fresh = Session(folder, "json" if session.out.as_json else "table")
    if keeping.running(fresh.folder):
        raise Conflict("another measurement is under way", where=str(folder), expected="its end")
    shutil.rmtree(folder, ignore_errors=True)
    peak = footprint.Peak()
    ran = run(fresh, peak)
    left = footprint.left(folder, cluster_of(fresh.folder).prefix)
    warm = ran.fetched_mib < FETCHED_MIB_WARM
    seconds = round(ran.first_s - began, 1) if ran.matched else None
    report.seed = (ran.matched or {}).get("seed")
    report.figures = {
        "full_size": ran.full,
        "to_first_anomaly_s": seconds if warm else None,
        "cold_s": None if warm else seconds,
        "first_anomaly": dict(ran.matched) if ran.matched else None,
        "peak_memory_mib": round(peak.mib),
        "left_processes": len(left),
        "left": left,
        "fetched_mib": round(ran.fetched_mib, 1),
        "options": {service: dict(options) for service, options in ran.options.items()},
    }
    report.promises = tuple(
        one
        for one in PROMISES
        if (ran.full or one.name not in OF_THE_FULL_SIZE) and (warm or one.name != "to_first_anomaly_s")
    )
    judged = report.judge()
    session.out.show(judged.figures, ("figure", "value", "promise"), judged.rows(), empty="")
    if judged.broken:
        raise Conflict("; ".join(judged.broken), where=str(judged.path), expected="what was promised")
    down.check_complete(fresh, ran.incomplete)
    shutil.rmtree(folder, ignore_errors=True)
