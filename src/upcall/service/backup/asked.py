"""What people ask of a service about its backups: the actions that each service with a ``backup`` has.

Each goes on after a death of its host: a backup from the notes in its archive, a restore from what the service holds.
So the arguments of each are on record while it runs, the name of a secret among them, which is what grants it.
A place is remembered with each backup that was made there, so a schedule may ask for "the newest".
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from upcall.protocol import recurring
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.options import without
from upcall.service import telling
from upcall.service.actions import action
from upcall.service.again import every
from upcall.service.backup import place as places
from upcall.service.backup.archive import Archive
from upcall.service.backup.finding import archive_at, forget, in_folder, named, opened, remember, remembered
from upcall.service.backup.manifest import Manifest
from upcall.service.backup.reading import StoredBackup
from upcall.service.backup.removing import Remover, Which
from upcall.service.backup.trials import marked
from upcall.service.backup.under_way import alone, reading, removing, speaking, working
from upcall.service.backup.writing import BackupInto, Say

if TYPE_CHECKING:
    from upcall.service.service import Service

LONGEST_S: Final = 7 * 86_400.0
TRY: Final = "try-backup"
RESTORING: Final = "sdk.restoring"
WHERE: Final = "an absolute folder, or s3://BUCKET/PREFIX"
LOGIN: Final = "name of the secret with ACCESS_KEY:SECRET_KEY of the object store"
ENDPOINT: Final = "the object store's own address; default: the usual one"
WHICH: Final = "FOLDER/ID, as `backup` gave it, or an ID that this service remembers; empty: its newest"


@action(timeout_s=LONGEST_S, goes_on=True)
async def backup(
    service: Any,
    to: str = Field(description=WHERE),
    secret: str = Field("", description=LOGIN),
    endpoint: str = Field("", description=ENDPOINT),
    full: bool = Field(False, description="read and write everything anew, whatever is there"),
) -> dict[str, Any]:
    """Backs the service up, and reads all of it back by its checksums."""
    where = f"{places.normal(to)}/{service.name}"
    place = await opened(service, where, secret, endpoint, make=True)
    archive = await service.blocking(Archive.begun, place, service.name, service.package)
    if (done := await service.blocking(_answering, archive)) is None:
        async with alone(service, archive.where):
            done = await _made(service, archive, full)
    with reading(service, archive.where):
        await working(service, lambda say: StoredBackup(archive, done, say=say), StoredBackup.verify)
    verified_at = round(time.time())
    await remember(
        service, {"where": where, "secret": secret, "endpoint": endpoint, **_summary(done), "verified_at": verified_at}
    )
    return {"backup": f"{where}/{done.id}", **_summary(done), "verified": True}


@action(goes_on=True)
async def backups(
    service: Any,
    at: str = Field("", description="what lies there, and not what is remembered; " + WHERE),
    secret: str = Field("", description=LOGIN),
    endpoint: str = Field("", description=ENDPOINT),
) -> list[dict[str, Any]]:
    """Backups of this service, the newest last; of those that it remembers, whether they are there."""
    if not at:
        known = await remembered(service)
        there = {where: await service.blocking(in_folder, where) for where in {one["where"] for one in known}}
        return [
            {
                "backup": f"{one['where']}/{one['id']}",
                **{name: one.get(name) for name in (*SHOWN, "verified_at")},
                "there": None if found is None else one["id"] in found,
                "refused": refused,
            }
            for one in known
            for found, refused in (there[one["where"]],)
        ]
    archive = await archive_at(service, at, (), secret, endpoint)
    manifests = await service.blocking(archive.manifests)
    return [
        {"backup": f"{archive.where}/{one.id}", **{name: _summary(one)[name] for name in SHOWN}} for one in manifests
    ]


@action(goes_on=True)
async def show_backup(
    service: Any,
    backup: str = Field("", description=WHICH),
    secret: str = Field("", description=LOGIN),
    endpoint: str = Field("", description=ENDPOINT),
) -> dict[str, Any]:
    """What a backup holds, and what it promises."""
    archive, found = await named(service, backup, secret, endpoint)
    known = [one for one in await remembered(service) if (one["where"], one["id"]) == (archive.where, found.id)]
    said = {"backup": f"{archive.where}/{found.id}", **_summary(found), "base": found.base, "options": found.options}
    # Another service, which is to read it, is told where the store is.
    store = endpoint or next((one["endpoint"] for one in known), "")
    return {**said, "endpoint": store} if store else said


@action(timeout_s=LONGEST_S, goes_on=True)
async def verify_backup(
    service: Any,
    backup: str = Field("", description=WHICH),
    trial: bool = Field(False, description="restore it too, beside what is there, and compare"),
    secret: str = Field("", description=LOGIN),
    endpoint: str = Field("", description=ENDPOINT),
) -> dict[str, Any]:
    """Reads a backup by its checksums; with ``trial`` restores it beside what is there, compares, and cleans up."""
    archive, found = await named(service, backup, secret, endpoint)
    said: dict[str, Any] = {"backup": f"{archive.where}/{found.id}", **_summary(found), "verified": True}
    with reading(service, archive.where):
        await working(service, lambda say: StoredBackup(archive, found, say=say), StoredBackup.verify)
        if trial:
            async with (
                marked(service) as mark,
                speaking(service, lambda say: StoredBackup(archive, found, mark=mark, say=say)) as stored,
            ):
                said["trial"] = await service.check_backup(stored)
    return said


@every(recurring.NEVER)
@action(timeout_s=LONGEST_S, goes_on=True)
async def try_backup(service: Any) -> dict[str, Any]:
    """A trial restore of the newest backup that this service remembers; nothing, where it has none. For a schedule."""
    if not await remembered(service):
        return {"trial": "there is no backup yet"}
    found: dict[str, Any] = await verify_backup(service, backup="", trial=True, secret="", endpoint="")
    return found


@action(timeout_s=LONGEST_S, goes_on=True)
async def restore(
    service: Any,
    backup: str = Field(description=WHICH),
    over: list[str] = Field([], description="of what is there and stands in its way: what may be deleted"),
    dry_run: bool = Field(False, description="say what it would do"),
    secret: str = Field("", description=LOGIN),
    endpoint: str = Field("", description=ENDPOINT),
) -> dict[str, Any]:
    """Makes the service hold what a backup has; refused over what is there, unless that is named."""
    archive, found = await named(service, backup, secret, endpoint)
    if found.package != service.package:
        raise Conflict(
            f"{found.id} is a backup of {found.service}, which is {found.package}",
            where=archive.where,
            expected=f"one of {service.package}",
        )
    with reading(service, archive.where):
        return await _restored(service, archive, found, over, dry_run=dry_run)


@action(timeout_s=LONGEST_S, goes_on=True)
async def remove_backups(
    service: Any,
    backups: list[str] = Field([], description="these, by their IDs"),
    keep: int = Field(0, ge=0, description="all but so many, the newest"),
    older_than_s: float = Field(0.0, ge=0.0, description="those that are older; never the newest one"),
    at: str = Field("", description="where; default: where the service remembers them. " + WHERE),
    dry_run: bool = Field(False, description="say which would go"),
    secret: str = Field("", description=LOGIN),
    endpoint: str = Field("", description=ENDPOINT),
) -> dict[str, Any]:
    """Removes old backups, and what of an archive no other one needs."""
    archive = await archive_at(service, at, backups, secret, endpoint)
    which = Which(tuple(backups), keep, older_than_s)

    def remover(say: Say) -> Remover:
        return Remover(archive, service._context.life, say=say)

    if dry_run:
        found = await working(service, remover, lambda one: one.would(which))
    else:
        async with removing(service, archive.where):
            found = await working(service, remover, lambda one: one.remove(which))
        await forget(service, found.backups)
    return {
        "at": archive.where,
        "backups": list(found.backups),
        "kept": found.kept,
        "freed_bytes": found.freed_bytes,
        "removed": not dry_run,
    }


ACTIONS: Final[dict[str, Callable[..., Coroutine[Any, Any, Any]]]] = {
    "backup": backup,
    "backups": backups,
    "show-backup": show_backup,
    "verify-backup": verify_backup,
    "remove-backups": remove_backups,
    "restore": restore,
    TRY: try_backup,
}
SHOWN: Final = ("id", "package", "version", "ended_at", "bytes", "new_bytes")


async def _restored(
    service: Any, archive: Archive, found: Manifest, over: list[str], *, dry_run: bool
) -> dict[str, Any]:
    async with alone(service, "restore"):
        under_way = await service.state.get(RESTORING)
        begun = under_way == found.id
        standing = [] if begun else await service.in_the_way(StoredBackup(archive, found))
        unknown = sorted(set(over) - set(standing)) if not begun else []
        if unknown:
            raise Invalid(
                f"{', '.join(unknown)} does not stand in its way",
                where="over",
                expected=f"of {', '.join(standing)}" if standing else "nothing: there is no data in its way",
            )
        left = [name for name in standing if name not in over]
        said = {
            "backup": f"{archive.where}/{found.id}",
            "deletes": sorted(set(standing) & set(over)),
            **_summary(found),
        }
        if dry_run:
            return {**said, "in_the_way": left, "restored": False}
        if left:
            raise Conflict(
                f"{service.name} has {_few(left)} already",
                where="over",
                expected=f"--over {','.join(left[:20])}: what is named is deleted first",
            )
        if not begun:  # What is damaged is found before anything is deleted for it.
            await working(service, lambda say: StoredBackup(archive, found, say=say), StoredBackup.verify)
        await service.state.set(RESTORING, found.id)
        gone = frozenset(over)

        def begin(say: Say) -> StoredBackup:
            return StoredBackup(archive, found, over=gone, resumed=begun, say=say)

        async with speaking(service, begin) as stored:
            await service.restore(stored)
        await service.state.delete(RESTORING)
    return {**said, "restored": True}


async def _made(service: "Service", archive: Archive, full: bool) -> Manifest:
    began_at, life = time.time(), service._context.life
    base = next((one for one in reversed(await service.blocking(archive.manifests)) if one.life == life), None)
    left = [one for one in await service.blocking(archive.drafts) if one.startswith(f"{service.name}-")]
    new = f"{service.name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(began_at))}-{secrets.token_hex(2)}"
    name = left[-1] if left else new

    def begin(say: Say) -> BackupInto:
        return BackupInto(archive, name, life=life, base=base, full=full, say=say)

    async with speaking(service, begin) as into:
        await service.backup(into)
        manifest = into.manifest(
            service=service.name,
            package=service.package,
            version=service.version,
            # What follows from goals follows anew where it is restored, from what is wanted there.
            options=without(service._context.options, service._context.derived),
            action=telling.asked.get(),
            began_at=began_at,
            ended_at=time.time(),
        )
        await service.blocking(archive.keep, manifest)
    return manifest


def _answering(archive: Archive) -> Manifest | None:
    """The backup that was made for this very question, by a host that died before it said so."""
    asked = telling.asked.get()
    newest = archive.ids()[-1:]
    with contextlib.suppress(Conflict):
        found = [archive.manifest(each) for each in newest]
        return next((one for one in found if asked and one.action == asked), None)
    return None


def _summary(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.id,
        "service": manifest.service,
        "package": manifest.package,
        "version": manifest.version,
        "ended_at": round(manifest.ended_at),
        "took_s": round(manifest.ended_at - manifest.began_at, 1),
        "parts": len(manifest.parts),
        "bytes": manifest.size,
        "new_bytes": manifest.new_bytes,
        "promise": manifest.promise,
    }


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
