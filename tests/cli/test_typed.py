"""An error names what a person typed, and not what the API calls it."""

import inspect
from typing import Annotated

import typer

from upcall.cli import install, node, schedule, update, upgrade
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


def test_a_key_of_a_mapping_is_named_as_it_was_typed() -> None:
    assert where(update.update, "options.brokers") == "--set brokers"
    assert where(update.update, "options.kafka.log.dirs") == "--set kafka.log.dirs"
    assert where(update.update, "goals.keep_hours") == "--goal keep_hours"
    assert where(install.install, "options") == "--set"
    assert where(update.scale, "options.brokers") == "N"
    assert where(update.scale, "options.autoscale") == "--min"


def test_what_fills_a_field_under_another_name_is_the_commands_own() -> None:
    assert where(upgrade.upgrade, "version") == "--to"
    assert where(update.update, "version") == "--version"
    assert where(schedule.window, "time_zone") == "--zone"
    assert where(schedule.window, "options.time_zone") == "--zone"


def test_an_option_with_two_ways_is_named_by_its_longest_name() -> None:
    def command(wait: Annotated[bool, typer.Option("-w", "--wait/--no-wait")] = True) -> None: ...

    assert where(command, "wait") == "--wait"


def test_what_nobody_typed_stays_as_it_was_said() -> None:
    assert where(update.rollback, "--yes") == "--yes"
    assert where(update.rollback, "brokers") == "brokers"
    assert where(update.rollback, "") == ""
