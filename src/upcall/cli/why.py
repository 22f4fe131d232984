"""``upcall why`` and ``upcall operation``: the question that every stuck system owes an answer to."""

import re
import shutil
import time
from collections.abc import Callable, Collection
from typing import Annotated, Final

import typer

from upcall.cli.asking import Yes, confirm
from upcall.cli.members import find_ended, last_end_words
from upcall.cli.output import ago, duration, nearest
from upcall.cli.session import Session, command, commands
from upcall.client import paths
from upcall.protocol.errors import Invalid, NotFound
from upcall.protocol.operator import Ask, OperationView, ServiceView, Status, TaskView, Why

why_app = commands()
operation_app = commands("Operations: list, force, cancel, pause, resume, assume-dead.")
APPS = {"why": why_app, "operation": operation_app}

COLUMNS = ("id", "kind", "target", "state", "class", "for", "waits for")
IS_OPERATION = re.compile(r"op-\d+")
VERBS = {
    "force": "Go over the service's answer; recorded with your name and reason.",
    "cancel": "Take it back, where it has not begun.",
    "pause": "Hold it, where it has not begun, until you resume it: not even the end of its window lets it begin.",
    "resume": "Let a paused one go on.",
    "assume-dead": "Your word that a lost task no longer runs, so that it may be replaced.",
}
OVERRIDES: Final = {
    "force": "it goes on over the answer of its service and below its minimum, whatever that costs",
    "assume-dead": "if that task still runs, two may write the same data",
}
"""What a person is asked about, and what it may cost."""
WITH_REASON = VERBS.keys() - {"resume"}
"""To let something go on needs no reason; whatever holds, ends or overrides does."""


AT_REST: Final = ("ready", "finished", "held")
ENDS_SHOWN: Final = 3
"""Of one service: its members that are down, how each ended."""
SAID: Final = "    | "
SAID_LINES: Final = 10
"""Of what a member said last: a program that ended badly says why near its end, and a person reads a screen."""
SAID_COLUMNS: Final = 200
"""Of each, where there is no terminal."""


@command(why_app, "why")
def why(
    session: Session,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="OPERATION|MEMBER|SERVICE",
            help="Default: all that waits. Of a member: how it ended. Of a service: what is wrong with it.",
        ),
    ] = "",
) -> None:
    """Who waits for whom, since when and why."""
    if "." in subject:
        _show_end(session, *_member_or_end(session, subject))
        return
    if IS_OPERATION.fullmatch(subject):
        _show(session, [session.client.why(subject)])
        return
    status = session.client.status()
    if subject and not any(one.name == subject for one in status.services):
        raise _nobody(status, subject)
    known = {one.id for one in status.operations}
    roots = [one for one in status.operations if one.parent not in known]
    waiting = [session.client.why(one.id) for one in roots if one.ended_at is None]
    services = [one for one in status.services if subject in ("", one.name)]
    if subject:
        roots, waiting = [], [found for found in waiting if _concerns(found, subject)]
    if session.out.as_json:
        degraded = {one.name: one.degraded for one in services if one.degraded}
        session.out.json({"waiting": status.waiting, "degraded": degraded, "operations": waiting})
        return
    told = [line for found in waiting for line in why_lines(found)]
    lines = []
    for one in services:
        own = degraded_lines(one)
        ends = [member for member in one.members if member.state not in AT_REST and member.exit_reason]
        # What brings it back says so itself, where it says why it ended too.
        comes_back = one.state == "recovering" and any(_concerns(found, one.name) for found in waiting)
        comes_back = comes_back and all(any(member.exit_reason in line for line in told) for member in ends)
        said = not comes_back and not (own and one.state == "degraded" and one.ready >= one.wanted)
        if one.reason and said:
            lines.append(f"{one.name}: {one.state}, {one.reason}")
        if one.unfinished and not (said and one.unfinished in one.reason):
            lines.append(f"{one.name}: {one.unfinished}")
        lines += own
        if subject:
            lines += [f"    {last_end_words(each)}; {_shows(each)}" for each in ends[:ENDS_SHOWN]]
    nodes = {one.name for one in status.nodes}
    lines += [standing(one) for one in roots if still_stands(one, nodes)]
    lines += told
    session.out.line("\n".join(lines) or (f"{subject} is {services[0].state}" if subject else "nothing waits"))


