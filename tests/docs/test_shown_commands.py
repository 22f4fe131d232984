"""Every command that the documentation shows is one that there is, with options that it has."""

import re
from functools import cache
from typing import Any

import pytest
import typer
from shown import ROOT, Shown, commands

from upcall.cli import kubectl, main, own_commands
from upcall.protocol.operator import PackageView, ServiceView
from upcall.service import package as sdk

OURS = [one for one in commands() if one.words[0] == "upcall"]
OF_KUBECTL = [one for one in commands() if one.words[:2] == ("kubectl", "upcall")]
MADE = [one for one in commands() if one.words[0] == "make"]
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


@cache
def first_level() -> Any:
    return typer.main.get_command(main.application())


@cache
def packages() -> dict[str, Any]:
    """Commands of the catalog's, as of services that have their names."""
    found = {}
    for entry in sdk.installed():
        view = PackageView.of(sdk.build_installed(entry).package)
        service = ServiceView(
            name=view.name, package=view.name, version=view.version, revision=1,
            actions=view.actions, commands=view.commands, clients=view.clients,
        )  # fmt: skip
        found[view.name] = typer.main.get_command(own_commands.application(service))
    return found


def parsed(words: tuple[str, ...]) -> None:
    """As the command line does it, up to where the command would run. Raises its own errors."""
    if not words or words[0] in ("--help", "--version"):
        return
    known = {**packages(), **first_level().commands}
    assert words[0] in known, f"no command {words[0]!r}"
    command, context = known[words[0]], None
    arguments = list(words[1:])
    while True:
        context = command.make_context(command.name, arguments, parent=context)
        if not hasattr(command, "commands"):
            return
        left = [*context._protected_args, *context.args]
        _, command, arguments = command.resolve_command(context, left)


def of_kubectl(words: tuple[str, ...]) -> tuple[str, ...]:
    """``kubectl upcall`` has our commands, but for those about this machine, and some shorter."""
    _, left = kubectl.taken(words)
    assert left[0] in kubectl.OFFERED, f"no command {left[0]!r} of kubectl upcall"
    return (*(kubectl.SHORT[left[0]][0] if left[0] in kubectl.SHORT else left[:1]), *left[1:])


@pytest.mark.parametrize("shown", [*OURS, *OF_KUBECTL], ids=str)
def test_a_command_of_ours_can_be_typed_as_it_stands(shown: Shown) -> None:
    try:
        parsed(shown.words[1:] if shown in OURS else of_kubectl(shown.words[2:]))
    except typer.Exit:
        pass  # its help
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        pytest.fail(f"{shown}: {error.format_message()}")


@pytest.mark.parametrize("shown", MADE, ids=str)
def test_what_is_made_is_a_target(shown: Shown) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    asked = [word for word in shown.words[1:] if "=" not in word]
    assert set(asked) <= targets


def test_the_pages_show_commands() -> None:
    """This file looks at what it is to look at."""
    assert len(OURS) > 60
    assert len(OF_KUBECTL) > 5
    assert len(MADE) > 15
