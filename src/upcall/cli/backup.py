"""``upcall backup`` and ``upcall restore``: what a service holds, kept elsewhere and brought back.

A backup is a long action of its service: it is on record, says how far it is, and goes on when somebody stops looking.
It is named as its folder says, ``FOLDER/SERVICE/ID``, or by its ID alone while its service remembers it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from upcall.cli import deploy
from upcall.cli.action import begin, finished, known_action
from upcall.cli.asking import Yes, confirm
from upcall.cli.output import ago, nearest
from upcall.cli.session import Makes, Session, command, commands
from upcall.cli.update import Goal, Set, Unset, goals_of, unset_would_do
from upcall.cli.values import parse_pairs
from upcall.protocol import recurring
from upcall.protocol.errors import Conflict, Invalid, NotFound, UpcallError
from upcall.protocol.numbers import counted, does, sized
from upcall.protocol.operator import Install, ServiceView
from upcall.protocol.options import flattened, merged, without

ID = re.compile(r"(?P<service>[a-z0-9][a-z0-9-]*)-\d{8}T\d{6}-[0-9a-f]{4}\Z")
COLUMNS = ("backup", "age", "size", "new", "version", "")
GONE = "gone: it is not there any more"
PATIENCE_S = 60.0
UNITS = {"h": "hours", "d": "days", "w": "weeks"}


backup_app = commands("Back a service up: `backup [make] SERVICE --to`; list, show, verify, remove.", group=Makes)
restore_app = commands()
APPS = {"backup": backup_app, "restore": restore_app}

Which = Annotated[str, typer.Argument(metavar="BACKUP", help="FOLDER/SERVICE/ID, or its ID.")]
Secret = Annotated[
    str, typer.Option("--secret", metavar="NAME", help="Secret with ACCESS_KEY:SECRET_KEY of the object store.")
]
Endpoint = Annotated[str, typer.Option("--endpoint", metavar="URL", help="Of an object store that is not the usual.")]
By = Annotated[str, typer.Option("--by", metavar="SERVICE", help="Which service reads it, where it is not its own.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")]


@command(backup_app, "make")
def make(
    session: Session,
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    to: Annotated[str, typer.Option("--to", metavar="FOLDER|s3://BUCKET/PREFIX", help="Where it is kept.")],
    secret: Secret = "",
    endpoint: Endpoint = "",
    full: Annotated[bool, typer.Option("--full", help="Read and write everything anew.")] = False,
    no_wait: NoWait = False,
) -> None:
    """Back a service up, and read it back at once by its checksums."""
    asked = {"to": _absolute(to), "secret": secret, "endpoint": endpoint, "full": full}
    found = _done(session, service, "backup", asked, no_wait)
    if found is not None:
        words = f"{service} is backed up: {sized(found['bytes'])}, {sized(found['new_bytes'])} of it new, verified"
        session.out.say(found, f"{words}\n{found['backup']}\n{found['promise']}")


@command(backup_app, "list")
def list_backups(
    session: Session,
    service: Annotated[str, typer.Argument(metavar="SERVICE")] = "",
    at: Annotated[str, typer.Option("--at", metavar="FOLDER|s3://BUCKET/PREFIX", help="What lies there.")] = "",
    secret: Secret = "",
    endpoint: Endpoint = "",
) -> None:
    """Backups of a service, or of all: those that they remember, or those that lie somewhere."""
    asked = {"at": _absolute(at) if at else "", "secret": secret, "endpoint": endpoint}
    services = [service] if service else [one.name for one in session.client.services() if _backed_up(one)]
    found = [row for each in services for row in _done(session, each, "backups", asked) or []]
    rows = [
        (
            one["backup"],
            ago(one["ended_at"]),
            sized(one["bytes"]),
            sized(one["new_bytes"]),
            one["version"],
            GONE if one.get("there") is False else one.get("refused", ""),
        )
        for one in found
    ]
    session.out.show(found, COLUMNS, rows, empty="no backups")


@command(backup_app, "show")
def show(session: Session, backup: Which, by: By = "", secret: Secret = "", endpoint: Endpoint = "") -> None:
    """What a backup holds, and what it promises."""
    reader = by or _owner(backup)
    found = _done(session, reader, "show-backup", _asked(session, reader, backup, secret, endpoint)) or {}
    rows = [(key, sized(value) if key.endswith("bytes") else str(value)) for key, value in found.items()]
    session.out.show(found, ("", ""), rows, empty="nothing")


@command(backup_app, "verify")
def verify(
    session: Session,
    backup: Which,
    trial: Annotated[bool, typer.Option("--trial", help="Restore it beside what is there, compare, clean up.")] = False,
    by: By = "",
    secret: Secret = "",
    endpoint: Endpoint = "",
    no_wait: NoWait = False,
) -> None:
    """Read a backup by its checksums; with --trial restore it, too, beside what is there."""
    reader = by or _owner(backup)
    asked = {**_asked(session, reader, backup, secret, endpoint), "trial": trial}
    found = _done(session, reader, "verify-backup", asked, no_wait)
    if found is not None:
        also = f"; trial restore: {found['trial']}" if trial else ""
        session.out.say(found, f"{found['id']} is well: {sized(found['bytes'])} read by checksum{also}")


@command(backup_app, "remove")
def remove(
    session: Session,
    which: Annotated[list[str], typer.Argument(metavar="BACKUP|SERVICE", help="Backups; or whose, see --keep.")],
    keep: Annotated[int | None, typer.Option("--keep", metavar="N", min=1, help="All but the newest N.")] = None,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="Those that are older: 30d, `12 hours`; never the newest."),
    ] = "",
    at: Annotated[str, typer.Option("--from", metavar="FOLDER|s3://BUCKET/PREFIX", help="Where they are.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which would go.")] = False,
    secret: Secret = "",
    endpoint: Endpoint = "",
    no_wait: NoWait = False,
    yes: Yes = False,
) -> None:
    """Remove old backups, and what no other one needs of what they are made of."""
    names = [each.rpartition("/")[2] for each in which]
    folders = {each.rpartition("/")[0] for each in which if "/" in each}
    if keep or older_than:
        if len(which) != 1 or ID.match(names[0]) or folders:
            raise Invalid(
                "--keep and --older-than are of a service", where="BACKUP", expected="SERVICE and one of them"
            )
        service, names = which[0], []
    else:
        owners = {_owner(each) for each in names}
        if len(owners) != 1 or len(folders) > 1 or (folders and at):
            raise Invalid("backups of several places", where="BACKUP", expected="those of one service in one place")
        (service,) = owners
        at = at or next((_place(folder) for folder in folders), "")
    asked = {
        "backups": names,
        "keep": keep or 0,
        "older_than_s": _age_s(older_than) if older_than else 0.0,
        "at": _absolute(at) if at else "",
        "dry_run": dry_run,
        "secret": secret,
        "endpoint": endpoint,
    }
    if not dry_run:
        goes = ", ".join(names) or f"what the rule does not keep of {service}'s backups"
        what = f"{goes}: deleted for good; what other backups need is kept (--dry-run says more)"
        confirm(session, what, "backup remove", yes=yes)
    found = _done(session, service, "remove-backups", asked, no_wait)
    if found is None:
        return
    went = ", ".join(found["backups"]) or "no backup"
    freed = (
        f": {sized(found['freed_bytes'])} that no other one needs" if found["backups"] or found["freed_bytes"] else ""
    )
    words = f"{went} {'would go' if dry_run else 'went'}{freed}; "
    kept = f"{counted(found['kept'], 'backup')} {does(found['kept'], 'stay')}"
    session.out.say(found, f"{words}{kept} in {found['at']}")


@command(restore_app, "restore")
def restore(
    session: Session,
    backup: Which,
    to: Annotated[str, typer.Option("--to", metavar="SERVICE", help="Another one; it is installed if need be.")] = "",
    setting: Set = None,
    unset: Unset = None,
    goal: Goal = None,
    package: Annotated[
        str, typer.Option("--package", metavar="PACKAGE[@VERSION]", help="Of a new service; default: as it was.")
    ] = "",
    over: Annotated[
        str, typer.Option("--over", metavar="NAME,...", help="Of what is there: what is deleted for it.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do.")] = False,
    secret: Secret = "",
    endpoint: Endpoint = "",
    no_wait: NoWait = False,
    yes: Yes = False,
) -> None:
    """Bring back what a backup holds: into its own service, or into another one that is made for it: with the backup's
    options, but for what --set, --unset and --goal say."""
    service = to or _owner(backup)
    which = _asked(session, service, backup, secret, endpoint)
    if over and not dry_run:
        what = f"{over} of {service}: deleted for good, for what the backup has of it"
        confirm(session, what, "restore --over", yes=yes, for_good=False)
    changed = _Changed(setting, unset, goal)
    there = next((one for one in session.client.services() if one.name == service), None)
    made = False
    if there is None:
        wanted = _wanted(session, which, service, changed, package)
        try:
            if dry_run:
                session.client.post("/v1/services/preview", wanted)
                words = f"{service} would be installed ({wanted.package}), and filled from it; room is not looked for"
                session.out.say(wanted.model_dump(), words)
                return
            begun = deploy.post_all(session, [wanted])
        except UpcallError as error:
            raise unset_would_do(error) from None
        deploy.follow(session, begun.names, [service])
        made = True
    elif changed.first:
        _is_as_wanted(there, _wanted(session, which, service, changed, package), changed.first)
    asked = {**which, "over": [name for name in over.split(",") if name], "dry_run": dry_run}
    try:
        found = _done(session, service, "restore", asked, no_wait)
    except UpcallError as error:
        if not made:
            raise
        raise Conflict(
            f"{error.problem.message}; {service} was installed for it, and stays",
            where=error.problem.where,
            expected=f"the same command, which goes on; or `upcall uninstall {service}`",
        ) from error
    if found is None:
        return
    if dry_run:
        stands = ", ".join(found["in_the_way"])
        words = (
            f"what stands in its way: {stands} (--over {stands.replace(' ', '')})" if stands else "nothing forbids it"
        )
        session.out.say(found, f"{found['parts']} parts, {sized(found['bytes'])} into {service}; {words}")
        return
    session.out.say(found, f"{service} holds what {found['id']} has: {sized(found['bytes'])}\n{found['promise']}")


@dataclass(frozen=True)
class _Changed:
    """What of a backup's options is to be otherwise in the service that is made of it."""

    setting: list[str] | None
    unset: list[str] | None
    goal: list[str] | None

    @property
    def first(self) -> str:
        """The option that says something; empty when none does."""
        given = {"--set": self.setting, "--unset": self.unset, "--goal": self.goal}
        return next((word for word, said in given.items() if said), "")

    def of(self, before: dict[str, Any]) -> dict[str, Any]:
        """A map is merged with what it was, entry by entry, as by an update."""
        known = {*before, *dict(flattened(before))}
        for name in self.unset or []:
            if name not in known:
                raise Invalid(
                    f"the backup says nothing of {name!r}", where="--unset", expected=nearest(name, sorted(known))
                )
        said = {**parse_pairs(self.setting or [], "--set"), **goals_of(self.goal)}
        return merged(without(before, self.unset or []), dict(flattened(said)))