def _nobody(status: Status, subject: str) -> NotFound:
    """What was probably meant, of all that can be asked about."""
    if subject.startswith("act-"):
        return NotFound(f"{subject!r} is an action", where="why", expected=f"`upcall service action {subject}`")
    members = [member.member for one in status.services for member in one.members]
    alike = [member for member in members if member.partition(".")[2] == subject]
    known = [*(one.name for one in status.services), *members, *(one.id for one in status.operations)]
    return NotFound(
        f"no service, member or operation {subject!r}",
        where="why",
        expected=" or ".join(alike) if alike else nearest(subject, known),
    )


def _concerns(found: Why, service: str) -> bool:
    return found.operation.service == service or any(_concerns(child, service) for child in found.children)


def degraded_lines(service: ServiceView, member: str = "") -> list[str]:
    """What its own code says is wrong with it, or with this member alone, each with what is done about it and since
    when."""
    return [
        f"{service.name}: degraded for {ago(one.since)}: {one.what}" + (f"; {one.doing}" if one.doing else "")
        for one in service.degraded
        if member in ("", one.member)
    ]


def _member_or_end(session: Session, subject: str) -> tuple[TaskView, bool]:
    """A member, and whether its last end is asked for: by the incarnation that ended, ``hello.web-1.3``."""
    member, _, number = subject.rpartition(".")
    if number.isdecimal() and "." in member:
        found = find_ended(session, member)
        if int(number) == found.ended:
            return found, True
    return find_ended(session, subject), False


def _show_end(session: Session, found: TaskView, whole: bool) -> None:
    """How a member ended the last time, also one that has left since. Of one that is ready that is past: a line."""
    if session.out.as_json:
        session.out.json(found)
        return
    for line in end_lines(found, whole=whole):
        session.out.line(line)
    # Why it is as it is may be a change that has failed, which its service knows.
    of = next((one for one in session.client.services() if one.name == found.service), None)
    if of is not None and of.unfinished:
        session.out.line(f"    {of.name}: {of.unfinished}")
    # One that runs and does not serve yet is seldom without a reason that its service's own code knows.
    for line in degraded_lines(of, found.member.partition(".")[2]) if of is not None else ():
        session.out.line(f"    {line}")


def end_lines(found: TaskView, *, whole: bool) -> list[str]:
    """``whole``: with what it said last although it is ready again."""
    ready = found.state == "ready"
    for_so_long = f" for {ago(found.since)}" if ready and found.since else ""
    lines = [f"{found.member} is {found.state}{for_so_long}" + (f": {found.reason}" if found.reason else "")]
    if words := last_end_words(found):
        shown = f"; {_shows(found)}"
        hides = ready and not whole and found.ended and found.last_lines
        lines.append(f"    {words}" + (shown if hides else ""))
    if whole or not ready:
        lines += _last_words(found)
    return lines


def _shows(found: TaskView) -> str:
    which = f".{found.ended}" if found.ended and found.state == "ready" else ""
    return f"`upcall why {found.member}{which}` shows its last lines"


def _last_words(found: TaskView) -> list[str]:
    """The end of what it said, and where the rest is."""
    columns = shutil.get_terminal_size((SAID_COLUMNS, 24)).columns - len(SAID)
    shown = [line if len(line) <= columns else line[: columns - 3] + "..." for line in found.last_lines[-SAID_LINES:]]
    if len(found.last_lines) > SAID_LINES:
        # The log that `logs` shows is of the incarnation that is there now.
        newest = found.ended in (0, found.incarnation)
        where = f"upcall logs {found.member}" if newest else f"upcall why {found.member}.{found.ended} -o json"
        shown.insert(0, f"... `{where}` has what came before")
    return [SAID + line for line in shown]


def _show(session: Session, found: list[Why]) -> None:
    if session.out.as_json:
        session.out.json(found[0])
        return
    for one in found:
        for line in why_lines(one):
            session.out.line(line)


def still_stands(one: OperationView, nodes: Collection[str]) -> bool:
    """Whether an operation that is over is worth a line: the removal of a node that is gone is not."""
    return one.ended_at is not None and (
        not one.removes_node or any(node in nodes for node in one.nodes or (one.target,))
    )


