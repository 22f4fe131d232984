"""``upcall alerts``: who is told, outside of this machine's terminal, what a person must know, and by which way.

The address of a webhook is a key: it is read from a file or standard input, never an argument, and not shown again.
"""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from upcall.cli import keeping
from upcall.cli.asking import Yes, confirm, read_hidden
from upcall.cli.session import Session, command, commands
from upcall.protocol.errors import Conflict, Invalid, NotNow

alerts_app = commands("Tell people where they are what they must know: add, list, test, remove.")
APPS = {"alerts": alerts_app}

NAME_HELP: Final = "What the way is called here."
Name = Annotated[str, typer.Argument(metavar="NAME", help=NAME_HELP)]


@command(alerts_app, "add")
def add(
    session: Session,
    name: Name,
    webhook: Annotated[
        bool, typer.Option("--webhook", help="A web address, read from standard input: JSON with a `text` is posted.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", help="With --webhook: a file that has the address.", show_default=False)
    ] = None,
    mail: Annotated[
        str, typer.Option("--mail", metavar="ADDRESS", help="By this machine's own mailer.", show_default=False)
    ] = "",
    desktop: Annotated[bool, typer.Option("--desktop", help="A notification on this desktop.")] = False,
) -> None:
    """Tell NAME from now on what is stuck, forced, lost or given up, each once, until it was taken."""
    from upcall.alerts import channels, sending

    _must_be_here(session)
    channels.valid_name(name)
    if webhook + bool(mail) + desktop != 1:
        raise Invalid("one way of telling is named", where="alerts add", expected="--webhook, --mail or --desktop")
    if file is not None and not webhook:
        raise Invalid("only a webhook has an address in a file", where="--file", expected="--webhook --file FILE")
    kind, target = ("webhook", _address(file)) if webhook else ("mail", mail) if mail else ("desktop", "")
    if mail:
        channels.valid_address(mail)
    channel = channels.Channel(name=name, kind=kind, target=target, added_at=time.time())  # type: ignore[arg-type]
    sending.check_tools(channel)
    channels.add(session.folder, channel)
    keeping.keep_alerts(session.folder)
    session.out.say(
        _shown(session, channel), f"{name} is told from now on ({channel.kind}); `upcall alerts test {name}` tries it"
    )


@command(alerts_app, "list")
def list_alerts(session: Session) -> None:
    """Who is told, by which way, what was told, what waits and why."""
    from upcall.alerts import channels

    _must_be_here(session)
    found = [_shown(session, one) for one in channels.read(session.folder)]
    rows = [
        (one["name"], one["kind"], one["where"], str(one["told"]), _at(one["told_at"]), str(one["waiting"]), _why(one))
        for one in found
    ]
    session.out.show(
        found,
        ("name", "way", "where", "told", "last", "waiting", "reason"),
        rows,
        empty="nobody is told; `upcall alerts add NAME --webhook` begins it",
    )


@command(alerts_app, "test")
def test(session: Session, name: Name) -> None:
    """Send one message now, and say whether it was taken."""
    from upcall.alerts import channels, notices, sending
    from upcall.client.folder import cluster_of

    _must_be_here(session)
    cluster = cluster_of(session.folder).cluster
    channel = channels.find({one.name: one for one in channels.read(session.folder)}, name)
    now = time.time()
    notice = notices.Notice(
        id=f"{cluster}-test-{now:.0f}", cluster=cluster, sequence=0, at=now, what="test", subject=name,
        text="sent by `upcall alerts test`: this way works",
    )  # fmt: skip
    try:
        asyncio.run(sending.send(channel, [notice], cluster))
    except sending.Untold as error:
        raise NotNow(str(error), where=name, expected="a message that is taken") from None
    session.out.say({"name": name, "taken": True}, f"{name}: taken ({channel.kind} {channel.where})".replace(" )", ")"))


@command(alerts_app, "remove")
def remove(session: Session, name: Name, yes: Yes = False) -> None:
    """Tell NAME nothing more."""
    from upcall.alerts import channels

    _must_be_here(session)
    channel = channels.find({one.name: one for one in channels.read(session.folder)}, name)
    waiting = _shown(session, channel)["waiting"]
    left = f", nor of the {waiting} that wait" if waiting else ""
    confirm(session, f"{name} is told nothing more{left}", f"alerts remove {name}", yes=yes, for_good=False)
    channels.remove(session.folder, name)
    keeping.keep_alerts(session.folder)
    session.out.say({"name": name}, f"{name} is told nothing more")


def _must_be_here(session: Session) -> None:
    if where := session.control_plane:
        raise Conflict(
            f"the cluster's control plane runs on {where}",
            where="alerts",
            expected="what watches that cluster already: `/metrics` and `upcall events -f` say the same",
        )
    from upcall.client.folder import cluster_of

    cluster_of(session.folder)  # Or says that there is no cluster.


def _address(file: Path | None) -> str:
    from upcall.alerts.channels import valid_url

    return valid_url(read_hidden("address", file, where="--webhook").strip())


def _shown(session: Session, channel: Any) -> dict[str, Any]:
    from upcall.alerts.telling import load

    state = load(session.folder.alerts_state(channel.name))
    return {
        "name": channel.name,
        "kind": channel.kind,
        "where": channel.where,
        "told": state.told,
        "told_at": state.told_at,
        "waiting": len(state.pending),
        "dropped": state.dropped,
        "failing_since": state.failing_since,
        "error": state.error,
    }


def _why(one: dict[str, Any]) -> str:
    left = f"{one['dropped']} older ones were dropped" if one["dropped"] else ""
    failing = f"{one['error']}, since {_at(one['failing_since'])}" if one["error"] else ""
    return "; ".join(word for word in (failing, left) if word)


def _at(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else "-"