def _is_as_wanted(stands: ServiceView, wanted: Install, word: str) -> None:
    """It was installed by the same command, which then failed: it goes on. Another one is not changed by a restore."""
    if (stands.package, stands.options) != (wanted.package, wanted.options):
        raise Conflict(
            f"{stands.name} is installed already, with other options",
            where=word,
            expected=f"the same without {word}; or `upcall update {stands.name} {word}` first",
        )


def _wanted(session: Session, which: dict[str, Any], service: str, changed: _Changed, package: str) -> Install:
    """A new service, as the backup's was, with other options where they are given."""
    was: dict[str, Any] = {}
    backup = which["backup"]
    if not package or not backup.startswith("s3://"):
        was = _manifest(session, which)
    name, _, version = package.partition("@")
    if was and name and name != was["package"]:
        raise Conflict(f"{backup} is a backup of {was['package']}", where="--package", expected=was["package"])
    if not name:
        name, version = was["package"], was["version"].partition("+")[0]
    before = {} if package else was["options"]
    return Install(package=name, name=service, version=version, options=changed.of(before))


def _manifest(session: Session, which: dict[str, Any]) -> dict[str, Any]:
    """What a backup says of itself: read here where it lies in a folder, all of it by its checksums, so nothing is
    installed for one that is damaged; else by its own service."""
    where, _, name = which["backup"].rpartition("/")
    owner = _owner(name)
    there = owner in {one.name for one in session.client.services()}
    if not where.startswith("s3://") and (Path(where).is_dir() or not there):
        from upcall.service.backup.archive import Archive
        from upcall.service.backup.place import folder
        from upcall.service.backup.reading import StoredBackup

        archive = Archive.found(folder(where, make=False))
        found = archive.manifest(name)
        StoredBackup(archive, found).verify()
        return {"package": found.package, "version": found.version, "options": found.options}
    if not there:
        raise Invalid(
            f"{owner} is not installed, and only a service reads from an object store",
            where="--package",
            expected="--package, and --set for its options: then the new service reads it",
        )
    return _done(session, owner, "show-backup", which) or {}


