"""What an expert's docstring says, as people are shown it: on the command line, on the page, in an editor's schema.

A docstring is written for a source file: lines end where the file's margin is, and what is code stands in two
backticks. Neither means anything elsewhere.
"""

import inspect
import re
from typing import Any, Final

_CODE: Final = re.compile(r"(?::[a-z]+(?::[a-z]+)*:)?`+([^`\n]+)`+")


def plain(documented: Any) -> str:
    """A paragraph is a line; what is code stands in single backticks, as everywhere in our words."""
    return _plain(inspect.getdoc(documented) or "")


def _plain(text: str) -> str:
    text = _CODE.sub(lambda found: f"`{found[1].lstrip('~')}`", text)
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip())


def first_line(documented: Any) -> str:
    """The first paragraph."""
    return plain(documented).partition("\n")[0]


def of_schema(schema: Any) -> Any:
    """A JSON Schema whose descriptions may be docstrings: of models of which options are made."""
    if isinstance(schema, list):
        return [of_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _plain(part) if key == "description" and isinstance(part, str) else of_schema(part)
        for key, part in schema.items()
    }
