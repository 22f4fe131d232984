"""Names in texts of a declaration: how a text of somebody's own goes past them, and which can never be known.

``{{name}}`` is filled in where a task is launched. What a person handed over may hold braces of its own: whoever puts
it into a template writes ``literal(text)``, and it arrives as it is. A *file* that is a person's own is ``verbatim``.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Invalid
from upcall.protocol.nearest import choice

PATTERN: Final = re.compile(r"\{\{\s*([A-Za-z][A-Za-z0-9_./-]*)\s*\}\}")
BRACE: Final = "brace"
"""The name of ``{`` itself."""
ALWAYS: Final = (
    "address", "hostname", "sandbox", "cpus", "memory_mib", "node", "zone", "incarnation", "task", "python", BRACE,
)  # fmt: skip
"""Names that every task has."""
_OF_OTHERS: Final = ("endpoint.", "attribute.")
NEAR_MAX: Final = 3
_OPENS: Final = re.compile(r"\{(?=\{|\Z)")


def literal(text: str) -> str:
    """A template that is filled in as ``text``, whatever stands in it."""
    return _OPENS.sub(f"{{{{{BRACE}}}}}", text)


def literally(value: Any) -> Any:
    """The same of all texts in lists and mappings, whose keys are texts too."""
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, dict):
        return {literally(key): literally(each) for key, each in value.items()}
    return [literally(each) for each in value] if isinstance(value, list | tuple) else value


def check(texts: Iterable[str], declaration: Declaration, members: Collection[str], where: str) -> None:
    """``Invalid`` for a name in these texts that no launch of this declaration will know. ``members``: of its service.
    What others have (their endpoints), and what only a machine has (its attributes), may come."""
    known = _known(declaration) | {f"address.{member}" for member in members}
    for text in texts:
        if name := _unknown(text, known, _OF_OTHERS):
            raise Invalid(f"unknown name {{{{{name}}}}}", where=where, expected=near(name, known))


def validate(member: str, declaration: Declaration, where: str = "declaration") -> None:
    """``Invalid`` where a text of the declaration has a name that no launch of it will know: it would be found out as a
    member that is started for ever. Addresses of members may come, too; what is locked is known where it is fetched: a
    class that a test makes of a package's own has none of its locks."""
    written = [(place, text) for place, text in _texts(declaration) if "{{" in text]  # The master is asked often.
    known = _known(declaration) if written else set[str]()
    for place, text in written:
        if name := _unknown(text, known, (*_OF_OTHERS, "address.", "artifact.")):
            raise Invalid(
                f"the task of {member} has the unknown name {{{{{name}}}}}",
                where=f"{where}.{place}",
                expected=near(name, known),
            )


def _known(declaration: Declaration) -> set[str]:
    return {
        *ALWAYS,
        "replaced.address",
        *(f"port.{port.name}" for port in declaration.ports),
        *(f"volume.{volume.name}" for volume in declaration.volumes),
        *(f"secret.{secret.name}" for secret in declaration.secrets),
        *(f"artifact.{artifact.name}" for artifact in declaration.artifacts),
    }


def _unknown(text: str, known: Collection[str], may_come: tuple[str, ...]) -> str:
    """The first name in it that is nothing; empty: all are known. Of an artifact, what it has is known once it is
    there."""
    for name in (found[1] for found in PATTERN.finditer(text)):
        of_artifact = name.startswith("artifact.") and ".".join(name.split(".")[:2]) in known
        if name not in known and not of_artifact and not name.startswith(may_come):
            return name
    return ""


def _texts(declaration: Declaration) -> Iterator[tuple[str, str]]:
    """Where a name may stand, and what stands there."""
    yield from ((f"command[{number}]", word) for number, word in enumerate(declaration.command))
    yield from ((f"env.{name}", text) for name, text in declaration.env.items())
    yield from ((f"file {file.path}", file.text) for file in declaration.files if not file.verbatim)
    for number, command in enumerate(declaration.prepare):
        yield from ((f"prepare[{number}][{at}]", word) for at, word in enumerate(command))
    for name, check in (("ready", declaration.ready), ("health", declaration.health)):
        yield from ((f"{name}.exec[{at}]", word) for at, word in enumerate(check.exec if check else ()))


def near(name: str, known: Collection[str]) -> str:
    """Names of the same family, else the nearest ones, else all."""
    family = name.split(".")[0]
    found = sorted(each for each in known if each.split(".")[0] == family and each != family)
    found = found or difflib.get_close_matches(name, list(known), n=NEAR_MAX, cutoff=0.5)
    return choice(found or sorted(known), "no name: none is known here")
