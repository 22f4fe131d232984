"""Before something is deleted or forced, a person is asked; a program says what it wants beforehand, by ``--yes``.

Whoever is asked sees what goes and what is kept, and anything but a yes changes nothing. Where nobody can answer (a
script, a pipe, ``--output json``), nothing waits: what is gone for good is refused without ``--yes``; the rest, of
which a service is asked anyway or which can be had again, goes on as it was typed.

What is a key is read here too: from a file, or standard input, or a prompt that does not show it. An argument would be
seen by every user of the machine.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from upcall.cli.session import Session
from upcall.protocol.errors import Conflict, Invalid

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is wanted.")]
"""Of a command that asks."""


def confirm(session: Session, what: str, where: str, *, yes: bool, for_good: bool = True) -> None:
    """``what``: what goes and what is kept, in a sentence without its end. ``for_good``: nothing brings it back, and
    the line that was typed does not say so by itself."""
    if yes:
        return
    if not _somebody_answers(session):
        if for_good:
            raise Invalid(f"{what}; nothing was done", where=where, expected="the same with --yes")
        return
    session.out.note(f"{what}. Go on? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Conflict("nothing was done", where=where, expected="y, or the same with --yes")


def read_hidden(what: str, file: Path | None, *, where: str) -> str:
    """``what``, as it stands in ``file`` or comes by standard input, its line's end too. ``where``: of an error without
    a file."""
    try:
        if file is not None:
            return file.read_text()
        if sys.stdin.isatty():
            return str(typer.prompt(what, hide_input=True))
        return sys.stdin.read()
    except OSError as error:
        said = error.strerror or str(error)
        raise Invalid(f"the {what} cannot be read: {said}", where=str(file or where), expected="a text file") from None
    except UnicodeDecodeError:
        raise Invalid(f"the {what} is not text", where=str(file or where), expected="text in UTF-8") from None


def _somebody_answers(session: Session) -> bool:
    """A question that nobody sees is none: it is written to standard error."""
    return not session.out.as_json and sys.stdin.isatty() and sys.stderr.isatty()
