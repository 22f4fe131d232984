"""``upcall logs``: what a member prints."""

import contextlib
from collections.abc import Iterator
from typing import Annotated, Literal

import typer

from upcall.cli import host_log, log_following
from upcall.cli.session import Session, command, commands
from upcall.protocol.errors import NotFound, NotNow

logs_app = commands()
APPS = {"logs": logs_app}


@command(logs_app, "logs")
def logs(
    session: Session,
    member: Annotated[
        str, typer.Argument(metavar="MEMBER", help="hello.web-1, or its task: hello.web-1.3; with --host a service.")
    ],
    host: Annotated[bool, typer.Option("--host", help="What the service's own code said, in its host.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=100_000, help="From the end.")] = 100,
    stream: Annotated[
        Literal["stdout", "stderr", "both"],
        typer.Option(help="One of the two, or both in the order in which they came."),
    ] = "both",
) -> None:
    """Output of a member; -f follows it, over its restarts too. `--host SERVICE`: what the service's code said, and
    what it raised."""
    if host:
        for line in _said_by(session, member, lines, follow):
            if session.out.as_json:
                session.out.json_line({"line": line})
            else:
                session.out.output(line, flush=follow)
        return
    said = False
    client, note = session.client, session.out.note
    found = (
        log_following.followed(client, member, lines, stream, note)
        if follow
        else log_following.log(client, member, lines, stream, follow=False)
    )
    for line in found:
        said = True
        if session.out.as_json:
            session.out.json_line({"line": line})
        else:
            session.out.output(line, flush=follow)

    if not said and lines:
        session.out.note(f"{member} has printed nothing; `upcall why {member}` says how it is, and how it ended")


def _said_by(session: Session, service: str, last: int, follow: bool) -> Iterator[str]:
    log = session.folder.root / "logs" / "host.log"
    if not log.is_file():
        raise NotFound(f"no host has run here: {service} has said nothing", where=str(log), expected="`upcall up`")
    if not any(host_log.lines(log, service, 1, follow=False)):
        with contextlib.suppress(NotNow):  # The log is there while the cluster is down, too.
            session.client.service(service)  # or the error that there is none
    found = False
    for line in host_log.lines(log, service, last, follow=follow):
        found = True
        yield line
    if not found and not follow:
        session.out.note(f"the code of {service} has said nothing")
