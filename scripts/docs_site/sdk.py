"""A page with all that ``from upcall.service import *`` and the test kit give, in their own words."""

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from upcall import service, testing

HEAD = """# What an expert imports

Made from the code. [Write a service](service.md) is the way in; the fields of what is declared and told stand in the
[reference](reference.md).
"""
PARTS = (
    (service, "upcall.service", "`from upcall.service import *`"),
    (testing, "upcall.testing", "The test kit: a service's whole life in virtual time, without a machine."),
)
ROLE = re.compile(r":[a-z]+:`~?(?:[\w.]*\.)?([\w]+)`")
MODULES = re.compile(r"\b(?:upcall|typing|collections)\.(?:[a-z_]+\.)*")


def page() -> str:
    return "\n".join([HEAD, *(line for module, name, words in PARTS for line in _module(module, name, words))])


def _module(module: ModuleType, name: str, words: str) -> Iterator[str]:
    yield f"## {name}\n\n{words}\n"
    for one in sorted(module.__all__, key=str.lower):
        found = getattr(module, one)
        if getattr(found, "__module__", "").startswith("upcall."):
            yield from _class(one, found) if isinstance(found, type) else _function(one, found, "###")


def _class(name: str, kind: type) -> Iterator[str]:
    yield f"### {name}\n\n{_words(kind)}\n"
    for method, found in vars(kind).items():
        plain = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        if not method.startswith("_") and inspect.isfunction(plain) and plain.__doc__:
            yield from _function(f"{name}.{method}", plain, "####")


def _function(name: str, found: Any, level: str) -> Iterator[str]:
    if not callable(found):
        return
    waits = "async " if inspect.iscoroutinefunction(found) else ""
    head = f"{waits}def {name.rpartition('.')[2]}{_signature(found)}"
    yield f"{level} {name}\n\n```python\n{head}\n```\n\n{_words(found)}\n"


def _signature(found: Any) -> str:
    signature = inspect.signature(found)
    said = [one for one in signature.parameters.values() if one.name != "self"]
    return MODULES.sub("", str(signature.replace(parameters=said)))


def _words(found: Any) -> str:
    """Docstrings are written for Python's own tools; their example blocks begin after ``::``."""
    return ROLE.sub(r"`\1`", inspect.cleandoc(found.__doc__ or "")).replace("``", "`").replace("::\n", ":\n")
