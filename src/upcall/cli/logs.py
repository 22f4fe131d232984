"""``upcall logs``: what a member prints."""

from typing import Annotated, Literal
from urllib.parse import quote, urlencode

import typer

from upcall.cli.here import Here, command, commands

logs_app = commands()
APPS = {"logs": logs_app}


@command(logs_app, "logs")
def logs(
    here: Here,
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="hello.web-1, or a task.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=100_000, help="From the end.")] = 100,
    stream: Annotated[Literal["stdout", "stderr", "both"], typer.Option(help="Which of the two.")] = "both",
) -> None:
    """Output of a member; -f follows it."""
    query = urlencode({"lines": lines, "stream": stream, "follow": str(follow).lower()})
    for line in here.client.lines(f"/v1/tasks/{quote(member, safe='')}/logs?{query}"):
        if here.out.as_json:
            here.out.json_line({"line": line})
        else:
            here.out.output(line, flush=follow)
