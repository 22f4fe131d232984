"""Writes docs/reference.md: the fields of what a person or an expert writes and is given, from the code itself."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from upcall import service as sdk
from upcall.cli import composition
from upcall.protocol import declaration, service

TARGET: Final = Path(__file__).parents[1] / "docs" / "reference.md"
OF_SERVICES: Final = (
    "Declaration", "Volume", "Resources", "Port", "File", "Check", "Secret", "Artifact", "Constraints", "Pod",
    "Endpoint", "Contents", "Command", "Brings", "Client", "Policy", "Operation", "Told", "Degraded", "ToolResult",
)  # fmt: skip
OF_COMPOSITIONS: Final = ("Composition", "Requires", "ServiceItem", "ActionItem", "Size")
HEAD: Final = """# Reference

Made from the code by `scripts/reference.py`; a test fails when it is stale. For a service, one import serves for all of
it: `from upcall.service import *`. What each method of `Service` is for stands in
[Write a service](service.md#reference); what a platform file holds stands [at the end](#the-platform-file).
"""


def fields(kind: type) -> list[tuple[str, str, str, str]]:
    """Name, type, default and words of each field, as they are written."""
    source = textwrap.dedent(inspect.getsource(kind))
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    found = []
    for at, node in enumerate(body.body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        after = body.body[at + 1] if at + 1 < len(body.body) else None
        told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        words = inspect.cleandoc(str(after.value.value)) if told else ""  # type: ignore[union-attr]
        type_ = ast.unparse(node.annotation)
        found.append((node.target.id, type_, default(source, node.value), " ".join(words.split())))
    return [one for one in found if not one[0].startswith("_")]


def default(source: str, value: ast.expr | None) -> str:
    """As it is written; of pydantic's and dataclasses' fields, what they say."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).lower() == "field":
        value = next((one.value for one in value.keywords if one.arg == "default"), None)
    return f"`{ast.get_source_segment(source, value)}`" if value is not None else "must be given"


def section(kind: type, title: str = "") -> Iterator[str]:
    """What it is, in its own words, and a row for each field."""
    words = kind.__dict__.get("__doc__")
    assert words, f"{kind.__name__} says nothing of itself"
    yield f"## {title or kind.__name__}\n\n{marked(inspect.cleandoc(words))}\n"
    yield "| field | type | default | |\n| --- | --- | --- | --- |"
    for field, type_, written, said in fields(kind):
        assert said, f"{kind.__name__}.{field} says nothing of itself"
        cells = (f"`{field}`", f"`{type_}`", written, marked(said))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def marked(words: str) -> str:
    return words.replace("``", "`").replace(":meth:", "").replace(":mod:", "").replace(":data:", "")


def templates() -> Iterator[str]:
    """The head of the module that declares tasks: what declarations may name."""
    words = inspect.cleandoc(declaration.__doc__ or "").splitlines()
    listed = [line.strip() for line in words if line.startswith("    ")]
    yield "## Templates\n\nIn `command`, `env`, `files`, `prepare`, checks and tools, filled in at each launch:\n"
    yield "| template | |\n| --- | --- |"
    for line in listed:
        names, _, said = line.partition("}}  ") if "}}  " in line else line.partition("  ")
        names += "}}" if line[len(names) :].startswith("}}") else ""
        while said.strip().startswith("{{"):
            more, _, said = said.strip().partition("}}  ")
            names += f" {more}}}}}"
        yield f"| {' '.join(f'`{name}`' for name in names.split())} | {marked(said.strip())} |"
    yield ""


def text() -> str:
    parts = [HEAD]
    for name in OF_SERVICES:
        parts += section(getattr(sdk, name))
        if name == "Declaration":
            parts += templates()
    parts += section(service.Member, "Member, as `member.seen`")
    words = inspect.cleandoc(composition.__doc__ or "").partition("::\n")
    file = textwrap.dedent(words[2].rpartition("\n\n")[0]).strip()
    parts.append(f"# The platform file\n\n{words[0].strip()}\n\n```yaml\n{file}\n```\n")
    for name in OF_COMPOSITIONS:
        parts += section(getattr(composition, name), {"ServiceItem": "services", "ActionItem": "actions"}.get(name, ""))
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(text())
    sys.stdout.write(f"written to {TARGET}\n")
