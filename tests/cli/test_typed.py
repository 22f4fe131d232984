"""An error names what a person typed, and not what the API calls it."""

import inspect
from typing import Annotated

import typer

from upcall.cli import node, update
from upcall.cli.typed import as_typed
from upcall.protocol.errors import Problem


def where(of: object, field: str) -> str:
    parameters = inspect.signature(of).parameters.values()  # type: ignore[arg-type]
    return as_typed(Problem(code="invalid", message="wrong", where=field), parameters).where


def test_the_field_of_a_request_is_the_option_or_the_argument_that_fills_it() -> None:
    assert where(update.rollback, "back_to") == "--to"
    assert where(update.rollback, "to") == "--to"
    assert where(update.rollback, "dry_run") == "--dry-run"
    assert where(update.rollback, "service") == "SERVICE"
    assert where(node.drain, "window_s") == "--window"


def test_an_option_with_two_ways_is_named_by_its_longest_name() -> None:
    def command(wait: Annotated[bool, typer.Option("-w", "--wait/--no-wait")] = True) -> None: ...

    assert where(command, "wait") == "--wait"


def test_what_nobody_typed_stays_as_it_was_said() -> None:
    assert where(update.rollback, "--yes") == "--yes"
    assert where(update.rollback, "brokers") == "brokers"
    assert where(update.rollback, "") == ""
