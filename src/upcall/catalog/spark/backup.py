"""Spark's backup: what jobs were submitted with, and the checkpoints that they go on from.

A checkpoint is a folder of files that Spark writes beside and renames, and never changes afterwards. What batch N goes
on from (the commit of the one before, its state) stands before its own offsets are written. So offsets are copied
first, everything else after them, and of commits none beyond: wherever the driver is meanwhile, the copy is that of one
that died in its last batch. Spark's own checksums are left out: they lie beside what they are of, and are not written
with it; every part has one here.

To be restored a driver is held: its task runs in its place, with its volume, and does nothing, until its checkpoint is
there. It stays held while something is missing that a backup does not have: values that are secrets.
"""

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from upcall.catalog.spark.jobs import OVER, Jobs
from upcall.catalog.spark.members import CHECKPOINT, HELD_BY, Held
from upcall.catalog.spark.options import PARTS, Job
from upcall.protocol.errors import Conflict, NotNow, UpcallError
from upcall.protocol.releases import version_key
from upcall.service import Member
from upcall.service.backup import BackupInto, StoredBackup
from upcall.service.backup.carried import CutOff, Files, Found, copy_out, files_of

ROOT: Final = "{{volume.checkpoint}}"
TRIES: Final = 3
LOOK_S: Final = 1.0
SECRET: Final = re.compile(r"(?i)secret|password|token|access[.]?key")
"""Of settings: those whose values Spark itself does not show (``spark.redaction.regex``)."""
UNTOLD: Final = "raise SystemExit('its bundle is missing')\n"
"""In place of a program that was a folder or a wheel."""
OFFSETS: Final = re.compile(r"(?:(.*)/)?offsets/(\d+)")
COMMITS: Final = re.compile(r"(?:(.*)/)?commits/(\d+)")
PROMISE: Final = (
    "all jobs that have not ended, as they were submitted, but for values of their environments, and of settings that"
    " are secrets, and for folders, wheels, libraries, packages and files that they brought; of each the"
    " volume with its checkpoint, as a death of its driver in its last batch would leave it:"
    " what its sink got since comes once more; not what a program keeps elsewhere, nor state in an object store"
)


class Backups(Jobs):
    """How Spark is backed up and restored."""

    async def backup(self, into: BackupInto) -> None:
        members = {name: self.members[f"job-{name}"] for name in sorted(self.jobs.keys() - self.stopping)}
        members = {name: each for name, each in members.items() if each.state not in OVER}
        away = [name for name, each in members.items() if self.jobs[name].disk_mib and not each.ready]
        if away:
            raise NotNow(
                f"the driver of {', '.join(away)} does not run: its checkpoint cannot be read", where=self.name
            )
        into.promise(PROMISE)
        into.about = {"form": self._form, "jobs": {}}
        for number, (name, driver) in enumerate(members.items()):
            job, left_out = without_secrets(self.jobs[name])
            held = self.held.get(name)
            into.about["jobs"][name] = sorted({*left_out, *(held.waits_for if held else ())} - {CHECKPOINT})
            into.add(f"jobs/{name}", job.model_dump_json())
            if job.disk_mib:
                into.say(f"checkpoint of {name}", number / len(members))
                await self._copy(driver, into, name)

    async def _copy(self, driver: Member, into: BackupInto, name: str) -> None:
        """Again where a file went away meanwhile: Spark deletes those of batches that are long over."""
        for attempt in range(1, TRIES + 1):
            try:
                async with files_of(driver, ROOT) as files:
                    return await self.blocking(_copy_out, into, files, name)
            except CutOff as error:
                self.log.warning("no copy of the checkpoint of %s, attempt %d: %s", name, attempt, error)
        raise NotNow(f"the checkpoint of {name} changes faster than it is copied", where=self.name)

    async def in_the_way(self, stored: StoredBackup) -> list[str]:
        about = stored.manifest.about
        if version_key(self.version) < version_key(about["form"]):
            raise Conflict(
                f"its checkpoints are as Spark {about['form']} writes them, which Spark {self.version} does not promise"
                " to read",
                where=self.name,
                expected=f"Spark {about['form']} or newer",
            )
        for name in about["jobs"]:
            self.fitting(job_in(stored, name).model_dump(), f"job {name}")
        return sorted(self.jobs.keys() & about["jobs"].keys())

    async def restore(self, stored: StoredBackup) -> None:
        """Those that are in its way are made what the backup has, in their places."""
        found = {name: (job_in(stored, name), tuple(left_out))
                 for name, left_out in stored.manifest.about["jobs"].items()}  # fmt: skip
        by = stored.manifest.id
        begun = {name for name in found if name in self.held and self.held[name].by == by} if stored.resumed else set()
        new = found.keys() - begun - ({name for name in found if name in self.jobs} - stored.over)
        held = {name: Held(by=by, waits_for=(*found[name][1], *([CHECKPOINT] if found[name][0].disk_mib else [])))
                for name in new}  # fmt: skip
        await self._hold({**self.held, **{name: each for name, each in held.items() if each.waits_for}})
        await self._keep({**self.jobs, **{name: found[name][0] for name in new}})
        self.refresh()
        for name in sorted(new):
            if (driver := self.members[f"job-{name}"]).started:
                await self.start_anew(driver, f"job {name} is restored from {by}")
        for number, name in enumerate(sorted(found)):
            stored.say(f"checkpoint of {name}", number / len(found))
            if name in self.held and CHECKPOINT in self.held[name].waits_for:
                driver = await self._until_held(name, by)
                async with files_of(driver, ROOT) as files:
                    await self.blocking(_copy_in, stored, files, name)
                await self.given(name, {CHECKPOINT})

    async def _until_held(self, name: str, by: str) -> Member:
        """Its task says so itself: it may run as it was for a moment."""
        while True:
            driver = self.members[f"job-{name}"]
            if driver.ready:
                try:
                    if (await driver.run(("cat", HELD_BY), codes=())).output == by:
                        return driver
                except UpcallError:
                    pass  # It just ends.
            await asyncio.sleep(LOOK_S)


