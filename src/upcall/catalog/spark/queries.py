"""What a driver says of its streaming queries, and what it means. Pure but for :func:`look`.

Spark tells how each batch went in a line of its log. A driver writes these lines into a small file of its own sandbox,
which a tool beside it reads (``config.PROGRESS``): nothing listens for it, so there is no door that another user of the
machine could knock at.
"""

import itertools
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from upcall.catalog.spark import config
from upcall.service import Member

SEVERAL: Final = 3
"""Batches in a row that are late before a query lags: one may be."""
SLOWER: Final = 0.95
"""Less of what comes in than that, and it falls behind."""
WINDOW: Final = 10
"""Batches by which is said how busy a query is."""
SILENT_S: Final = 60.0
"""An idle query says so every 10 s: one that says nothing for so long is in a long batch."""
TAIL_BYTES: Final = 96 << 10
TOOL_S: Final = 5.0
PROGRESS: Final = "Streaming query made progress: "
LATE: Final = re.compile(r"Current batch is falling behind\. The trigger interval is (\d+)}? milliseconds")
"""4.0 says it with a brace too much."""
APPLICATION: Final = re.compile(r"app ID (\S+)")
_LINE: Final = re.compile(rf"{PROGRESS}|{LATE.pattern}")


class Batch(NamedTuple):
    began_s: float
    took_s: float
    rows: int
    comes_per_s: float
    done_per_s: float
    behind: int | None = None
    """Records that its topics had beyond it."""
    trigger_s: float = 0.0
    """What it was to take; 0: no longer than that."""


class Look(NamedTuple):
    application: str
    """As the master names it; empty: it has none yet."""
    queries: dict[str, list[Batch]]


async def look(driver: Member) -> Look:
    command = ("tail", "-q", "-c", str(TAIL_BYTES), *(f"{{{{sandbox}}}}/{name}" for name in config.TOLD))
    return parsed((await driver.run(command, timeout_s=TOOL_S, codes=())).output)


def parsed(said: str) -> Look:
    queries: dict[str, list[Batch]] = {}
    last = ""
    for found in _LINE.finditer(said):
        if found[1] is None:
            try:
                progress, _ = json.JSONDecoder().raw_decode(said, found.end())
                batch, last = _batch(progress), str(progress.get("name") or f"query {str(progress['id'])[:8]}")
                queries.setdefault(last, []).append(batch)
            except (ValueError, KeyError, TypeError, AttributeError):
                last = ""  # Cut off, or another form: it says nothing.
        elif last:  # It follows the batch that it is about.
            queries[last][-1] = queries[last][-1]._replace(trigger_s=int(found[1]) / 1000)
    application = APPLICATION.search(said)
    return Look(application[1] if application else "", queries)


def _batch(progress: dict[str, Any]) -> Batch:
    behind = [(each.get("metrics") or {}).get("maxOffsetsBehindLatest") for each in progress["sources"]]
    known = [int(each) for each in behind if each is not None]
    return Batch(
        began_s=datetime.fromisoformat(progress["timestamp"]).timestamp(),
        took_s=progress["durationMs"]["triggerExecution"] / 1000,
        rows=int(progress["numInputRows"]),
        comes_per_s=float(progress.get("inputRowsPerSecond") or 0.0),
        done_per_s=float(progress.get("processedRowsPerSecond") or 0.0),
        behind=max(known) if known else None,
    )


def lag(batches: Sequence[Batch]) -> str:
    """Why a query lags; empty: it does not."""
    last = [each for each in batches if each.rows][-SEVERAL:]
    if len(last) < SEVERAL:
        return ""
    if all(each.trigger_s for each in last):
        return f"batches take {last[-1].took_s:.1f} s, and are to take {last[-1].trigger_s:g} s"
    if all(each.done_per_s < each.comes_per_s * SLOWER for each in last):
        return f"{last[-1].comes_per_s:.0f} rows come in a second, and it does {last[-1].done_per_s:.0f}"
    left = [each.behind for each in last if each.behind is not None]
    if len(left) == SEVERAL and all(one < other for one, other in itertools.pairwise(left)):
        return f"it is {left[-1]} records behind a topic's end, and more and more"
    return ""


def busy(queries: dict[str, list[Batch]], now_s: float) -> float:
    """Share of its time in which a driver has work for its cores. One without a query has it always."""
    return min(sum(_busy(batches[-WINDOW:], now_s) for batches in queries.values()), 1.0) if queries else 1.0


def _busy(batches: Sequence[Batch], now_s: float) -> float:
    ended_s = batches[-1].began_s + batches[-1].took_s
    if now_s - ended_s > SILENT_S:
        return 1.0
    return sum(each.took_s for each in batches) / max(ended_s - batches[0].began_s, 0.001)
