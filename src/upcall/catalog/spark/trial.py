"""A trial restore of Spark's backups: all but the queries themselves, which would write into their sinks again.

Each job has to fit this service as a restore would ask it to. Its checkpoint goes the way of a restore, through a
worker's sandbox instead of a driver's volume, is read back from there and compared, byte by byte. Then it is read as
Spark reads it when a query goes on: by the offsets of its last batch and of the one before, and the commit that says
which of the two is the next one's.

It is bounded: a worker keeps so many bytes of it at a time, and no file stays.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from upcall.catalog.spark.backup import COMMITS, OFFSETS, Backups, job_in
from upcall.protocol.errors import Conflict, NotNow
from upcall.protocol.numbers import counted, does
from upcall.service.backup import Part, StoredBackup
from upcall.service.backup.carried import Files, files_of

ROOT: Final = "{{sandbox}}"
WITHIN: Final = "upcall-trial"
BYTES_MAX: Final = 64 << 20
"""In a worker's sandbox at a time; a file that is larger is there alone."""
_FORM: Final = re.compile(rb"v\d+\Z")
_NOTHING: Final = b"-"
"""A source that has no offset yet."""


class Trials(Backups):
    """How a backup of Spark is tried."""

    async def check_backup(self, stored: StoredBackup) -> str:
        await self.in_the_way(stored)  # Raises what a restore would: another form, a job that fits no worker.
        jobs = {name: job_in(stored, name) for name in stored.manifest.about["jobs"]}
        worker = next((each for each in self.members.of("worker") if each.back), None)
        if worker is None:
            raise NotNow("no worker is back", where=self.name)
        found: dict[str, dict[str, int]] = {}
        files = 0
        async with files_of(worker, ROOT) as carried:
            for number, name in enumerate(jobs):
                stored.say(f"checkpoint of {name}", number / len(jobs))
                parts = stored.parts(f"checkpoints/{name}/")
                files += len(parts)
                found[name] = await self.blocking(_tried, stored, carried, name, parts)
        queries = [f"{name}{' ' + query if query else ''} from batch {number}"
                   for name, each in found.items() for query, number in sorted(each.items())]  # fmt: skip
        return (
            f"{counted(len(jobs), 'job')} {does(len(jobs), 'fit')}, {counted(files, 'file')} of checkpoints laid into"
            f" the sandbox of {worker}, read back,"
            f" compared, and deleted; of their queries, none of which was started, {len(queries)} can go on"
            + (f": {', '.join(queries)}" if queries else "")
        )

    async def clear_trial(self, mark: str) -> None:
        """Its files in sandboxes: those of a worker that was started anew have gone with its own."""
        for worker in self.members.of("worker"):
            if worker.ready:
                async with files_of(worker, ROOT) as carried:
                    await self.blocking(carried.drop, WITHIN)


def _tried(stored: StoredBackup, files: Files, job: str, parts: list[Part]) -> dict[str, int]:
    """Folder of a query -> the batch that it goes on with."""
    prefix = f"checkpoints/{job}/"
    logs: dict[str, bytes] = {}
    for some in _bounded(parts):
        files.drop(WITHIN)  # Of a trial that was interrupted, too.
        try:
            put = {}
            for part in some:
                hashed = hashlib.sha256()
                files.put(f"{WITHIN}/{part.name}", part.size, _seen(stored.pieces(part), hashed.update))
                put[part.name] = hashed.hexdigest()
            for part in some:
                hashed, kept = hashlib.sha256(), list[bytes]()
                name = part.name.removeprefix(prefix)
                log = OFFSETS.fullmatch(name) or COMMITS.fullmatch(name)
                for piece in files.get(f"{WITHIN}/{part.name}"):
                    hashed.update(piece)
                    kept += [piece] if log else []
                if hashed.hexdigest() != put[part.name]:
                    raise Conflict(f"{part.name} is not what was written", where=part.name)
                if log:
                    logs[name] = b"".join(kept)
        finally:
            files.drop(WITHIN)
    return goes_on(job, logs)


def goes_on(job: str, logs: Mapping[str, bytes]) -> dict[str, int]:
    """As Spark does (``MicroBatchExecution``): it goes on with the last batch whose offsets are written, or with the
    next where that was committed, and reads the offsets of the one before. ``Conflict`` where it would not come up."""
    offsets, commits = _numbers(logs, OFFSETS), _numbers(logs, COMMITS)
    found = {}
    for query, numbers in offsets.items():
        last = max(numbers)
        committed = max(commits.get(query, {-1}))
        if last and last - 1 not in numbers:
            raise Conflict(f"job {job}: a query has the offsets of batch {last} and not of {last - 1}", where=query)
        folder = f"{query}/" if query else ""
        needed = [f"{folder}offsets/{number}" for number in (last - 1, last) if number >= 0]
        needed += [f"{folder}commits/{committed}"] if committed >= 0 else []
        for name in needed:
            _readable(job, name, logs[name])
        found[query] = last + 1 if committed == last else last
    for query in commits.keys() - offsets.keys():
        raise Conflict(f"job {job}: a query has commits and no offsets", where=query or job)
    return found


def _readable(job: str, name: str, log: bytes) -> None:
    """Its form on the first line, and then JSON, a line each."""
    form, _, rest = log.partition(b"\n")
    try:
        if not _FORM.match(form):
            raise ValueError(f"begins with {form[:20]!r}")
        for line in rest.splitlines():
            if line.strip() and line != _NOTHING:
                json.loads(line)
    except ValueError as error:
        raise Conflict(f"job {job}: {name} cannot be read: {error}", where=name) from error


def _numbers(logs: Iterable[str], pattern: re.Pattern[str]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for name in logs:
        if place := pattern.fullmatch(name):
            found.setdefault(place[1] or "", set()).add(int(place[2]))
    return found


def _bounded(parts: list[Part]) -> Iterator[list[Part]]:
    some, size = list[Part](), 0
    for part in parts:
        if some and size + part.size > BYTES_MAX:
            yield some
            some, size = [], 0
        some.append(part)
        size += part.size
    if some:
        yield some


def _seen(pieces: Iterable[bytes], see: Callable[[bytes], object]) -> Iterator[bytes]:
    for piece in pieces:
        see(piece)
        yield piece
