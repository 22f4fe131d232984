"""Checks what happened against the table.

Every operation's coming into being and every change of its state is a fact (:mod:`upcall.operations.news`). Whatever
produced them (a test, the replay of a recording), none may say what the table does not allow.
"""

from collections.abc import Iterable

from upcall.operations.news import Moved, News, Proposed
from upcall.operations.table import State, next_state


def check(happened: Iterable[News]) -> list[str]:
    """What contradicts the table; empty when nothing does."""
    found: list[str] = []
    states: dict[str, State] = {}
    for one in happened:
        if isinstance(one, Proposed | Moved):
            objection = _proposed(one, states) if isinstance(one, Proposed) else _moved(one, states)
            if objection:
                found.append(objection)
            states[one.operation.id] = one.operation.state
    return found


def _proposed(one: Proposed, states: dict[str, State]) -> str:
    operation = one.operation
    if operation.id in states or operation.state != "open":
        return f"{operation.id} comes into being as {operation.state}, known before: {operation.id in states}"
    return ""


def _moved(one: Moved, states: dict[str, State]) -> str:
    operation, before = one.operation, one.before
    if states.get(operation.id, before) != before:
        return f"{operation.id} moves from {before}, but it was {states[operation.id]}"
    if next_state(operation.kind, operation.class_, before, one.word) != operation.state:
        moves = f"{before} -> {operation.state} by {one.word!r}"
        return f"{operation.id} ({operation.class_} {operation.kind}): {moves} is not in the table"
    return ""
