"""Which archive is meant, and which backup in it: as a person names it, or as the service remembers it."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from upcall.protocol.errors import NotFound, UpcallError
from upcall.service import telling
from upcall.service.backup import place as places
from upcall.service.backup.archive import Archive
from upcall.service.backup.manifest import Manifest

if TYPE_CHECKING:
    from upcall.service.service import Service

KNOWN: Final = "sdk.backups"
KNOWN_MAX: Final = 100


async def named(service: "Service", backup: str, secret: str, endpoint: str) -> tuple[Archive, Manifest]:
    where, _, name = backup.rpartition("/")
    if not where:
        known = [one for one in await remembered(service) if not name or one["id"] == name]
        if not known:
            raise NotFound(
                f"{service.name} remembers no backup {name}".rstrip(),
                where="backup",
                expected="FOLDER/ID, or one that `upcall backup list` names",
            )
        newest = known[-1]
        where, name = newest["where"], newest["id"]
        secret, endpoint = secret or newest["secret"], endpoint or newest["endpoint"]
    archive = await service.blocking(Archive.found, await opened(service, where, secret, endpoint))
    return archive, await service.blocking(archive.manifest, name)


async def opened(service: "Service", where: str, secret: str, endpoint: str, *, make: bool = False) -> places.Place:
    where = places.normal(where)
    login = await service._context.granted(telling.asked.get()) if secret else ""
    return await service.blocking(places.opened, where, login=login, endpoint=endpoint, make=make)


async def remembered(service: "Service") -> list[dict[str, Any]]:
    """Its backups, each as it was shown, and where it is; the newest last."""
    found: list[dict[str, Any]] = await service.state.get(KNOWN, [])
    return found


def in_folder(where: str) -> tuple[set[str] | None, str]:
    """Ids of the backups that lie there now. None: nobody has looked, for an object store asks who one is, and a folder
    may be refused (in words): that it cannot be read now does not say that it is gone."""
    if where.startswith(places.BUCKET):
        return None, ""
    try:
        return set(Archive.found(places.opened(where)).ids()), ""
    except NotFound:
        return set(), ""
    except UpcallError as refused:
        return None, refused.problem.message


async def remember(service: "Service", backup: dict[str, Any]) -> None:
    await forget(service, [backup["id"]])
    await service.state.update(KNOWN, lambda old: [*old, backup][-KNOWN_MAX:], [])


async def forget(service: "Service", backups: Collection[str]) -> None:
    await service.state.update(KNOWN, lambda old: [one for one in old if one["id"] not in backups], [])


async def archive_at(service: "Service", at: str, backups: Collection[str], secret: str, endpoint: str) -> Archive:
    """The one below ``at``; or, empty, that in which it remembers these backups (none: its backups) to be."""
    if not at:
        known = [one for one in await remembered(service) if not backups or one["id"] in backups]
        places_known = sorted({(one["where"], one["endpoint"]) for one in known})
        if len(places_known) != 1 or not set(backups) <= {one["id"] for one in known}:
            words = ", ".join(where for where, _ in places_known)
            raise NotFound(
                f"{service.name} remembers them in {words}" if words else f"{service.name} remembers no such backups",
                where="at",
                expected="the place that is meant: a folder, or s3://BUCKET/PREFIX",
            )
        ((where, known_endpoint),) = places_known
        return await service.blocking(Archive.found, await opened(service, where, secret, endpoint or known_endpoint))
    where = f"{places.normal(at)}/{service.name}"
    return await service.blocking(Archive.found, await opened(service, where, secret, endpoint))
