"""``upcall completion``: what a shell is told once, so that it completes our commands and those of services."""

from typing import Annotated, Literal

import typer
from typer._completion_shared import get_completion_script

from upcall.cli.session import Session, command, commands

completion_app = commands()
APPS = {"completion": completion_app}


@command(completion_app, "completion")
def completion(
    session: Session,
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the script that completes: `upcall completion bash >> ~/.bashrc`. Services are asked for theirs while the
    cluster is up."""
    script = get_completion_script(prog_name="upcall", complete_var="_UPCALL_COMPLETE", shell=shell)
    if session.out.as_json:
        session.out.json({"shell": shell, "script": script})
    else:
        session.out.text(script)
