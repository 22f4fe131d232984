"""The kinds of events that a person may ask for are those that are written."""

import ast
from pathlib import Path

import upcall
from upcall.protocol.operator import EVENT_KINDS

SOURCE = Path(upcall.__file__).parent
WRITERS = ("master", "operations", "substrate")


def written() -> set[str]:
    """The first argument of every call ``....event("kind", ...)``, and the kind of every event made by name, and of
    every class of facts."""
    found = set()
    for path in [path for part in WRITERS for path in (SOURCE / part).glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "ClassVar[Kind]":
                assert node.value is None or isinstance(node.value, ast.Constant)
                found.update([str(node.value.value)] if node.value else [])
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            named = [each.value for each in node.keywords if each.arg == "kind" and called == "Event"]
            for value in [*(node.args[:1] if called == "event" else []), *named]:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found.add(value.value)
    return found


def test_every_kind_that_is_written_can_be_asked_for() -> None:
    assert {"node", "operation", "task", "gap"} <= written()
    assert written() <= set(EVENT_KINDS)


def test_no_kind_can_be_asked_for_that_nobody_writes() -> None:
    assert set(EVENT_KINDS) <= written()
