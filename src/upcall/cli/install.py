"""``upcall install`` and ``upcall uninstall``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from upcall.cli import deploy
from upcall.cli.asking import Yes, confirm
from upcall.cli.session import Session, command, commands
from upcall.cli.update import Goal, change, goals_of
from upcall.cli.values import parse_pairs
from upcall.cli.waiting import wait_for, went_down
from upcall.client import paths
from upcall.client.blocking import Unreachable
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.operator import Ask, Install, ServiceView, Update
from upcall.protocol.releases import split
from upcall.protocol.secret_names import missing, owner

if TYPE_CHECKING:
    from upcall.cli.upload import Uploaded

install_app = commands()
uninstall_app = commands()
APPS = {"install": install_app, "uninstall": uninstall_app}


@command(install_app, "install")
def install(
    session: Session,
    package: Annotated[
        str, typer.Argument(metavar="PACKAGE[@VERSION]", help="A package, or a path to a Python file or folder.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="Default: the package's name.")] = "",
    version: Annotated[
        str, typer.Option("--version", help="As after the @: 4.1 is the newest that begins so. Default: the newest.")
    ] = "",
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="An option, as `upcall catalog show` lists them; may be repeated."
        ),
    ] = None,
    goal: Goal = None,
    bind: Annotated[
        list[str] | None, typer.Option("--bind", metavar="NEED=SERVICE", help="Which service fulfils a need.")
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="NAME", help="A secret that it may have, besides its own; may be repeated."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Take over nothing that an earlier service of this name has left.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Of an own file whose service runs: say what would be, and what it answers."),
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")] = False,
) -> None:
    """Install a package or an own Python file, and follow it until it is deployed."""
    if not package:
        raise Invalid("no package is named", where="install", expected="a package of `upcall catalog`, or a path")
    options = {**parse_pairs(setting or [], "--set"), **goals_of(goal)}
    bindings = {key: str(value) for key, value in parse_pairs(bind or [], "--bind").items()}
    if package.endswith(".py") or "/" in package or Path(package).is_dir():
        from upcall.cli import upload

        if dry_run:
            _preview(session, upload.look_at(session, Path(package), name, options, version), options, bindings, secret)
            return
        _must_be_there(session, secret or [])
        uploaded = upload.upload(session, Path(package), name, options, version)
        try:
            if uploaded.stands is not None:
                _update(session, uploaded.stands, Update(set=options, version=uploaded.version, bindings=bindings,
                        secrets=secret, made_from=uploaded.stands.revision), fresh=fresh, wait=not no_wait)  # fmt: skip
                return
            request = Install(package=uploaded.name, name=name or uploaded.name, version=uploaded.version,
                              options=options, bindings=bindings, secrets=secret or [], fresh=fresh)  # fmt: skip
            _deploy(session, request, wait=not no_wait)
        except BaseException:
            upload.take_back(session, uploaded)
            raise
        return
    if dry_run:
        raise _nothing_to_compare(package)
    package, named = split(package)
    if named and version not in ("", named):
        raise Invalid("two versions at once", where="--version", expected=f"{package}@{named}, or --version {version}")
    version = named or version
    _deploy(
        session,
        Install(
            package=package,
            name=name or package,
            version=version,
            options=options,
            bindings=bindings,
            secrets=secret or [],
            fresh=fresh,
        ),
        wait=not no_wait,
    )


def _must_be_there(session: Session, secrets: list[str]) -> None:
    """Before anything is registered; the master looks again. What a service makes itself may come with it."""
    if wanted := [name for name in secrets if not owner(name)]:
        known = [one.name for one in session.client.secrets()]
        for name in wanted:
            if name not in known:
                raise missing(name, known, "--secret")


def _preview(
    session: Session,
    uploaded: "Uploaded",
    options: dict[str, Any],
    bindings: dict[str, str],
    secrets: list[str] | None,
) -> None:
    if uploaded.stands is None:
        raise _nothing_to_compare(uploaded.name)
    asked = Update(set=options, version=uploaded.version, bindings=bindings, secrets=secrets,
                   unregistered=msgspec.to_builtins(uploaded.manifest))  # fmt: skip
    change(session, uploaded.stands.name, asked, dry_run=True, wait=False)


def _nothing_to_compare(package: str) -> Invalid:
    return Invalid(
        f"{package} would be installed: there is nothing that it would change",
        where="--dry-run",
        expected="an own file whose service runs; `upcall update SERVICE --dry-run`; `upcall apply --dry-run`",
    )


def _deploy(session: Session, request: Install, *, wait: bool) -> None:
    begun = deploy.post_all(session, [request])
    made = begun.services[0]
    if not wait:
        session.out.say(made, f"{made.name} is being deployed; `upcall plan show {made.name}` says how far it is")
        return
    watched = _follow(session, begun.names)
    session.out.say(watched[0].view, f"{made.name} is deployed")


def _update(session: Session, stands: ServiceView, asked: Update, *, fresh: bool, wait: bool) -> None:
    """Installed again from files that were edited: the running service is changed, and asked."""
    if fresh:
        raise Conflict(
            f"{stands.name} is installed already",
            where="--fresh",
            expected=f"`upcall uninstall {stands.name}` first: nothing of a service that runs is thrown away",
        )
    change(session, stands.name, asked, dry_run=False, wait=wait)


def _follow(session: Session, names: list[str]) -> list[deploy.Watched]:
    try:
        return deploy.follow(session, names, names)
    except Unreachable as away:
        raise went_down(session, away, names[0], f"the installation of {', '.join(names)}") from None
    except KeyboardInterrupt:
        session.out.note(f"no longer waiting; {', '.join(names)} goes on (`upcall uninstall` takes it away)")
        raise


@command(uninstall_app, "uninstall")
def uninstall(
    session: Session,
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    force: Annotated[bool, typer.Option("--force", help="Over the service's answer; recorded with your name.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Recorded, and shown to the service.")] = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")] = False,
    yes: Yes = False,
) -> None:
    """Remove a service; it is asked once, as a whole."""
    path, asked = paths.of("services", service, "uninstall"), Ask(reason=reason, force=force)
    if not yes:
        session.client.service(service)  # or that there is none, before anything is asked
    over = ", over its own answer" if force else ""
    kept = f"its volumes are kept for a while (`upcall volume list {service}`), and an install takes them back"
    what = f"{service} goes, with all its members{over}; {kept}"
    confirm(session, what, f"uninstall {service}", yes=yes, for_good=False)
    operation = session.client.operation_of(path, asked)
    if not no_wait:
        operation = wait_for(session, operation)
    words = "is uninstalled" if not no_wait else f"is being uninstalled; `upcall why {operation.id}` says how far it is"
    session.out.say(operation, f"{service} {words}")
