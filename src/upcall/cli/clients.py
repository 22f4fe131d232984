"""How clients connect to a service, as its package says it (:mod:`upcall.service.clients`): files with what they log in
by, for their owner alone, and texts that read these files. A password is on no command line and on no screen.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from upcall.cli import fetch as fetching
from upcall.cli.session import Session, command, commands
from upcall.cluster.folder import write_private
from upcall.protocol.errors import Conflict, Forbidden, NotFound, NotNow
from upcall.protocol.nearest import choice
from upcall.protocol.operator import EndpointView, ServiceView

connect_app = commands()
APPS = {"connect": connect_app}

OF_LOGIN: Final = ("{{login}}", "{{user}}", "{{password}}")


def folder_of(session: Session, service: str) -> Path:
    """Where a service's clients find their files."""
    return session.folder.root / "clients" / service


def texts(session: Session, service: ServiceView) -> Iterable[tuple[str, str]]:
    """Name and text of each client whose endpoint is there; their files are written."""
    known = {one.name: one for one in session.client.endpoints() if one.service == service.name}
    for client in service.clients:
        if endpoint := known.get(str(client["endpoint"])):
            try:
                names = _names(session, service, endpoint)
            except Forbidden:
                return  # Who may look and no more is given no password.
            _write(session, service.name, client, names)
            yield str(client["name"]), rendered(str(client["text"]), names)


@command(connect_app, "connect")
def connect(
    session: Session,
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
) -> None:
    """Open the shell of a service's system, logged in; what it logs in by is in a file for you alone."""
    if where := session.control_plane:
        raise Conflict(
            "addresses of members are reached from within their cluster alone", where=where,
            expected=f"`upcall endpoints {service}`, and a client in there",
        )  # fmt: skip
    found = session.client.service(service)
    shells = [one for one in found.clients if one.get("shell")]
    own = {(one.name, one.version) for one in session.client.packages() if one.own}
    if not shells:
        raise NotFound(
            f"{service} has no shell", where=service,
            expected=f"`upcall {service} --help`; `upcall endpoints {service}` says how clients connect",
        )  # fmt: skip
    if (found.package, found.version) in own:
        raise Forbidden(
            "a command of a package that somebody uploaded is not started by itself", where=service,
            expected=f"`upcall endpoints {service}`, and the command that you find there",
        )  # fmt: skip
    shell = shells[0]
    names = _names(session, found, _endpoint(session, service, str(shell["endpoint"])))
    _write(session, service, shell, names)
    words = [str(word) for word in shell["shell"]]
    names |= {"password": "", **_artifacts(session, found, words)}
    argv = [rendered(word, names) for word in words]
    done = subprocess.run(argv, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode if done.returncode > 0 else 128 - done.returncode)


def _artifacts(session: Session, service: ServiceView, words: Iterable[str]) -> dict[str, str]:
    """Names of what the package's own tasks run, where the shell runs in it too. It is fetched if it is not here."""
    if not any("{{artifact." in word for word in words):
        return {}
    from upcall.artifacts.cache import Cache
    from upcall.artifacts.fetch import fetch

    built = fetching.find(f"{service.package}@{service.version}")
    artifacts = fetching.artifacts_of(built)
    found = fetching.shown(
        session, service.package,
        lambda report, stop: fetch(artifacts, Cache(), built.blobs.__getitem__, report, stop=stop),
    )  # fmt: skip
    names = {f"artifact.{name}": str(one.path) for name, one in found.items()}
    return names | {
        f"artifact.{name}.{key}": value for name, one in found.items() for key, value in one.properties.items()
    }


def _endpoint(session: Session, service: str, name: str) -> EndpointView:
    known = [one for one in session.client.endpoints() if one.service == service]
    for one in known:
        if one.name == name and one.addresses:
            return one
    if any(one.name == name for one in known):
        raise NotNow(f"no member of {service} is ready", where=service, expected="its members to be ready")
    raise NotFound(f"{service} has no endpoint {name!r}", expected=choice([one.name for one in known], "none yet"))


def _names(session: Session, service: ServiceView, endpoint: EndpointView) -> dict[str, str]:
    login = session.client.credentials(endpoint.service, endpoint.name) if endpoint.user else None
    host, _, port = (endpoint.addresses or [":"])[0].rpartition(":")
    return {
        "addresses": ",".join(endpoint.addresses),
        "hosts": json.dumps([one.rpartition(":")[0] for one in endpoint.addresses]),
        "host": host,
        "port": port,
        "user": login.user if login else "",
        "password": login.password if login else "",
        "login": "",
        "folder": str(folder_of(session, endpoint.service)),
        "python": sys.executable,
        "version": service.version.partition("+")[0],
    }


def rendered(text: str, names: Mapping[str, str]) -> str:
    lines = text.split("\n")
    if not names["user"]:
        lines = [line for line in lines if not any(name in line for name in OF_LOGIN)]
    found = "\n".join(lines)
    for name, value in names.items():
        found = found.replace(f"{{{{{name}}}}}", value)
    return found


def _write(session: Session, service: str, client: Mapping[str, Any], names: Mapping[str, str]) -> None:
    for name, text in client.get("files", {}).items():
        write_private(folder_of(session, service) / Path(name).name, rendered(text, names).encode())
