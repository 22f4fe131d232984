"""Before something is deleted for good, a person is asked; a program has to say so beforehand, by ``--yes``."""

import sys
from typing import Annotated

import typer

from upcall.cli.session import Session
from upcall.protocol.errors import Conflict, Invalid

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is wanted.")]
"""Of a command that asks."""


def confirm(session: Session, what: str, where: str, *, yes: bool) -> None:
    """``what``: what goes and what is kept, in a sentence without its end. Anything but a yes changes nothing."""
    if yes:
        return
    if session.out.as_json or not sys.stdin.isatty():
        raise Invalid(f"{what}; nothing was done", where=where, expected="the same with --yes")
    session.out.note(f"{what}. Go on? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Conflict("nothing was done", where=where, expected="y, or the same with --yes")
