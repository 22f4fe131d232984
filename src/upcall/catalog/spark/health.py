"""What is wrong with a Spark whose processes all run: workers that the master lost, jobs that compute nothing, queries
that lag, jobs that start again and again. The master's own page says it, as JSON, and so do drivers themselves."""

from collections.abc import Iterable, Mapping

from upcall.catalog.spark.members import CHECKPOINT, Held
from upcall.catalog.spark.pages import Page, alive, free_cores, looked_for
from upcall.catalog.spark.queries import Look, lag
from upcall.service import Degraded, Member


def of_recovery(page: Page, master: Member, limit: str) -> list[Degraded]:
    """A master that starts again first looks for those that it knew. ``limit``: so long at most."""
    if (left := looked_for(page)) is None:
        return []
    kinds = ("worker", "workers"), ("application", "applications")
    counts = [f"{count} {words[count != 1]}" for count, words in zip(left, kinds, strict=True) if count]
    return [
        Degraded(
            f"{master.name} started again and looks for {' and '.join(counts) or 'those'} that it knew before",
            doing=f"who has not answered {limit} after its start counts as gone; until then no job gets cores",
            member=master.name,
            key=f"recovers {master.name}",
        )
    ]


def of_workers(page: Page, workers: Iterable[Member]) -> list[Degraded]:
    """A worker that the master does not know, or lost, computes nothing, however well its process is."""
    known = alive(page)
    return [
        Degraded(
            f"{worker.name} runs, and the master does not count on it",
            doing="it registers again; jobs compute on the others meanwhile",
            member=worker.name,
            key=f"worker {worker.name}",
        )
        for worker in workers
        if worker.ready and worker.address not in known
    ]


def of_applications(page: Page, workers: Iterable[Member]) -> list[Degraded]:
    """An application without a core waits for one: others have them all, or no worker has the memory."""
    ready = sum(worker.ready for worker in workers)
    free = free_cores(page)
    found = []
    for each in page["activeapps"]:
        if int(each["cores"]) == 0 or each["state"] == "WAITING":
            cores = "1 core is free" if free == 1 else f"{free} cores are free"
            why = cores if ready else "no worker is ready"
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


def of_held(held: Mapping[str, Held]) -> list[Degraded]:
    return [
        Degraded(
            f"job {name} was restored from {each.by}, and waits for {', '.join(each.waits_for)}",
            doing="a backup has no values that are secrets: give them by `change-job`, and it starts",
            member=f"job-{name}",
            key=f"held {name}",
        )
        for name, each in sorted(held.items())
        if CHECKPOINT not in each.waits_for
    ]


def of_queries(looks: Mapping[str, Look], scales_to: int | None) -> list[Degraded]:
    """``scales_to``: so many workers at most, where it scales itself."""
    helps = (
        f"more workers come by themselves, up to {scales_to}, where it has fewer cores than it asked for"
        if scales_to
        else "more cores for it help (`change-job`), and workers that have them (`upcall scale`)"
    )
    return [
        Degraded(
            f"{query} of job {job} lags: {why}",
            doing=f"it reads on from where it is; {helps}",
            member=f"job-{job}",
            key=f"lags {job} {query}",
        )
        for job, look in sorted(looks.items())
        for query, batches in look.queries.items()
        if (why := lag(batches))
    ]
