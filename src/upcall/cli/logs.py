"""``upcall logs``: what a member prints, or what several do."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

import typer

from upcall.cli import host_log, log_following
from upcall.cli.log_filters import Level, Sieve, Wanted
from upcall.cli.log_lines import Printer
from upcall.cli.log_merging import Line, Merging, Source
from upcall.cli.output import nearest
from upcall.cli.session import Session, command, commands
from upcall.cli.values import seconds
from upcall.protocol.errors import Conflict, Invalid, NotFound, NotNow
from upcall.protocol.operator import TaskView

logs_app = commands()
APPS = {"logs": logs_app}

LINES: Final = 100
LINES_OF_EACH: Final = 20
"""Of several members: a screen holds few of each."""


@command(logs_app, "logs")
def logs(
    session: Session,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="MEMBER|SERVICE", help="hello.web-1, its task hello.web-1.3, or hello: all members. Or several."
        ),
    ],
    host: Annotated[bool, typer.Option("--host", help="What the service's own code said, in its host.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            min=0,
            max=100_000,
            show_default=False,
            help=f"From the end. Default: {LINES}; of several members {LINES_OF_EACH} of each.",
        ),
    ] = None,
    grep: Annotated[
        str, typer.Option("--grep", metavar="EXPRESSION", help="Lines that match (RE2's syntax; `(?i)` for any case).")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="AGE", help="Not older than `10m`, by the times that lines bear.")
    ] = "",
    level: Annotated[
        Level | None, typer.Option("--level", help="As grave or graver, where lines say how grave they are.")
    ] = None,
    stream: Annotated[
        Literal["stdout", "stderr", "both"],
        typer.Option(help="One of the two, or both in the order in which they came."),
    ] = "both",
) -> None:
    """Output of a member, or of all members of a service, each line with whose it is; -f follows it, over restarts too,
    and whoever comes. `--host SERVICE`: what the service's code said, and what it raised."""  # fmt: skip
    wanted = Wanted(grep, seconds(since, "--since") if since else 0.0, level)
    if host:
        if len(names) > 1:
            raise Invalid("--host takes one service", where="--host", expected=f"`upcall logs --host {names[0]}`")
        sieve = Sieve(wanted)
        _show(
            session, filter(sieve.keeps, _said_by(session, names[0], LINES if lines is None else lines, follow)), follow
        )
        return
    if len(names) == 1 and "." in names[0]:
        _of_one(session, names[0], Source(session.client, stream, LINES if lines is None else lines, wanted), follow)
        return
    members = _members_of(session, names)
    if not members:
        session.out.note(f"{' and '.join(names)}: no members are there yet")
        if not follow:
            return
    source = Source(session.client, stream, LINES_OF_EACH if lines is None else lines, wanted)
    printer = Printer(session, [one.member for one in members], follow=follow)
    if not follow:
        _of_each(session, source, printer, members)
        return

    def there() -> Sequence[TaskView]:
        return [one for one in session.client.tasks() if {one.service, one.member, one.task} & {*names}]

    with Merging(source, there) as merging:
        for line in merging.lines():
            printer.show(line)


def _of_one(session: Session, member: str, source: Source, follow: bool) -> None:
    sieve, shown = Sieve(source.wanted), log_following.latest()
    found: Iterator[str]
    if follow:
        found = source.followed(member, session.out.note, sieve, shown)
    elif source.wanted:
        found = iter(source.last(member, sieve, shown))
    else:
        found = source.all(member)
    said = _show(session, found, follow)
    if not said and source.wanted and shown:
        session.out.note(f"{member} has printed nothing of that")
    elif not said and source.lines:
        session.out.note(f"{member} has printed nothing; `upcall why {member}` says how it is, and how it ended")


def _of_each(session: Session, source: Source, printer: Printer, members: Sequence[TaskView]) -> None:
    """One after the other: what is there bears no time by which it could be put in order."""
    said = False
    for one in members:
        try:
            for line in source.last(one.member, Sieve(source.wanted), log_following.latest()):
                said = True
                printer.show(Line(one.member, line))
        except (NotFound, Conflict) as error:
            printer.show(Line(one.member, f"{one.member}: {error.problem.message}", aside=True))
    if not said and source.lines:
        session.out.note("nothing was printed" + (" of that" if source.wanted else ""))


def _members_of(session: Session, names: Sequence[str]) -> list[TaskView]:
    """In the order of the names; or the error that says which of them is none."""
    tasks = session.client.tasks()
    services: list[str] | None = None
    found: dict[str, TaskView] = {}
    for name in names:
        mine = [one for one in tasks if name in (one.service, one.member, one.task)]
        if not mine:
            if services is None:
                services = [one.name for one in session.client.services()]
            if name not in services:
                known = [*services, *(one.member for one in tasks)]
                raise NotFound(f"no service or member {name!r}", where="logs", expected=nearest(name, known))
        found |= {one.member: one for one in mine}
    return list(found.values())


def _show(session: Session, found: Iterator[str], follow: bool) -> bool:
    said = False
    for line in found:
        said = True
        if session.out.as_json:
            session.out.json_line({"line": line})
        else:
            session.out.output(line, flush=follow)
    return said


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
