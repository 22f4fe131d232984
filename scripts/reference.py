"""Writes docs/reference.md: the fields of what an expert writes and is given, from the code itself."""

import ast
import inspect
import sys
import textwrap
from pathlib import Path
from typing import Final

from upcall import service as sdk

TARGET: Final = Path(__file__).parents[1] / "docs" / "reference.md"
SHOWN: Final = (
    "Declaration", "Volume", "Resources", "Port", "File", "Check", "Secret", "Artifact", "Constraints", "Pod",
    "Endpoint", "Policy", "Operation", "Told", "ToolResult",
)  # fmt: skip
HEAD: Final = """# Reference

Made from the code by `scripts/reference.py`; a test fails when it is stale. One import serves for all of it:
`from upcall.service import *`. What each method of `Service` is for stands in [Write a service](service.md#reference).
"""


def fields(kind: type) -> list[tuple[str, str, str, str]]:
    """Name, type, default and words of each field, as they are written."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found = []
    for at, node in enumerate(body.body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        after = body.body[at + 1] if at + 1 < len(body.body) else None
        told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        words = inspect.cleandoc(str(after.value.value)) if told else ""  # type: ignore[union-attr]
        default = ast.unparse(node.value) if node.value else "must be given"
        found.append((node.target.id, ast.unparse(node.annotation), default, " ".join(words.split())))
    return [one for one in found if not one[0].startswith("_")]


def text() -> str:
    parts = [HEAD]
    for name in SHOWN:
        kind = getattr(sdk, name)
        parts.append(
            f"## {name}\n\n{inspect.getdoc(kind) or ''}\n\n| field | type | default | |\n| --- | --- | --- | --- |"
        )
        for field, type_, default, words in fields(kind):
            cells = (f"`{field}`", f"`{type_}`", f"`{default}`", words.replace("``", "`"))
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(text())
    sys.stdout.write(f"written to {TARGET}\n")
