"""``upcall access``: tokens for other people and for programs, each with a name, a role and an end."""

import time
from typing import Annotated

import typer

from upcall.cli.asking import Yes, confirm
from upcall.cli.session import Session, command, commands
from upcall.cli.values import seconds
from upcall.client import paths
from upcall.protocol.operator import AccessView, Grant, Granted, PersonRole

access_app = commands("Who may call the API: list, grant, revoke.")
APPS = {"access": access_app}


@command(access_app, "list")
def list_access(session: Session) -> None:
    """Who was granted what, and until when. The owner of the data folder is an admin, and not in the list."""
    found = [AccessView.model_validate(one) for one in session.client.get("/v1/access")]
    session.out.show(
        found,
        ("name", "role", "until", "granted by"),
        [(one.name, one.role, "expired" if one.expired else _when(one.expires_at), one.granted_by) for one in found],
        empty="nobody was granted anything",
    )


@command(access_app, "grant")
def grant(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who is meant; it stands in all that is asked with it.")],
    role: Annotated[PersonRole, typer.Option("--role", help="Sees; acts; decides who may do what and what code runs.")],
    valid: Annotated[str, typer.Option("--for", metavar="TIME", help="30m, 12h, 90d ...")] = "30d",
) -> None:
    """A token for NAME, printed once; an older one of that name ends."""
    ask = Grant(name=name, role=role, valid_s=seconds(valid))
    granted = Granted.model_validate(session.client.post("/v1/access", ask))
    session.out.note(f"{name} is {role} until {_when(granted.access.expires_at)}; this is said once:")
    session.out.say(granted, granted.token)
    session.out.note(_reached(session))


def _reached(session: Session) -> str:
    if where := session.control_plane:
        from upcall.cli import elsewhere

        return elsewhere.on(where, session.folder).reached()
    return f"for {session.client.status().url}, with `--cacert {session.folder.certificate}`"


@command(access_app, "revoke")
def revoke(session: Session, name: Annotated[str, typer.Argument(metavar="NAME")], yes: Yes = False) -> None:
    """NAME's token, its sessions and its open streams end at once."""
    what = f"{name}'s token, sessions and open streams end at once; a new token can be granted"
    confirm(session, what, f"access revoke {name}", yes=yes, for_good=False)
    session.client.call("DELETE", paths.of("access", name))
    session.out.say({"name": name}, f"{name} is revoked")


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
