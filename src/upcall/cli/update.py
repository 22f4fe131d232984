"""``upcall update`` and ``upcall rollback``: another revision of a service that runs, asked of it and followed."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from upcall.cli import waiting
from upcall.cli.output import duration, short
from upcall.cli.session import Session, command, commands
from upcall.cli.values import parse_pairs
from upcall.client import paths
from upcall.protocol.errors import Conflict, Invalid, NotFound, UpcallError
from upcall.protocol.nearest import choice, nearest
from upcall.protocol.numbers import counted
from upcall.protocol.operator import PreviewView, ServiceView, Update
from upcall.protocol.options import SIZE
from upcall.protocol.releases import newest

update_app = commands()
scale_app = commands()
rollback_app = commands()
APPS = {"update": update_app, "scale": scale_app, "rollback": rollback_app}

CHANGES_SHOWN: Final = 3
"""Of one revision, in a line of the history."""

BETWEEN_SHOWN: Final = 12
"""Options that differ between two versions, of each kind, in a line (`-o json` has all)."""

Name = Annotated[str, typer.Argument(metavar="SERVICE")]
Reason = Annotated[str, typer.Option("--reason", help="Recorded, and shown to the service.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be done, and change nothing; fails where it would be declined."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="An option, as `upcall catalog show` lists them; may be repeated."),
]
Unset = Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Its default again; may be repeated.")]
Instead = Annotated[
    bool, typer.Option("--instead", help="In place of a change that is under way, which goes no further.")
]
Goal = Annotated[
    list[str] | None,
    typer.Option(
        "--goal",
        metavar="GOAL=VALUE",
        help="What is wanted of it: survive=1-node (`upcall catalog show` lists them); may be repeated.",
    ),
]
InWindow = Annotated[
    bool, typer.Option("--in-window", help="Begin, and go on, in the service's maintenance windows alone.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")]


@command(update_app, "update")
def update(
    session: Session,
    service: Name,
    setting: Set = None,
    unset: Unset = None,
    goal: Goal = None,
    version: Annotated[str, typer.Option("--version", help="Of the package: an upgrade.")] = "",
    bind: Annotated[
        list[str] | None, typer.Option("--bind", metavar="NEED=SERVICE", help="Which service fulfils a need.")
    ] = None,
    secret: Annotated[
        list[str] | None, typer.Option("--secret", metavar="NAME", help="One more that it may have; may be repeated.")
    ] = None,
    no_secret: Annotated[
        list[str] | None, typer.Option("--no-secret", metavar="NAME", help="One that it may not have any more.")
    ] = None,
    reason: Reason = "",
    instead: Instead = False,
    in_window: InWindow = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Change a running service: options, version, bindings. It is asked, and only what must restart restarts."""
    if not (setting or unset or goal or version or bind or secret or no_secret):
        raise Invalid(
            "nothing is to change",
            where="update",
            expected="--set, --unset, --goal, --version, --bind, --secret or --no-secret",
        )
    stands = session.client.service(service)
    asked = Update(
        set={**parse_pairs(setting or [], "--set", schema(session, stands, version)), **goals_of(goal)},
        unset=unset or [],
        version=version,
        bindings={key: str(value) for key, value in parse_pairs(bind or [], "--bind").items()},
        secrets=secrets_of(stands, secret or [], no_secret or []),
        made_from=stands.revision,
        reason=reason,
        instead=instead,
        in_window=in_window,
    )
    change(session, service, asked, dry_run=dry_run, wait=not no_wait)


def secrets_of(stands: ServiceView, more: list[str], fewer: list[str]) -> list[str] | None:
    """All that it is to have, besides its own; None: those that it has."""
    if not more and not fewer:
        return None
    for name in fewer:
        if name not in stands.secrets:
            raise NotFound(
                f"{stands.name} was not given a secret {name!r}{nearest(name, stands.secrets)}",
                where="--no-secret",
                expected=choice(stands.secrets, "nothing: it was given none"),
            )
    return [*(one for one in stands.secrets if one not in fewer), *(one for one in more if one not in stands.secrets)]


