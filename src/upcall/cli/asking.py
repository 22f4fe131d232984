"""Before something is deleted for good or forced, a person is asked.

On a terminal the question says what goes, and what is kept; anything but a yes ends the command, with nothing changed.
Where nobody can be asked, what scripts have always run goes on as it was typed (:func:`ask`); a command that deletes
and that no script knows yet refuses there, with the word that answers beforehand, ``--yes`` (:func:`confirm`).
"""

import sys
from typing import Annotated

import typer

from upcall.cli.session import Session
from upcall.protocol.errors import Conflict, Invalid

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is wanted.")]
"""Of a command that asks."""


def ask(session: Session, what: str, *, yes: bool) -> None:
    """``what``: what goes and what is kept, in a sentence without its end."""
    if yes or not _a_person_is_there(session):
        return
    session.out.note(f"{what}.")
    # Results alone are on standard output.
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Conflict("not confirmed; nothing was changed", where="the question", expected="y, or --yes beforehand")


def confirm(session: Session, what: str, *, yes: bool) -> None:
    """As :func:`ask`; where nobody is there, the word is needed."""
    if not yes and not _a_person_is_there(session):
        raise Invalid(f"nobody is there to ask: {what}", where="--yes", expected="--yes, if that is meant")
    ask(session, what, yes=yes)


def _a_person_is_there(session: Session) -> bool:
    """He sees the question and all that is said, and what he types is read."""
    return not session.out.as_json and all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr))
