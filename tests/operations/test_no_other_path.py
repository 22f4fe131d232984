"""No other path reaches a running task of a service: an operation that has begun, or nothing.

That every end of a task names a begun operation is held in :mod:`test_properties` over whole worlds. Here it is held
over the code: one place makes the effect, one kind of state gives its reason, and one place performs it.
"""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "upcall"


def calls(path: Path, name: str) -> list[int]:
    """Lines on which something of this name is called."""
    tree = ast.parse(path.read_text())
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (getattr(node.func, "attr", None) == name or getattr(node.func, "id", None) == name)
    ]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_end_of_a_task_is_made_in_two_places_only() -> None:
    makers = {path.name for path in (SOURCE / "operations").glob("*.py") if calls(path, "EndTask")}
    # ``members`` for what an executing operation ends; ``losses`` for what is left of an incarnation that one gave up.
    assert makers == {"members.py", "losses.py"}


def test_nobody_but_the_performer_of_effects_ends_a_task_of_a_substrate() -> None:
    """``substrate.end`` is called where effects are performed: in the master's core and in the test world."""
    callers = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "end":
                owner = node.func.value
                named = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                if "substrate" in named:
                    callers.add(path.relative_to(SOURCE).as_posix())
    assert callers <= {"master/core.py", "substrate/world.py"}
    assert "substrate/world.py" in callers


def test_the_ledger_imports_nothing_but_itself_and_reads_no_clock() -> None:
    allowed = {"msgspec", "msgspec.structs", "collections.abc", "typing", "re", "itertools", "upcall.operations"}
    allowed |= {"bisect", "heapq", "enum"}  # search, order and names, nothing of the outside
    for path in (SOURCE / "operations").glob("*.py"):
        # The explorer is also a program, which has arguments.
        own = {"sys"} if path.name == "explore.py" else set()
        foreign = {m for m in imports(path) - own - allowed if not m.startswith("upcall.operations.")}
        assert not foreign, f"{path.name} imports {foreign}"
