"""Checks a recorded event log against the table.

Every change of an operation's state is an event with ``kind``, ``class``, ``from``, ``to`` and ``word``. Whatever
produced the log (a test, a cluster last week), no line of it may say what the table does not allow.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from upcall.operations.effects import Event
from upcall.operations.table import KINDS, Class, Kind, State, Word, next_state


def check(events: Iterable[Event]) -> list[str]:
    """What in the log contradicts the table; empty when nothing does."""
    found: list[str] = []
    states: dict[str, State] = {}
    for event in events:
        if event.kind == "operation" and "to" in event.data:
            objection = _objection(event.subject, event.data, states)
            if objection:
                found.append(objection)
            states[event.subject] = cast(State, event.data["to"])
    return found


def _objection(operation: str, data: Mapping[str, Any], states: Mapping[str, State]) -> str:
    kind, class_, to = cast(Kind, data["kind"]), cast(Class, data["class"]), cast(State, data["to"])
    if kind not in KINDS:
        return f"{operation}: no kind {kind!r}"
    if "from" not in data:
        if operation in states or to != "open":
            return f"{operation} comes into being as {to}, known before: {operation in states}"
        return ""
    before, word = cast(State, data["from"]), cast(Word, data["word"])
    if states.get(operation, before) != before:
        return f"{operation} moves from {before}, but it was {states[operation]}"
    if next_state(kind, class_, before, word) != to:
        return f"{operation} ({class_} {kind}): {before} -> {to} by {word!r} is not in the table"
    return ""