def _done(session: Session, service: str, action: str, arguments: dict[str, Any], no_wait: bool = False) -> Any:
    """The action's result; None where nobody waits for it."""
    try:
        known_action(session, service, action)
    except NotFound as error:
        if service in {one.name for one in session.client.services()}:
            raise Invalid(
                f"the package of {service} does not know how to back it up", where=service, expected="a `backup` in it"
            ) from error
        raise
    begun = begin(session, service, action, arguments, patience_s=PATIENCE_S)
    if no_wait:
        session.out.say(begun, f"it has begun; `upcall service action {begun.id}` says how far it is, --cancel ends it")
        return None
    return finished(session, begun).result


def _asked(session: Session, reader: str, backup: str, secret: str, endpoint: str) -> dict[str, Any]:
    """Of the service that is to read it. An ID alone says where it is to the service that made it, and to no other
    one: that one is asked, and the reader is told all of the place."""
    where, _, name = backup.rpartition("/")
    owner = _owner(backup)
    asked = {"backup": f"{_absolute(where)}/{name}" if where else name, "secret": secret, "endpoint": endpoint}
    if where:
        return asked
    if owner not in {one.name for one in session.client.services()}:
        raise NotFound(
            f"{owner} is not installed, so nobody remembers where {name} is",
            where="BACKUP",
            expected="FOLDER/SERVICE/ID, or s3://BUCKET/PREFIX/SERVICE/ID",
        )
    if reader == owner:
        return asked
    found = _done(session, owner, "show-backup", asked)
    return {**asked, "backup": found["backup"], "endpoint": endpoint or found.get("endpoint", "")}


