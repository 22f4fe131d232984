"""Spark in standalone mode, as its operators run it."""

from upcall.catalog.spark import config, health, pages
from upcall.catalog.spark.autoscale import ScalesItself
from upcall.catalog.spark.trial import Trials
from upcall.catalog.spark.upgrading import Upgrading
from upcall.service import Degraded, Member, Operation, Verdict, accept, replace, restart, wait

MASTER_AT = "master-at"
"""Where workers and drivers were told that the master is."""
TOLD_BEFORE = "told-before"
"""Who of them was told another address than the present one: written once for each address of the master."""
AWAY = ("ended", "failed", "finished", "held", "wanted")
"""States of who does not run: it is told at its next start."""


class Spark(Upgrading, ScalesItself, Trials):
    """Apache Spark: a master, workers, and jobs whose drivers are kept running."""

    # -- consent ----------------------------------------------------------------------------------------------------

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        """Nothing is lost by a stop: tasks run again elsewhere, jobs read on.

        An answer is a word, and the stop may never begin: a worker goes on until then. Its own start program empties
        it when its end has come (``worker_start.py``).
        """
        if member.pod == "worker" and member.ready:
            others = [other for other in self.members.of("worker") if other.ready and other.name != member.name]
            if not others:
                return accept("no other worker is ready: jobs stand still meanwhile")
            return accept("it is decommissioned when its stop begins: its tasks run elsewhere")
        return accept()

    async def may_scale_in(self, member: Member, why: Operation) -> Verdict:
        """A job that was stopped for good leaves its checkpoint behind; workers leave like for a drain."""
        return await self.may_stop(member, why)

    async def on_lost(self, member: Member, why: Operation) -> Verdict:
        """No data: at once again, here or, when its machine is away, wherever there is room. A job with a volume waits
        for it: a checkpoint is worth a while."""
        if member.state == "ended":
            return restart(f"{member.name} ended, its machine did not")
        job = self.jobs.get(member.name.removeprefix("job-")) if member.pod == "job" else None
        if member.pod in ("master", "worker") or (job is not None and not job.disk_mib):
            return replace(f"{member.name} holds no data")
        return wait(f"the checkpoint of {member.name} is on that machine")

    async def after_ready(self, member: Member) -> None:
        """Workers and drivers are told once, at their start, where the master is. When it comes up at another address,
        each of them that still runs is started again: they would look for it at the old one until they give up. Whose
        turn in an upgrade is to come starts anew then."""
        if member.pod != "master":
            return
        before = await self.state.get(MASTER_AT, "")
        if before not in ("", member.address):
            tasks = await self._told_before(member)
            for other in self.members.values():
                if other.task in tasks and other.state not in AWAY:
                    key = f"master-at-{member.address}-{other.task}"
                    await self.propose("restart", other, reason="the master is at another address", key=key)
        if before != member.address:
            await self.state.set(MASTER_AT, member.address)

    async def _told_before(self, master: Member) -> list[str]:
        """Tasks that were begun before this. Looked at again (a proposal was refused, the host died), those that came
        meanwhile would be among them: they know the address, and would be started anew again and again."""
        told = await self.state.get(TOLD_BEFORE, {})
        if told.get("master") != master.task:
            others = [each for each in self.members.values() if each.pod != "master" and each.started]
            tasks = [each.task for each in others if each.state not in AWAY and not each.behind]
            told = {"master": master.task, "tasks": tasks}
            await self.state.set(TOLD_BEFORE, told)
        return list(told["tasks"])

    async def health(self) -> list[Degraded]:
        """As the master's own page has it; a job's driver that ends again and again is seen without it."""
        found = health.of_jobs(self.members.of("job")) + health.of_held(self.held)
        master = self.members["master-0"]
        if not master.ready:
            return found + await self._recovery(master)  # That it is away is told by the system.
        page = await self.blocking(pages.read, pages.page_of(master))
        workers = self.members.of("worker")
        bounds = getattr(self.options, "autoscale", None)
        lagging = health.of_queries(await self.queries(), bounds.max if bounds else None)
        return health.of_workers(page, workers) + health.of_applications(page, workers) + lagging + found

    async def _recovery(self, master: Member) -> list[Degraded]:
        """Of a master that runs and does not serve yet; one whose page is not there yet says nothing."""
        if master.state in (*AWAY, "lost") or not master.address:
            return []
        try:
            page = await self.blocking(pages.read, pages.page_of(master))
        except ConnectionError:
            return []
        limit = self._settings().get(config.LOOKS_FOR, config.LOOKS_FOR_USUALLY)
        return health.of_recovery(page, master, limit)