def standing(one: OperationView) -> str:
    """An operation that is over and still has effect, and what ends that."""
    if one.removes_node:
        return f"{one.id} removal of {one.target}: its members have left; the node is being taken away"
    ends = f"`upcall node undrain {' '.join(one.nodes) or one.target}`" if one.kind == "maintenance" else "`upcall up`"
    return f"{one.id} {one.kind} of {one.target} stands for {ago(one.since)}; {ends} ends it"


def why_lines(found: Why, depth: int = 0, *, decided: bool = False) -> list[str]:
    """The answer with those below it, indented; further lines of one hang below its first.

    What happens when nobody answers is said once, at the topmost that is open: what is below shares its window.
    """
    one = found.operation
    first, *rest = found.lines or [f"{one.id} {one.kind}: {one.state}"]
    if one.forced_by:
        rest.append(f"forced by {one.forced_by}" + (f": {one.forced_reason}" if one.forced_reason else ""))
    says = one.state == "open" and not decided
    if says and (ending := who_decides(found)):
        rest.append(ending)
    pad = "  " * depth
    lines = [pad + first, *(f"{pad}    {line}" for line in rest)]
    for child in found.children:
        lines += why_lines(child, depth + 1, decided=decided or says)
    return lines


def who_decides(found: Why, now: float | None = None) -> str:
    """Who decides about one that is open: for how long its service does, and what holds then."""
    one = found.operation
    if one.forced_by:
        return ""
    if one.klass != "windowed":
        return f"Who wins: {one.who_wins}" if one.who_wins else ""
    if one.deadline_at is None:
        return ""
    left_s = one.deadline_at - (time.time() if now is None else now)
    ends = f"window ends in {duration(left_s)}" if left_s > 0 else "window is over"
    # A drain may leave it to each service: then those below it know.
    below = {each.operation.on_deadline for each in found.children if each.operation.ended_at is None}
    then = one.on_deadline or " or ".join(sorted(below - {""}))
    return f"{ends}, then {then}" if then else ends


@command(operation_app, "list")
def list_operations(
    session: Session, ended: Annotated[bool, typer.Option("--all", help="Those that ended too.")] = False
) -> None:
    """Operations, newest first."""
    found = session.client.operations(ended=ended)
    session.out.show(found, COLUMNS, map(operation_row, found), empty="no operation is open")


def kind_of(one: OperationView) -> str:
    """What it is called: as in the words that the ledger itself has for it."""
    return "removal" if one.removes_node else noun_of(one.kind)


def noun_of(kind: str) -> str:
    return "loss" if kind == "lost" else kind


def of_what(one: OperationView) -> str:
    """``loss of log.broker-2``, ``removal of node-2``."""
    return f"{kind_of(one)} of {one.member or one.target}"


def operation_row(one: OperationView) -> tuple[str, ...]:
    waits = one.waits_for or one.outcome
    return (one.id, kind_of(one), one.member or one.target, one.state, one.klass, ago(one.ended_at or one.since), waits)


def _verb(verb: str, words: str) -> Callable[..., None]:
    def ask(
        session: Session,
        operation: Annotated[str, typer.Argument(metavar="OPERATION")],
        reason: str = "",
        yes: bool = False,
    ) -> None:
        found = session.client.operation(operation)  # or that there is none, before what is missing for it
        if not reason and verb in WITH_REASON:
            raise Invalid(
                f"{verb} of {operation} needs a reason", where="--reason", expected='--reason "...", which is recorded'
            )
        path, asked = paths.of("operations", operation, verb.replace("-", "_")), Ask(reason=reason)
        if verb in OVERRIDES:
            against = f" ({found.waits_for})" if found.waits_for else ""
            what = f"{of_what(found)}{against}: {OVERRIDES[verb]}; recorded with your name"
            confirm(session, what, f"operation {verb} {operation}", yes=yes, for_good=False)
        found = session.client.operation_of(path, asked)
        session.out.say(found, f"{found.id} {of_what(found)}: {found.state}")

    words_of = "Recorded with your name" + (" (needed)." if verb in WITH_REASON else ".")
    ask.__annotations__["reason"] = Annotated[str, typer.Option("--reason", help=words_of)]
    ask.__annotations__["yes"] = Yes
    ask.__doc__ = words
    return ask


for _name, _words in VERBS.items():
    command(operation_app, _name)(_verb(_name, _words))
