"""``upcall secret``: values that services name by reference. A value is read from standard input or a file, never
from an argument: arguments are seen by every user of the machine."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from upcall.cli.session import Session, command, commands
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import SecretGrant, SecretValue

secret_app = commands("Secrets that services refer to: set, list, grant, revoke.")
APPS = {"secret": secret_app}

VALUE_CHARACTERS_MAX = 65_536


@command(secret_app, "set")
def set_secret(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    file: Annotated[Path | None, typer.Option("--file", help="Default: standard input.")] = None,
) -> None:
    """Set a secret from standard input or a file."""
    try:
        if file is not None:
            value = file.read_text()
        elif sys.stdin.isatty():
            value = typer.prompt("value", hide_input=True)
        else:
            value = sys.stdin.read().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"the value cannot be read: {error}", where=str(file), expected="a text file") from None
    if not 0 < len(value) <= VALUE_CHARACTERS_MAX:
        raise Invalid(
            f"a value of {len(value)} characters", where=name, expected=f"1 to {VALUE_CHARACTERS_MAX} characters"
        )
    session.client.call("PUT", f"/v1/secrets/{quote(name, safe='')}", SecretValue(value=value))
    session.out.say({"name": name}, f"secret {name} is set")


@command(secret_app, "list")
def list_secrets(session: Session) -> None:
    """The secrets, and to which services operators may give them; values are never shown."""
    found = session.client.secrets()
    rows = [(one.name, ", ".join(one.granted)) for one in found]
    session.out.show(found, ("name", "granted to"), rows, empty="no secrets")


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
    left: list[str] = session.client.post(f"/v1/secrets/{quote(name, safe='')}/grant", said)
    others = ", ".join(left)
    words = f"secret {name} may be given by operators to {others}"
    if not stands:
        words = f"the grant of secret {name} to {service} is taken back" + (f"; left: {others}" if others else "")
    session.out.say({"name": name, "services": left}, words)
