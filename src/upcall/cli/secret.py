"""``upcall secret``: values that services name by reference. A value is read from standard input or a file, never
from an argument: arguments are seen by every user of the machine. Nor is it ever shown again."""

from pathlib import Path
from typing import Annotated

import typer

from upcall.cli.asking import Yes, confirm, read_hidden
from upcall.cli.session import Session, command, commands
from upcall.client import paths
from upcall.protocol.errors import Invalid
from upcall.protocol.nearest import nearest
from upcall.protocol.operator import SecretGrant, SecretValue, SecretView
from upcall.protocol.secret_names import valid

secret_app = commands("Secrets that services refer to: set, list, remove, grant, revoke.")
APPS = {"secret": secret_app}

VALUE_CHARACTERS_MAX = 65_536


@command(secret_app, "set")
def set_secret(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    file: Annotated[Path | None, typer.Option("--file", help="Default: standard input.")] = None,
) -> None:
    """Set a secret from standard input or a file."""
    valid(name)  # Before a value is asked for.
    value = read_hidden("value", file, where=name)
    if file is None:
        value = value.removesuffix("\n")
    if not 0 < len(value) <= VALUE_CHARACTERS_MAX:
        raise Invalid(
            f"a value of {len(value)} characters", where=name, expected=f"1 to {VALUE_CHARACTERS_MAX} characters"
        )
    session.client.call("PUT", paths.of("secrets", name), SecretValue(value=value))
    session.out.say({"name": name}, f"secret {name} is set")


@command(secret_app, "list")
def list_secrets(session: Session) -> None:
    """The secrets, who uses them, and to which services operators may give them; values are never shown."""
    found = session.client.secrets()
    rows = [(one.name, ", ".join(one.used_by), ", ".join(one.granted)) for one in found]
    session.out.show(found, ("name", "used by", "granted to"), rows, empty="no secrets; `upcall secret set` makes one")


@command(secret_app, "remove")
def remove_secret(session: Session, name: Annotated[str, typer.Argument(metavar="NAME")], yes: Yes = False) -> None:
    """Remove a secret that no service uses, and the words that it may be given."""
    what = f"the value of secret {name} is deleted for good, unless a service uses it"
    confirm(session, what, f"secret remove {name}", yes=yes)
    gone = SecretView.model_validate(session.client.call("DELETE", paths.of("secrets", name)))
    words = f", and with it the grant to {', '.join(gone.granted)}" if gone.granted else ""
    session.out.say(gone, f"secret {gone.name} is removed{words}")


Service = Annotated[str, typer.Argument(metavar="SERVICE", help="There already, or not yet.")]


@command(secret_app, "grant")
def grant_secret(session: Session, name: Annotated[str, typer.Argument(metavar="NAME")], service: Service) -> None:
    """Let operators give a secret of another service to this one."""
    _granted(session, name, service, stands=True)


@command(secret_app, "revoke")
def revoke_secret(session: Session, name: Annotated[str, typer.Argument(metavar="NAME")], service: Service) -> None:
    """Take such a word back; a service that has the secret keeps it."""
    _granted(session, name, service, stands=False)


def _granted(session: Session, name: str, service: str, *, stands: bool) -> None:
    said = SecretGrant(service=service, stands=stands)
    left: list[str] = session.client.post(paths.of("secrets", name, "grant"), said)
    others = ", ".join(left)
    known = [one.name for one in session.client.services()] if stands else [service]
    if service not in known:
        session.out.note(f"no service {service!r} is there yet{nearest(service, known)}")
    words = f"secret {name} may be given by operators to {others}"
    if not stands:
        words = f"the grant of secret {name} to {service} is taken back" + (f"; left: {others}" if others else "")
    session.out.say({"name": name, "services": left}, words)
