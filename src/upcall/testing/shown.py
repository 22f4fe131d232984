"""Between the ledger's words and the wire's, as the master translates them."""

from typing import Any, Final

from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.records import Given, Policy
from upcall.operations.views import MemberView, PendingOperation
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Forbidden, Invalid, NotFound, Stale, UpcallError

CHOICES: Final[dict[str, Any]] = {"wait": "wait", "restart": "in_place", "replace": "elsewhere"}
WORDS: Final = {"declared": "wanted", "held": "held", "unknown": "lost", "finished": "finished", "gone": "gone"}

REFUSED: Final[dict[str, type[UpcallError]]] = {
    "invalid": Invalid,
    "not_found": NotFound,
    "conflict": Conflict,
    "stale": Stale,
    "forbidden": Forbidden,
}


def answer(said: wire.Answer) -> given.Answer:
    common: dict[str, Any] = {
        "reason": said.reason,
        "retry_after_s": said.retry_after_s,
        "progress": said.progress,
    }
    if choice := CHOICES.get(said.verdict):
        return given.Answer(verdict="prefer", choice=choice, **common)
    verdict: Any = said.verdict
    return given.Answer(verdict=verdict, valid_s=said.valid_s, counts_on=said.counts_on, **common)


def policy(said: wire.Policy) -> Policy:
    return Policy(
        at_most=said.at_most,
        silence=said.silence,
        order=said.order,
        answer_s=said.answer_s,
        replace_after_s=said.replace_after_s,
        leaves=said.leaves,
    )


def operation(pending: PendingOperation, node: str) -> wire.Operation:
    op = pending.operation
    member = op.target.members[0] if len(op.target.members) == 1 and op.kind != "uninstall" else ""
    return wire.Operation(
        id=op.id,
        kind=op.kind,
        klass=op.class_,
        state=op.state,
        reason=op.reason,
        asked_by=op.asked_by,
        member=member,
        incarnation=op.target.incarnation_of(member) if member else 0,
        node=op.target.node or node,
        parent=op.parent,
        origin=op.origin,
        firmness=op.firmness,
        on_deadline=op.on_deadline or "",
        deadline_s=pending.window_left_s,
        keeps_volumes=op.kind not in ("replace", "move", "vacate", "scale_in"),
        comes_back=op.kind not in ("uninstall", "scale_in"),
        answer=_answered(pending.answer) if pending.answer and not pending.asked else "",
    )


def _answered(said: Given) -> str:
    """In the words in which the service said it."""
    return next((word for word, choice in CHOICES.items() if choice == said.choice), said.verdict)


def state(view: MemberView) -> str:
    return WORDS.get(view.status) or view.observed or {"launching": "pending"}.get(view.status, view.status)


def error(refused: fx.Refused) -> UpcallError:
    return REFUSED[refused.code](refused.message, where=refused.where, expected=refused.expected)
