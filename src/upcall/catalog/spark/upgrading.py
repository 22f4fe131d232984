"""From one version of Spark to the next, and back.

Processes of two versions do not understand each other: what they send is Java's own serialization of their classes. So
the master goes first, then the workers, and drivers last: a job whose executors have left stands still until its driver
comes in the new version, and reads on from its checkpoint then. Nothing is lost meanwhile; nothing is computed either.

Checkpoints are all that Spark keeps. Until ``finalize`` they stay in the form of the version before, which a
``rollback`` finds (:mod:`upcall.catalog.spark.releases`).
"""

from typing import cast

from upcall.catalog.spark import pages
from upcall.catalog.spark.jobs import Jobs
from upcall.catalog.spark.members import FORM
from upcall.catalog.spark.options import SparkOptions
from upcall.protocol.errors import UpcallError
from upcall.protocol.releases import version_key
from upcall.service import Member, Operation, Update, Verdict, accept, decline, defer


class Upgrading(Jobs):
    """The code of the version that would come says whether it may; that of the one that is there makes it final."""

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        """What jobs were submitted with has to mean something and to fit, and their checkpoints have to be readable."""
        kept = sorted(name for name, job in self.jobs.items() if job.disk_mib)
        if update.upgrade and kept and version_key(self.version) < version_key(self._form):
            return decline(
                f"{', '.join(kept)} may have a checkpoint as Spark {self._form} writes it, which Spark {self.version}"
                " does not promise to read"
            )
        for name, job in sorted(self.jobs.items()):
            try:
                self.fitting(job.model_dump(), name, cast(SparkOptions, update.options))
            except UpcallError as error:
                return decline(f"job {name}: {error.problem.message}")
        return accept()

    def canary(self, members: list[Member]) -> Member:
        """Of another version the master, to which workers of both come. Else a worker, whose loss costs least."""
        upgrade = any(each.kind == "upgrade" for each in self.operations)
        first = [member for member in members if member.pod == ("master" if upgrade else "worker")]
        return super().canary(first or members)

    async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
        """The master says so itself: that it serves, or that it counts on the worker."""
        master = self.members["master-0"]
        if not master.ready:
            return defer("the master is not ready", retry_after=2)
        page = await self.blocking(pages.read, pages.page_of(master))
        if canary.pod == "worker" and canary.address not in pages.alive(page):
            return defer(f"the master does not count on {canary.name} yet", retry_after=2)
        return accept()

    async def may_restart(self, member: Member, why: Operation) -> Verdict:
        """A driver comes to a master and workers of its own version."""
        if member.pod == "job" and member.behind:
            first = [other.name for other in self.members if other.pod in ("master", "worker") and other.behind]
            if first and any(each.kind == "upgrade" for each in self.operations):
                return defer(f"after {', '.join(first)}: its executors are to be of its own version", retry_after=5)
        return await super().may_restart(member, why)

    async def may_finalize(self, why: Operation) -> Verdict:
        if self._form == self.version:
            return decline(f"its jobs write checkpoints as Spark {self.version} does already")
        return accept()

    async def finalize(self, why: Operation) -> None:
        """From its next start on each driver writes a checkpoint in this version's form: at once, where it runs."""
        await self.state.set(FORM, self.version)
        self._form = self.version
        self.refresh()
        for job in self.members.of("job"):
            if job.started and self.jobs[job.name.removeprefix("job-")].disk_mib:
                await self.start_anew(job, f"it is to write its checkpoint as Spark {self.version} does")
