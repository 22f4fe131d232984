"""``upcall version``, for a program (``-o json``); the plain line is written before anything is imported."""

import platform

from upcall import __version__
from upcall.cli.session import Session, command, commands
from upcall.protocol.versions import WIRE

version_app = commands()
APPS = {"version": version_app}


@command(version_app, "version")
def version(session: Session) -> None:
    """Which release this is."""
    found = {"version": __version__, "wire": WIRE, "python": platform.python_version()}
    session.out.say(found, f"upcall {__version__}")
