"""What of the ledger's news is the news, and what is only the way to it.

The ledger tells every change. All of it is kept (a page redraws itself by it, ``upcall events --detail`` prints it),
but most of it is the way and not the news: a task that is fetching, an epoch that moved. This module marks what is
*detail*; the words are :mod:`upcall.operations.wording`'s.

What an audit needs is never a detail: who asked for what, each answer (once for each reason), force, begin and end of
an operation, and every end of a task with how it ended, unless the end of its operation says just that.
"""

from typing import Final, NamedTuple

from upcall.operations import news, wording
from upcall.operations.ledger import Ledger
from upcall.operations.records import Operation
from upcall.operations.table import KINDS
from upcall.operations.wording import ON_THE_WAY
from upcall.protocol.service import PlanView, StepView

MIRRORS: Final = frozenset({"recovery", "uninstall", "rebalance", "finalize", "scale"})
"""Plans that show operations, whose own events say the same."""


class Line(NamedTuple):
    text: str
    detail: bool = False


def text(one: news.News, ledger: Ledger, node: str = "") -> str:
    """Its line, in which another operation than its own is named by what it is. ``node``: where a task is."""

    def words_of(name: str) -> str:
        other = ledger.operation(name) if name != one.subject else None
        return other.words() if other is not None else ""

    return wording.named(wording.line(one, node), words_of)


def is_detail(one: news.News, operation: Operation | None, by: Operation | None = None) -> bool:
    """``operation``: the one that it names, as it is now; ``by``: for a task, the one that made it necessary."""
    match one:
        case news.Moved(word="nothing to move"):
            return True  # It began a moment ago, and was told so.
        case news.AnswerVoid(because="it ran out"):
            return True  # It is renewed, or its silence is told.
        case news.Launched():
            # After a restart's begin it is no news.
            return operation is not None and KINDS[operation.kind].shape == "back"
        case news.TaskSeen(state="ready"):
            return by is not None and one.before != "unready" and _says_it_is_ready(by)
        case news.TaskSeen():
            return one.state in ON_THE_WAY
        case news.TaskEnded():
            return operation is not None and _says_the_end(operation, one)
        case news.MemberDeclared():
            return not one.again
        case news.MemberBack():
            return not one.error
        case news.EpochMoved() | news.HostChanged() | news.ServiceDeclared():
            return True
    return False


def _says_it_is_ready(by: Operation) -> bool:
    """What brings a member back is done when it is ready, and says so."""
    return KINDS[by.kind].shape == "back" and by.state == "done"


def _says_the_end(operation: Operation, ended: news.TaskEnded) -> bool:
    """A stop is done when its task has ended, and says how: one line is enough."""
    stops = KINDS[operation.kind].shape in ("away", "foreign") and operation.state == "done"
    return stops and operation.outcome == ended.how


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
