"""What Spark consists of: a master, workers, and a driver for each job, each as a task."""

from collections.abc import Mapping
from typing import Final

import msgspec

from upcall.catalog.known import own
from upcall.catalog.spark import config, parts
from upcall.catalog.spark.goals import SparkGoals, options_for
from upcall.catalog.spark.options import Job, SparkOptions
from upcall.catalog.spark.releases import as_written_by
from upcall.catalog.spark.task import driver_task, makes, master_task, worker_task
from upcall.protocol.declaration import Declaration, File, Resources
from upcall.protocol.templates import literally
from upcall.protocol.training import Compiled, Training
from upcall.service import Derived, Endpoint, Machine, Member, Pod, Policy, Service
from upcall.service.context import Context

JOBS: Final = "jobs"
FORM: Final = "form"
"""The version whose form of a checkpoint drivers write."""
HELD: Final = "held"
CHECKPOINT: Final = "its checkpoint"
"""What a job is held for while it is restored."""
HELD_BY: Final = "{{sandbox}}/held"
"""A held driver's task says here by what it is."""
PROGRAM: Final = "{{sandbox}}/program.py"


class Held(msgspec.Struct, frozen=True):
    """A job whose driver's task stands in its place, with its volume, and does nothing."""

    by: str
    """The backup that it is restored from."""
    waits_for: tuple[str, ...]


class Members(Service):
    Goals = SparkGoals
    options: SparkOptions

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self.jobs: dict[str, Job] = {}
        self.held: dict[str, Held] = {}
        self._form = self.version

    async def on_start(self) -> None:
        known = await self.state.get(JOBS, {})
        # What another version said of a job's settings was checked when it was submitted, and when this one came.
        self.jobs = {name: Job.model_validate(job) for name, job in known.items()}
        self.held = msgspec.convert(await self.state.get(HELD, {}), dict[str, Held])
        self._form = await self.state.update(FORM, lambda form: form or self.version)

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
        jobs = tuple(f"job-{name}" for name in self.jobs)
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
            # What one version remembers, another one does not read: all that run come to it again.
            options={"spark.deploy.recoveryDirectory": f"{config.RECOVERY}/{self.version}", **self._settings()},
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
        name = member.name.removeprefix("job-")
        job = self.jobs[name]
        declaration = self.driver(job)
        if name in self.held:
            return msgspec.structs.replace(
                declaration,
                command=("{{python}}", "-c", "import signal; signal.pause()"),
                files=(*declaration.files, File(path="held", text=self.held[name].by, verbatim=True)),
            )
        return msgspec.structs.replace(declaration, restart=job.restart, fatal=parts.FATAL)

    def driver(self, job: Job) -> Declaration:
        own_parts = parts.of(job)
        return driver_task(
            master=f"spark://{{{{address.master-0}}}}:{config.MASTER_PORT}",
            application=PROGRAM,
            arguments=job.arguments,
            cores=min(job.cores, self.options.cores),
            cores_max=job.cores,
            executor_memory_mib=job.executor_memory_mib,
            resources=Resources(cpus=0.5, memory_mib=job.memory_mib, disk_mib=job.disk_mib),
            secret=self.own_secret("auth", config.AUTH_PROPERTY),
            env={**own_parts.env, **job.env},
            more_files=own_parts.files,
            options={
                **as_written_by(self._form, self.version),
                **own_parts.settings,
                **self._settings(),
                **own(job),
            },
            artifacts=(*self.artifacts(), *own_parts.artifacts),
        )

    def _settings(self) -> dict[str, str]:
        """A person's own of the whole service; those of a job may hold names."""
        given: dict[str, str] = literally(own(self.options))
        return given

    @classmethod
    def makes(cls) -> tuple[Training | Compiled, ...]:
        return makes()