def _owner(backup: str) -> str:
    found = ID.match(backup.rpartition("/")[2])
    if found is None:
        raise Invalid(
            f"{backup!r} is no backup", where="BACKUP", expected="FOLDER/SERVICE/ID, as `upcall backup list` shows it"
        )
    return found["service"]


def _absolute(where: str) -> str:
    """As the host is told it: it may stand in another folder. What is no place (a login in the address) is refused
    here: what an action was asked is on record."""
    from upcall.service.backup.place import normal

    if not where.strip():  # A variable that is not set: nothing is written into the folder that one happens to be in.
        raise Invalid("no place is named", where="--to", expected="a folder, or s3://BUCKET/PREFIX")
    return normal(where) if "://" in where else os.path.normpath(Path.cwd() / Path(where).expanduser())


def _place(folder: str) -> str:
    """Of the folder of a service's own, as each backup is named by, what ``--to`` said."""
    return folder.rstrip("/").rpartition("/")[0] or "/"


def _age_s(text: str) -> float:
    """``30d`` as well as ``30 days``."""
    short = re.fullmatch(r"(\d+)([hdw])", text.strip())
    words = f"{short[1]} {UNITS[short[2]]}" if short else text
    try:
        found = recurring.interval_s(words)
    except Invalid as error:
        raise Invalid(f"{text!r} is no age", where="--older-than", expected="30d, 12h, 4w, `30 days`") from error
    if not found:
        raise Invalid(f"{text!r} is no age", where="--older-than", expected="30d, 12h, 4w, `30 days`")
    return found


def _backed_up(service: Any) -> bool:
    return any(action.get("name") == "backup" for action in service.actions)