def job_in(stored: StoredBackup, name: str) -> Job:
    return Job.model_validate_json(stored.read(f"jobs/{name}"))


def without_secrets(job: Job) -> tuple[Job, list[str]]:
    """And what was left out, as ``env.NAME`` or ``settings.NAME``."""
    maps = {"env": job.env, "settings": job.settings, "unchecked_settings": job.unchecked_settings}
    secret = {of: [name for name in each if of == "env" or SECRET.search(name)] for of, each in maps.items()}
    kept = {of: {name: value for name, value in each.items() if name not in secret[of]} for of, each in maps.items()}
    left_out = [f"{of}.{name}" for of, names in secret.items() for name in names]
    # Blobs are the cluster's: what a job brought in them is handed over again, by submitting it.
    parts = [part for part in PARTS if getattr(job, part)]
    without = {part: {} if part == "files" else "" for part in parts} | ({"program": UNTOLD} if job.bundle else {})
    return job.model_copy(update={**kept, **without}), left_out + parts


def _copy_out(into: BackupInto, files: Files, job: str) -> None:
    begun: dict[str, int] = {}
    for each in _own(files.list("**/offsets/*")):
        if place := OFFSETS.fullmatch(each.name):
            begun[place[1] or ""] = max(begun.get(place[1] or "", 0), int(place[2]))
            copy_out(into, files, each, f"checkpoints/{job}/{each.name}")
    for each in _own(files.list("**/*")):
        commit = COMMITS.fullmatch(each.name)
        beyond = commit is not None and int(commit[2]) > begun.get(commit[1] or "", -1)
        if not beyond and not OFFSETS.fullmatch(each.name):
            copy_out(into, files, each, f"checkpoints/{job}/{each.name}")


def _own(found: Iterable[Found]) -> list[Found]:
    """Without what is being written still, and checksums."""
    return [
        each for each in found if not each.name.rpartition("/")[2].startswith(".") and not each.name.endswith(".crc")
    ]


def _copy_in(stored: StoredBackup, files: Files, job: str) -> None:
    prefix = f"checkpoints/{job}/"
    for top in {each.name.partition("/")[0] for each in files.list("**/*")}:
        files.drop(top)
    for part in stored.parts(prefix):
        files.put(part.name.removeprefix(prefix), part.size, stored.pieces(part))
