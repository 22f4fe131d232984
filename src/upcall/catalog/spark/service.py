"""Spark in standalone mode, as its operators run it."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from upcall.catalog.spark import config, health
from upcall.catalog.spark.goals import SparkGoals, options_for
from upcall.catalog.spark.options import Job, SparkOptions
from upcall.catalog.spark.sizing import size_worker
from upcall.catalog.spark.task import driver_task, makes, master_task, worker_task
from upcall.protocol.declaration import Declaration, File, Resources
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.training import Compiled, Training
from upcall.service import (
    Contents,
    Degraded,
    Derived,
    Endpoint,
    Field,
    Machine,
    Member,
    Operation,
    Pod,
    Policy,
    Service,
    Told,
    Verdict,
    accept,
    action,
    replace,
    restart,
    wait,
)
from upcall.service.options import validated

JOBS = "jobs"
STOPPING = "stopping"
MASTER_AT = "master-at"
"""Where workers and drivers were told that the master is."""
PROGRAM = "{{sandbox}}/program.py"
NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"


class Spark(Service):
    """Apache Spark: a master, workers, and jobs whose drivers are kept running."""

    version = "4.1.1"
    contents = (
        Contents("jobs", show="list-jobs", show_with={"whole": True}, key="job", make="submit-job", drop="stop-job"),
    )
    Goals = SparkGoals
    options: SparkOptions
    jobs: dict[str, Job]
    stopping: frozenset[str]
    """Jobs that are to end for good; forgotten when their members have left."""

    async def on_start(self) -> None:
        known = await self.state.get(JOBS, {})
        self.jobs = {name: Job.model_validate(job) for name, job in known.items()}
        self.stopping = frozenset(await self.state.get(STOPPING, []))

    def from_goals(self, goals: SparkGoals, machine: Machine) -> Mapping[str, Derived]:
        return options_for(goals, self.options, machine)

    def pods(self) -> list[Pod]:
        master = Endpoint(
            "master",
            description="where drivers and workers connect",
            user=config.AUTH_USER,
            secret=self.own_secret("auth"),
        )
        page = Endpoint("page", description="the master's own page", protocol="http")
        jobs = tuple(f"job-{name}" for name in getattr(self, "jobs", {}))
        return [
            Pod("master", task=self.master, endpoints=[master, page]),
            Pod("worker", count=self.options.workers, task=self.worker, spread="zone"),
            Pod("job", names=jobs, task=self.job, apart=False, counts=False),
        ]

    def policy(self) -> Policy:
        """Nothing here holds data: a job reads on where it was, so silence lets a drain pass."""
        return Policy(minimum=0, at_most=1, silence="proceed", holds_data=False,
                      replace_after_s=self.options.replace_after_s)  # fmt: skip

    def master(self, member: Member) -> Declaration:
        return master_task(
            resources=Resources(cpus=0.1, memory_mib=self.options.master_memory_mib, disk_mib=64),
            secret=self.own_secret("auth", config.AUTH_PROPERTY),
            options=self._settings(),
            artifacts=self.artifacts(),
        )

    def worker(self, member: Member) -> Declaration:
        options = self.options
        return worker_task(
            master="master-0",
            cores=options.cores,
            resources=Resources(cpus=options.cpus, memory_mib=options.memory_mib),
            secret=self.own_secret("auth", config.AUTH_PROPERTY),
            options=self._settings(),
            artifacts=self.artifacts(),
        )

    def job(self, member: Member) -> Declaration:
        job = self.jobs[member.name.removeprefix("job-")]
        declaration = driver_task(
            master=f"spark://{{{{address.master-0}}}}:{config.MASTER_PORT}",
            application=PROGRAM,
            arguments=job.arguments,
            cores=min(job.cores, self.options.cores),
            cores_max=job.cores,
            executor_memory_mib=job.executor_memory_mib,
            resources=Resources(cpus=0.5, memory_mib=job.memory_mib, disk_mib=job.disk_mib),
            secret=self.own_secret("auth", config.AUTH_PROPERTY),
            env=job.env,
            more_files=(File(path="program.py", text=job.program),),
            options={**self._settings(), **job.settings, **job.unchecked_settings},
            artifacts=self.artifacts(),
        )
        return msgspec.structs.replace(declaration, restart=job.restart)

    def _settings(self) -> dict[str, str]:
        return {**self.options.settings, **self.options.unchecked_settings}

    @classmethod
    def makes(cls) -> tuple[Training | Compiled, ...]:
        return makes()

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
        each of them that still runs is started again: they would look for it at the old one until they give up."""
        if member.pod != "master":
            return
        before = await self.state.get(MASTER_AT, "")
        if before not in ("", member.address):
            for other in self.members.values():
                if other.pod != "master" and other.started and other.state not in ("ended", "finished", "held"):
                    key = f"master-at-{member.address}-{other.task}"
                    await self.propose("restart", other, reason="the master is at another address", key=key)
        if before != member.address:
            await self.state.set(MASTER_AT, member.address)

    async def health(self) -> list[Degraded]:
        """As the master's own page has it; a job's driver that ends again and again is seen without it."""
        found = health.of_jobs(self.members.of("job"))
        master = self.members["master-0"]
        if not master.ready:
            return found  # That it is away is told by the system.
        page = await self.blocking(health.read, health.page_of(master))
        workers = self.members.of("worker")
        return health.of_workers(page, workers) + health.of_applications(page, workers) + found

    # -- what a person asks -----------------------------------------------------------------------------------------

    @action
    async def submit_job(
        self,
        name: str = Field(pattern=NAME, max_length=50),
        program: str = Field(description="text of the Python program"),
        arguments: list[str] = Field(default=[]),
        env: dict[str, str] = Field(default={}),
        cores: int = Field(1),
        executor_memory_mib: int = Field(480),
        memory_mib: int = Field(832),
        disk_mib: int = Field(256),
        restart: Literal["always", "on-failure", "never"] = "always",
        settings: dict[str, str] = Field(default={}),
        unchecked_settings: dict[str, str] = Field(default={}),
    ) -> dict[str, Any]:
        """Runs a Python program as a job; its driver is kept running, or ends (restart=on-failure, never)."""
        await self._forget_left()
        if name in self.jobs:
            raise Conflict(f"job {name!r} is there already", expected="another name, or stop-job first")
        job = validated(
            Job,
            {
                "program": program, "arguments": arguments, "env": env, "cores": cores,
                "executor_memory_mib": executor_memory_mib, "memory_mib": memory_mib, "disk_mib": disk_mib,
                "restart": restart, "settings": settings, "unchecked_settings": unchecked_settings,
            },
            where="submit-job",
        )  # fmt: skip
        offered = size_worker(self.options.memory_mib, self.options.cores)
        if job.executor_memory_mib > offered.executor_memory_mib:
            raise Conflict(
                f"an executor of {job.executor_memory_mib} MiB fits no worker", where="executor_memory_mib",
                expected=f"at most {offered.executor_memory_mib}",
            )  # fmt: skip
        await self._keep({**self.jobs, name: job})
        return {"job": name, "member": f"job-{name}"}

    @action
    async def stop_job(self, name: str) -> dict[str, Any]:
        """Ends a job for good; its volume stays for a grace."""
        if name not in self.jobs:
            raise NotFound(f"no job {name!r}", expected=", ".join(sorted(self.jobs)) or "there is none")
        member = self.members[f"job-{name}"]
        key = f"stop-{name}-{member.incarnation}"
        operation = await self.propose("scale_in", member, reason=f"job {name} is to end", key=key)
        await self.state.set(STOPPING, sorted(self.stopping | {name}))
        self.stopping |= {name}
        return {"job": name, "operation": operation}

    @action
    async def list_jobs(
        self, whole: bool = Field(False, description="with all that each was submitted with, but its environment")
    ) -> list[dict[str, Any]]:
        """All jobs and how they are."""
        await self._forget_left()
        return [
            {
                "job": name,
                "state": self.members[f"job-{name}"].state,
                **job.model_dump(exclude={"env"}, include=None if whole else {"cores", "restart"}),
            }
            for name, job in sorted(self.jobs.items())
        ]

    async def on_told(self, told: Told) -> None:
        if told.operation.kind == "scale_in":
            await self._forget_left()

    async def _forget_left(self) -> None:
        """A job whose member has left is forgotten, so its name is free again. Looked at again whenever jobs are
        asked about, because news may be missed while the host is away."""
        left = {name for name in self.stopping & self.jobs.keys() if not self.members[f"job-{name}"].placed}
        if not left:
            return
        await self._keep({name: job for name, job in self.jobs.items() if name not in left})
        await self.state.set(STOPPING, sorted(self.stopping - left))
        self.stopping -= left
        self.refresh()

    async def _keep(self, jobs: dict[str, Job]) -> None:
        await self.state.set(JOBS, {name: job.model_dump() for name, job in jobs.items()})
        self.jobs = jobs
