"""A page with every command: its usage, arguments and options, as ``--help`` has them."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args

import typer

from docs_site.tables import cell, code
from upcall.cli import main
from upcall.cli.session import Form

HEAD = """# Commands

Made from the code. `upcall COMMAND --help` says the same; a service brings commands of its own
(`upcall kafka --help`, while it is installed). Exit codes stand [here](cli.md#for-programs).
"""
EVERYWHERE = frozenset({"--data", "--output", "--help", "--show-completion", "--install-completion"})
"""Of each command, and said once."""


def page() -> str:
    group: Any = typer.main.get_command(main.application())
    lines = [
        HEAD,
        f"Each command takes `--data FOLDER`, `--output {'|'.join(get_args(Form))}` (`-o`) and `--help` besides.\n",
    ]
    for name in main.COMMANDS:
        lines += [f"## {name}\n", *_command(group.commands[name], f"upcall {name}")]
    return "\n".join(lines)


def _command(command: Any, path: str) -> Iterator[str]:
    below = getattr(command, "commands", None)
    if below:
        yield f"{_words(command)}\n"
        for name, one in below.items():
            if not one.hidden:
                yield f"### {path.partition(' ')[2]} {name}\n"
                yield from _command(one, f"{path} {name}")
        return
    context = command.make_context(path, [], resilient_parsing=True)
    pieces = [one for one in command.collect_usage_pieces(context) if one != "[OPTIONS]"]
    yield f"```\n{' '.join([path, *pieces])}\n```\n\n{_words(command)}\n"
    said = [one.get_help_record(context) for one in command.params if not EVERYWHERE & {*one.opts}]
    rows = [one for one in said if one and (one[1] or one[0].startswith("-"))]
    if rows:
        yield "| | |\n| --- | --- |"
        yield from (f"| {code(names)} | {cell(words)} |" for names, words in rows)
        yield ""


def _words(command: Any) -> str:
    return inspect.cleandoc(command.help or "").replace("\b\n", "")