@command(scale_app, "scale")
def scale(
    session: Session,
    service: Name,
    count: Annotated[int | None, typer.Argument(metavar="N", min=0, help="How many members.")] = None,
    pod: Annotated[str, typer.Option("--pod", help="Of which pod, where several have a size.")] = "",
    at_least: Annotated[
        int | None, typer.Option("--min", min=1, help="With --max: it scales itself, within these.")
    ] = None,
    at_most: Annotated[int | None, typer.Option("--max", min=1, help="With --min.")] = None,
    by_hand: Annotated[bool, typer.Option("--by-hand", help="It scales itself no more.")] = False,
    reason: Reason = "",
    instead: Instead = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """More members or fewer: `upcall scale hello 5`. It is asked; who leaves moves its data away first."""
    stands = session.client.service(service)
    known = schema(session, stands, "") or {}
    wish: dict[str, Any] = {}
    if count is not None:
        wish[_size_option(stands, known, pod)] = count
    if (at_least is None) != (at_most is None) or (by_hand and at_least is not None):
        raise Invalid("--min and --max go together", where="scale", expected="both, or --by-hand without them")
    if at_least is not None and at_most is not None:
        wish["autoscale"] = _bounds(stands, known, at_least, at_most)
    if not wish and not by_hand:
        raise Invalid("how many members?", where="scale", expected=f"`upcall scale {service} N`, or --min and --max")
    unset = ["autoscale"] if by_hand else []
    asked = Update(set=wish, unset=unset, made_from=stands.revision, reason=reason, instead=instead)
    change(session, service, asked, dry_run=dry_run, wait=not no_wait)


def _size_option(stands: ServiceView, schema: dict[str, Any], pod: str) -> str:
    """The option that is the size."""
    options: dict[str, Any] = schema.get("properties", {})
    sizes = {str(one[SIZE]): name for name, one in options.items() if SIZE in one}
    if pod in sizes or (not pod and len(sizes) == 1):
        return sizes[pod or next(iter(sizes))]
    if not sizes:
        raise Invalid(
            f"no option of {stands.package} {stands.version} says that it is the number of members",
            where="scale",
            expected=f"`upcall update {stands.name} --set OPTION=N`",
        )
    named = f"has no pod {pod!r} with a size" if pod else "has several pods with a size"
    raise Invalid(f"{stands.package} {named}", where="--pod", expected=choice(sorted(sizes), ""))


def _bounds(stands: ServiceView, schema: dict[str, Any], at_least: int, at_most: int) -> dict[str, int]:
    if "autoscale" not in schema.get("properties", {}):
        raise Invalid(
            f"{stands.package} {stands.version} does not say how many members it needs, so it cannot scale itself",
            where="scale",
            expected=f"`upcall scale {stands.name} N`",
        )
    return {"min": at_least, "max": at_most}


@command(rollback_app, "rollback")
def rollback(
    session: Session,
    service: Name,
    to: Annotated[
        int,
        typer.Option(
            "--to",
            metavar="N",
            min=0,
            show_default=False,
            help="A revision; default: the last good one before (carried out, and not gone back from).",
        ),
    ] = 0,
    reason: Reason = "",
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Go back to what an earlier revision said, also in the middle of a change, or after one that failed."""
    made_from = session.client.service(service).revision
    asked = Update(back_to=to, made_from=made_from, reason=reason)
    change(session, service, asked, dry_run=dry_run, wait=not no_wait)


def unset_would_do(error: UpcallError) -> UpcallError:
    """An option contradicts a goal, and could be left to it: how, where a command has ``--unset``."""
    said = error.problem
    name = said.details.get("left_to_goal")
    if not name:
        return error
    return Conflict(said.message, where=said.where, expected=f"{said.expected} (`--unset {name}`)")


def change(session: Session, service: str, asked: Update, *, dry_run: bool, wait: bool, quiet: bool = False) -> None:
    path = paths.of("services", service, "update")
    try:
        if dry_run:
            found = PreviewView.model_validate(session.client.post(f"{path}/preview", asked))
            _say(session, session.client.service(service), found)
            if found.declined:
                raise typer.Exit(1)
            return
        operation = session.client.operation_of(path, asked)
    except UpcallError as error:
        raise unset_would_do(error) from None
    if not wait:
        words = f"{service} is being changed; `upcall why {operation.id}` says how far it is"
        session.out.say(operation, words)
        return
    try:
        operation = waiting.wait_for(session, operation)
    except Conflict as error:
        if session.client.operation(operation.id).state != "failed":
            raise
        said = error.problem
        ways = f"`upcall rollback {service}`, or another value for it; who was not touched runs on as before"
        raise Conflict(said.message, where=said.where, expected=ways) from None
    if quiet:
        return
    view = session.client.service(service)
    session.out.say(operation, f"{service} is at revision {view.revision}{version_words(view)}")


def goals_of(given: list[str] | None) -> dict[str, Any]:
    """As the option that they are."""
    return {"goals": parse_pairs(given, "--goal")} if given else {}


def schema(session: Session, stands: ServiceView, version: str) -> dict[str, Any] | None:
    """Of the package's options, so that text which looks like a number stays text where text is meant."""
    known = {one.version: one for one in session.client.packages() if one.name == stands.package}
    found = known.get(newest(known, version or stands.version))
    return found.options_schema if found is not None else None


def _say(session: Session, stands: ServiceView, found: PreviewView) -> None:
    service = stands.name
    if session.out.as_json:
        session.out.json(found)
        return
    took = f"; the last change took {duration(found.last_took_s)}" if found.last_took_s is not None else ""
    again = f", back to what revision {found.back_to} said" if found.back_to else ""
    session.out.line(f"{service}: {found.kind}, would be revision {found.revision}{again}{took}")
    session.out.table(("option", "was", "wanted", "how"), change_rows(found), empty="no option changes")
    members = [
        *((name, "restarts", why) for name, why in found.restart.items()),
        *(
            (
                name,
                "takes it over while it runs",
                "first, and the others once it stays well" * (name == found.live_first),
            )
            for name in found.live
        ),
        *((name, "comes", "") for name in found.come),
        *((name, "leaves", "") for name in found.leave),
    ]
    session.out.table(("member", "what", "why"), members, empty="no member restarts, comes or leaves")
    for line in between_lines(found, stands.options):
        session.out.line(line)
    if found.answer:
        session.out.line(" ".join(answer_words(found, service)))
    if found.next:
        session.out.line(f"and to its first step: {found.next}")


def answer_words(found: PreviewView, service: str) -> tuple[str, str]:
    """Who says what to it: what the system itself declines, no service is asked about."""
    if found.unasked:
        return "it would be declined:", found.declined
    return f"{service} would answer now:".strip(), found.answer


def version_words(view: ServiceView) -> str:
    """Of a service that can still go back to the version that it came from."""
    if not view.came_from:
        return ""
    return (
        f", version {view.version}: `upcall rollback {view.name}` brings {view.came_from} back, until"
        f" `upcall finalize {view.name}`"
    )


def between_lines(found: PreviewView, options: Mapping[str, Any]) -> list[str]:
    """What the versions know, and know not. By far the most of it nobody has set (``options``: what somebody has): that
    such a one is gone changes nothing, so these are counted alone; one that nobody has set gets its new default."""
    has_set = {*options, *(f"{name}.{key}" for name, map_ in options.items() if isinstance(map_, dict) for key in map_)}
    by_kind: dict[str, list[str]] = {}
    for name, what in found.between.items():
        kind = what if what in ("gone", "new") else "with another default"
        kind = "gone, although set" if kind == "gone" and name in has_set else kind
        by_kind.setdefault(kind, []).append(name if what in ("gone", "new") else f"{name} ({what})")
    lines = []
    for kind in ("gone, although set", "with another default", "new"):
        if names := by_kind.get(kind):
            more = f", and {len(names) - BETWEEN_SHOWN} more" if len(names) > BETWEEN_SHOWN else ""
            lines.append(f"{counted(len(names), 'option')} {kind}: {', '.join(names[:BETWEEN_SHOWN])}{more}")
    if gone := by_kind.get("gone"):
        lines.append(f"{counted(len(gone), 'option')} gone, which nobody has set (`-o json` has all)")
    return lines


def change_rows(found: PreviewView) -> list[tuple[str, str, str, str]]:
    return [
        (name, value_words(was), value_words(wanted), found.how.get(name, ""))
        for name, (was, wanted) in found.changed.items()
    ]


def changed_words(changed: dict[str, tuple[Any, Any]]) -> str:
    """``heap_mib 512 -> 600, config.log.retention.ms - -> 60000``, the first few."""
    shown = [
        f"{name} {value_words(was)} -> {value_words(now)}" for name, (was, now) in list(changed.items())[:CHANGES_SHOWN]
    ]
    more = len(changed) - len(shown)
    return ", ".join([*shown, *([f"and {counted(more, 'more option')}"] if more else [])])


def value_words(value: Any) -> str:
    return "(unset)" if value is None else short(value)
