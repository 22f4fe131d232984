"""How many workers Spark needs: as its operators see it, by the cores that have work, and by queries that lag.

**Cores in use.** Of a job that streams, its cores count for the share of its time in which a batch runs; of one that
does not, always. Some are to be free, for the batch that is larger than the one before.

**Queries that lag.** One more worker comes where that gives the job cores that it asked for and does not have; with all
that it asked for it is not helped, and nobody leaves meanwhile.

Bounds, hysteresis and the pause after a change are the SDK's.
"""

import asyncio
import math
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from upcall.catalog.spark import pages, queries
from upcall.catalog.spark.jobs import Jobs
from upcall.protocol.errors import UpcallError
from upcall.service import Size

IN_USE: Final = 0.7
"""Share of the cores that is the aim."""


class Load(NamedTuple):
    job: str
    wanted: int
    """Cores that it asked for."""
    granted: int
    busy: float = 1.0
    lags: str = ""


def needed(has: int, cores: int, loads: Iterable[Load]) -> Size:
    """``cores``: of one worker."""
    loads = list(loads)
    used = sum(each.granted * each.busy for each in loads)
    words = f"{used:.1f} of {has * cores} cores have work, {IN_USE:.0%} is the aim"
    wanted = max(math.ceil(used / (cores * IN_USE)), 1)
    for each in loads:
        short = each.granted < each.wanted
        if each.lags or not each.granted:
            wanted = max(wanted, has + 1 if short else has)
            why = f"lags ({each.lags})" if each.granted else "computes nothing"
            words += f"; {each.job} {why}, with {each.granted} of the {each.wanted} cores that it asked for"
    return Size(wanted, words)


class Watching(Jobs):
    async def queries(self) -> dict[str, queries.Look]:
        """What drivers say of themselves, by the names of their jobs; of one that cannot be asked nothing."""
        drivers = [driver for driver in self.members.of("job") if driver.ready]
        found = await asyncio.gather(*map(queries.look, drivers), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, UpcallError):
                raise each
        return {
            driver.name.removeprefix("job-"): each
            for driver, each in zip(drivers, found, strict=True)
            if isinstance(each, queries.Look)
        }


class ScalesItself(Watching):
    """Workers come and leave by what runs on them."""

    async def desired_size(self) -> Size | None:
        master = self.members["master-0"]
        if not master.ready:
            return None
        page, looks = await self.blocking(pages.read, pages.page_of(master)), await self.queries()
        granted = {str(each["id"]): int(each["cores"]) for each in page["activeapps"]}
        loads = []
        for name, each in looks.items():
            if (has := granted.pop(each.application, None)) is not None:
                reasons = [found for found in map(queries.lag, each.queries.values()) if found]
                wanted, busy = self.jobs[name].cores, queries.busy(each.queries, time.time())
                loads.append(Load(f"job {name}", wanted, has, busy, "; ".join(reasons)))
        # Drivers that others run, or that could not be asked: what they have is in use.
        loads += [Load(f"application {name}", max(has, 1), has) for name, has in granted.items()]
        return needed(self.options.workers, self.options.cores, loads)
