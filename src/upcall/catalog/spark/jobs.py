"""Jobs: Python programs whose drivers are members, and what a person asks of them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import structs, to_builtins

from upcall.catalog.spark.clients import CLIENTS
from upcall.catalog.spark.members import HELD, JOBS, Held, Members
from upcall.catalog.spark.options import PARTS, Job, SparkOptions
from upcall.catalog.spark.settings import OF_VERSION
from upcall.catalog.spark.sizing import size_worker
from upcall.protocol import templates
from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.service import Brings, Command, Contents, Field, Member, Told, action
from upcall.service.context import Context
from upcall.service.options import validated

STOPPING: Final = "stopping"
NAME: Final = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
OVER: Final = ("finished", "failed")
"""States of a driver that has done its work, or gave up."""
Settings = Annotated[dict[str, str], OF_VERSION]


class Jobs(Members):
    contents = (
        Contents(
            "jobs", show="list-jobs", show_with={"whole": True}, key="job", make="submit-job", change="change-job",
            drop="stop-job",
        ),
    )  # fmt: skip
    clients = CLIENTS
    commands = (
        Command(
            "submit", "submit-job", takes=("program", "arguments"), named_after_it="name",
            about="Run a Python program, a folder with __main__.py, or a wheel as a job; its driver is kept running, or"
            " ends (--restart on-failure, never). One of this name that is over runs again, with what is given now.",
            brings=(
                Brings("program", "program", about="A Python file, a folder with __main__.py, or a wheel."),
                Brings(
                    "requirements", "requirements", option="requirements", beside="pyspark",
                    about="Python libraries it needs beside pandas, numpy, pyarrow: a requirements.txt",
                ),
                Brings("packages", "jars", option="package", beside="connector", about="a Maven package it needs"),
                Brings("files", "files", option="file", about="a file for its working folder, and its executors'"),
            ),
        ),
        Command("jobs", "list-jobs"),
        Command(
            "logs", member="job-{job}", takes=("job",), stream="stdout",
            about="Output of a job itself; -f follows it, --all has Spark's own log beside it.",
        ),
        Command("stop", "stop-job", takes=("name",)),
    )  # fmt: skip

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self.stopping: frozenset[str] = frozenset()
        """Jobs that are to end for good; forgotten when their members have left."""

    async def on_start(self) -> None:
        await super().on_start()
        self.stopping = frozenset(await self.state.get(STOPPING, []))

    @action
    async def submit_job(
        self,
        name: str = Field(pattern=NAME, max_length=50),
        program: str = Field("", description="text of the Python program"),
        arguments: list[str] = Field(default=[]),
        bundle: str = Field("", description="or SHA-256 of a blob: a folder with __main__.py as zip, or a wheel"),
        requirements: str = Field("", description="SHA-256 of a blob: a lock of Python libraries"),
        packages: str = Field("", description="SHA-256 of a blob: a lock of Maven packages"),
        files: dict[str, str] = Field(default={}, description="name -> SHA-256 of a blob, in its working folder"),
        replace: bool = Field(False, description="a job of this name that runs ends, and this takes its place"),
        env: dict[str, str] = Field(default={}),
        cores: int = Field(1),
        executor_memory_mib: int = Field(480),
        memory_mib: int = Field(832),
        disk_mib: int = Field(256),
        restart: Literal["always", "on-failure", "never"] = "always",
        settings: Settings = Field(default={}),
        unchecked_settings: dict[str, str] = Field(default={}),
    ) -> dict[str, Any]:
        """Runs a Python program as a job; its driver is kept running, or ends (restart=on-failure, never)."""
        await self._forget_left()
        given = {
            "program": program, "arguments": arguments, "env": env, "cores": cores,
            "executor_memory_mib": executor_memory_mib, "memory_mib": memory_mib, "disk_mib": disk_mib,
            "restart": restart, "settings": settings, "unchecked_settings": unchecked_settings,
            "bundle": bundle, "requirements": requirements, "packages": packages, "files": files,
        }  # fmt: skip
        was = self.jobs.get(name)
        if was is not None:
            self._must_be_replaceable(name, replace=replace)
            given["run"] = was.run + 1
        job = self._launchable(name, self.fitting(given, "submit-job"))
        if was is not None:
            _same_volume(name, was, job)
        await self._keep({**self.jobs, name: job})
        if was is not None:
            await self._hold({other: each for other, each in self.held.items() if other != name})
            await self._started_anew(name, f"job {name} was submitted again")
        return {"job": name, "member": f"job-{name}", **({"run": job.run + 1} if was is not None else {})}

    def _must_be_replaceable(self, name: str, *, replace: bool) -> None:
        """One that is over runs again as it is wanted now; one that runs has to be meant."""
        over = self.members[f"job-{name}"].state in OVER
        if name in self.stopping or not (over or replace):
            raise Conflict(
                f"job {name!r} is there already",
                expected="another name, stop-job first, or replace=true (`--replace`): it ends, this takes its place",
            )

    async def _started_anew(self, name: str, reason: str) -> None:
        """With what is wanted of it now: what has ended runs again by being wanted otherwise."""
        self.refresh()
        member = self.members[f"job-{name}"]
        if member.started and member.state not in OVER:
            await self.start_anew(member, reason)

    @action
    async def change_job(
        self,
        name: str = Field(pattern=NAME, max_length=50),
        program: str | None = None,
        arguments: list[str] | None = None,
        env: dict[str, str] = Field(default={}),
        cores: int | None = None,
        executor_memory_mib: int | None = None,
        memory_mib: int | None = None,
        disk_mib: int | None = None,
        restart: Literal["always", "on-failure", "never"] | None = None,
        bundle: str | None = None,
        requirements: str | None = None,
        packages: str | None = None,
        files: dict[str, str] | None = None,
        settings: Settings = Field(default={}),
        unchecked_settings: dict[str, str] = Field(default={}),
    ) -> dict[str, Any]:
        """Changes what a job was submitted with: its driver ends as it wants to, and starts anew in its place, where
        its checkpoint is. What is not named stays, entries of maps too."""
        was = self._job(name)
        whole = {
            "program": program, "arguments": arguments, "cores": cores, "executor_memory_mib": executor_memory_mib,
            "memory_mib": memory_mib, "disk_mib": disk_mib, "restart": restart, "bundle": bundle,
            "requirements": requirements, "packages": packages, "files": files,
        }  # fmt: skip
        if program and bundle is None:
            whole["bundle"] = ""
        elif bundle and program is None:
            whole["program"] = ""
        maps = {"env": env, "settings": settings, "unchecked_settings": unchecked_settings}
        given = {key: value for key, value in whole.items() if value is not None}
        job = self.fitting(
            {**was.model_dump(), **given, **{key: {**getattr(was, key), **each} for key, each in maps.items()}},
            "change-job",
        )
        _same_volume(name, was, job)
        if job == was:
            return {"job": name, "changed": False}
        await self._keep({**self.jobs, name: self._launchable(name, job)})
        if name in self.held:
            entries = {f"{of}.{key}" for of, each in maps.items() for key in each}
            await self.given(name, entries | {part for part in PARTS if whole[part]})
            return {"job": name, "changed": True}
        await self._started_anew(name, f"job {name} was changed")
        return {"job": name, "changed": True}

    @action
    async def stop_job(self, name: str) -> dict[str, Any]:
        """Ends a job for good; its volume stays for a grace."""
        self._job(name)
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
                **({"waits_for": self.held[name].waits_for} if name in self.held else {}),
                **({"over": True} if self._has_ended(name, job) else {}),
            }
            for name, job in sorted(self.jobs.items())
        ]

    def _has_ended(self, name: str, job: Job) -> bool:
        """For good, as it was submitted to: made anew it would run once more."""
        state = self.members[f"job-{name}"].state
        return state == "finished" or (state == "failed" and job.restart == "never")

    async def on_told(self, told: Told) -> None:
        if told.operation.kind == "scale_in":
            await self._forget_left()

    async def start_anew(self, member: Member, reason: str) -> None:
        """Asked about like any other restart; what it is told now holds from then on."""
        await self.propose("restart", member, reason=reason, key=f"{reason} {member.task}"[:200])

    async def given(self, name: str, what: set[str]) -> None:
        """A held job has what it waited for; once it has all, its driver starts."""
        held = self.held[name]
        left = tuple(each for each in held.waits_for if each not in what)
        others = {other: each for other, each in self.held.items() if other != name}
        await self._hold({**others, name: structs.replace(held, waits_for=left)} if left else others)
        self.refresh()
        if not left:
            await self.start_anew(self.members[f"job-{name}"], f"job {name} has all that it needs")

    async def _hold(self, held: dict[str, Held]) -> None:
        await self.state.set(HELD, to_builtins(held))
        self.held = held

    def _job(self, name: str) -> Job:
        if name not in self.jobs:
            raise NotFound(f"no job {name!r}", expected=", ".join(sorted(self.jobs)) or "there is none")
        return self.jobs[name]

    def fitting(self, given: Mapping[str, Any], where: str, options: SparkOptions | None = None) -> Job:
        """The job, if this version knows its settings, and its executors have room on workers with these options."""
        job, options = validated(Job, given, where=where), options or self.options
        try:
            OF_VERSION.check(self.version, job.settings)
        except ValueError as error:
            raise Invalid(str(error), where=where) from error
        offered = size_worker(options.memory_mib, options.cores)
        if job.executor_memory_mib > offered.executor_memory_mib:
            raise Conflict(
                f"an executor of {job.executor_memory_mib} MiB fits no worker", where="executor_memory_mib",
                expected=f"at most {offered.executor_memory_mib}",
            )  # fmt: skip
        return job

    def _launchable(self, name: str, job: Job) -> Job:
        """The job, if the names that stand in it can be known at a launch of it."""
        members = {f"job-{name}", *(member.name for member in self.members)}
        declaration = self.driver(job)
        templates.check(job.arguments, declaration, members, "arguments")
        for of in ("env", "settings", "unchecked_settings"):
            templates.check(getattr(job, of).values(), declaration, members, of)
        return job

    async def _forget_left(self) -> None:
        """A job whose member has left is forgotten, so its name is free again. Looked at again whenever jobs are
        asked about, because news may be missed while the host is away."""
        left = {name for name in self.stopping & self.jobs.keys() if not self.members[f"job-{name}"].placed}
        if not left:
            return
        await self._keep({name: job for name, job in self.jobs.items() if name not in left})
        await self._hold({name: held for name, held in self.held.items() if name not in left})
        await self.state.set(STOPPING, sorted(self.stopping - left))
        self.stopping -= left
        self.refresh()

    async def _keep(self, jobs: dict[str, Job]) -> None:
        await self.state.set(JOBS, {name: job.model_dump() for name, job in jobs.items()})
        self.jobs = jobs


def _same_volume(name: str, was: Job, job: Job) -> None:
    if bool(was.disk_mib) != bool(job.disk_mib):
        raise Conflict(
            f"job {name!r} has {was.disk_mib} MiB for its checkpoint, not {job.disk_mib}: that is never changed",
            where="disk_mib",
            expected="stop-job, and submit it anew: it begins without a checkpoint",
        )
