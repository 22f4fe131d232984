"""What is wrong with a Spark whose processes all run: workers that the master lost, jobs that compute nothing, jobs
that start again and again. The master's own page says it, as JSON."""

import json
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any, Final

from upcall.catalog.spark import config
from upcall.service import Degraded, Member

PAGE_S: Final = 5.0


def read(master: str) -> dict[str, Any]:
    """Blocking. ``master``: its page, ``host:port``."""
    try:
        with urllib.request.urlopen(f"http://{master}/json/", timeout=PAGE_S) as page:
            found: dict[str, Any] = json.loads(page.read())
    except OSError as error:
        raise ConnectionError(f"the master's page does not answer: {error}") from error
    return found


def of_workers(page: Mapping[str, Any], workers: Iterable[Member]) -> list[Degraded]:
    """A worker that the master does not know, or lost, computes nothing, however well its process is."""
    alive = {str(each["host"]) for each in page["workers"] if each["state"] == "ALIVE"}
    return [
        Degraded(
            f"{worker.name} runs, and the master does not count on it",
            doing="it registers again; jobs compute on the others meanwhile",
            member=worker.name,
            key=f"worker {worker.name}",
        )
        for worker in workers
        if worker.ready and worker.address not in alive
    ]


def of_applications(page: Mapping[str, Any], workers: Iterable[Member]) -> list[Degraded]:
    """An application without a core waits for one: others have them all, or no worker has the memory."""
    ready = sum(worker.ready for worker in workers)
    free = sum(int(each["coresfree"]) for each in page["workers"] if each["state"] == "ALIVE")
    found = []
    for each in page["activeapps"]:
        if int(each["cores"]) == 0 or each["state"] == "WAITING":
            why = "no worker is ready" if not ready else f"{free} cores are free"
            what = f"application {each['name']} has no executors and computes nothing"
            doing = f"it waits for a core and its memory ({why}); more workers help: `upcall scale`"
            found.append(Degraded(what, doing=doing, key=f"waiting {each['name']}"))
    return found


def of_jobs(jobs: Iterable[Member]) -> list[Degraded]:
    """What ends again and again goes on from its checkpoint each time."""
    return [
        Degraded(
            f"{job.name} ended {job.ended_times} times: {job.seen.exit_reason or 'no reason was said'}",
            doing="it is started again, ever more slowly, and goes on from its checkpoint",
            member=job.name,
            key=f"restarts {job.name}",
        )
        for job in jobs
        if job.ended_times > 1
    ]


def page_of(master: Member) -> str:
    return f"{master.address}:{config.PAGE_PORT}"
