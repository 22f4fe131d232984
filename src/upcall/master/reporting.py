"""What of the ledger's news a person reads, and in which words.

The ledger tells every change. All of it is kept (a page redraws itself by it, ``upcall events --detail`` prints it),
but most of it is the way and not the news: a task that is fetching, an epoch that moved. This module marks what is
*detail*, and says the rest so that a line can be read alone: not ``op-7: executing -> done``, but ``op-7: stop of
log.broker-2.7 is done: exit code 143``.

What an audit needs is never a detail: who asked for what, each answer (once for each reason), force, begin and end of
an operation, and every end of a task with how it ended, unless the end of its operation says just that.
"""

from typing import Any, Final, NamedTuple

from upcall.operations.effects import Event
from upcall.operations.records import Operation
from upcall.operations.table import KINDS
from upcall.protocol.service import PlanView, StepView

ON_THE_WAY: Final = frozenset({"pending", "placed", "fetching", "starting", "running", "ending"})
"""States of a task that lead to another one by themselves."""

MIRRORS: Final = frozenset({"recovery", "uninstall"})
"""Plans that show operations, whose own events say the same."""

_VERBS: Final = {
    "preparing": "begins",
    "executing": "begins",
    "done": "is done",
    "failed": "failed",
    "withdrawn": "is withdrawn",
}


_CHOICES: Final = {
    "in_place": "restart it here",
    "elsewhere": "replace it elsewhere",
    "renew": "start it anew here, with empty volumes",
    "wait": "wait for it",
}


class Line(NamedTuple):
    text: str
    detail: bool = False


def line(event: Event, operation: Operation | None, by: Operation | None = None) -> Line:
    """``operation``: the one that the event names, as it is now; ``by``: for a task, the one that made it necessary."""
    match event.kind:
        case "operation":
            # A removal that has nothing to move began a moment ago, and was told so.
            at_once = event.data.get("word") == "has left" and event.text.endswith("nothing to move")
            return Line(_operation(event, operation), detail=at_once)
        case "answer":
            return Line(_answer(event, operation), detail="lapsed" in event.data)
        case "task":
            return _task(event, operation, by)
        case "epoch" | "host":
            return Line(event.text, detail=True)
        case "member" | "service":
            return Line(event.text, detail=event.text == "declared" or event.data.get("word") == "back")
    return Line(event.text)


# -- operations -----------------------------------------------------------------------------------------------------


def _operation(event: Event, operation: Operation | None) -> str:
    data: dict[str, Any] = event.data
    if operation is None or "from" not in data:
        return event.text
    outcome = event.text.removeprefix(f"{data['from']} -> {data['to']}: {data['word']}").removeprefix(": ")
    verb = "goes on" if data["from"] == "preparing" and data["to"] == "executing" else _VERBS.get(data["to"], "")
    head = f"{operation.words()} {verb}".rstrip()
    return f"{head}: {outcome}" if outcome else f"{head}: {data['word']}"


def _answer(event: Event, operation: Operation | None) -> str:
    if operation is None or "verdict" not in event.data:
        return event.text
    service, _, words = event.text.partition(": ")
    for choice, meaning in _CHOICES.items():
        words = words.replace(f"prefer {choice}", meaning, 1) if words.startswith("prefer") else words
    return f"{service} on {operation.words()}: {words}"


# -- tasks ----------------------------------------------------------------------------------------------------------


def _task(event: Event, operation: Operation | None, by: Operation | None) -> Line:
    state, node = event.data.get("state", ""), event.data.get("node", "")
    where = f" on {node}" if node else ""
    if event.text.startswith("launched"):
        # At another place: where that is, is not known yet. After a restart's begin it is no news.
        where = "" if ", place " in event.text else where
        text = event.text.removesuffix(", wanted").replace("launched", f"launched{where}", 1)
        return Line(text, detail=operation is not None and KINDS[operation.kind].shape == "back")
    if state in ON_THE_WAY:
        return Line(event.text, detail=True)
    if state == "ready":
        said = by is not None and by.state == "done" and by.outcome == f"{event.subject} is ready"
        return Line(f"ready{where}", detail=said)
    if state == "ended":
        return Line(f"ended{where}: {event.text}", detail=operation is not None and _says_the_end(operation, event))
    return Line(event.text)


def _says_the_end(operation: Operation, event: Event) -> bool:
    """A stop is done when its task has ended, and says how: one line is enough."""
    stops = KINDS[operation.kind].shape in ("away", "foreign") and operation.state == "done"
    return stops and bool(operation.outcome) and event.text.startswith(operation.outcome)


# -- plans ----------------------------------------------------------------------------------------------------------


def step(plan: str, key: str, now: StepView, *, starts_member: bool) -> Line:
    """A step's change. A member that starts is told by its task; that its turn came is no news at all."""
    text = f"{key}: {now.state}" + (f" ({now.reason})" if now.reason else "")
    if plan in MIRRORS or now.state in ("pending", "running"):
        return Line(text, detail=True)
    return Line(text, detail=starts_member and now.state in ("waiting", "done"))


def plan(before: PlanView | None, now: PlanView) -> str:
    """What a person hears of a plan as a whole: that it is done, or that it failed; else nothing."""
    if now.name in MIRRORS or (before is not None and (before.state, before.reason) == (now.state, now.reason)):
        return ""
    if now.state == "done" and now.phases:
        return f"{now.name} is done" if before is None or before.state != "done" else ""
    return f"{now.name} failed: {now.reason}" if now.state == "failed" else ""
