"""Asking a service for something, from the command line: begun, followed, shown, cancelled."""

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from fake_master import FakeMaster
from upcall.cli.values import parse_pairs
from upcall.protocol import operator as api

Run = Callable[..., Result]


@pytest.fixture
def hello(master: FakeMaster) -> FakeMaster:
    master.add_service("hello", 1, steps_done=1)
    return master


def test_it_waits_for_as_long_as_the_action_runs_and_says_its_progress(run: Run, hello: FakeMaster) -> None:
    done = run("service do hello greet name=you")
    assert done.stdout == "greet of hello: said=hello you\n"
    assert "hello: greet: looks for them" in done.stderr
    assert json.loads(run("service do hello greet name=you -o json").stdout) == {"said": "hello you"}


def test_an_action_that_failed_fails_the_command_in_its_own_words(run: Run, hello: FakeMaster) -> None:
    hello.failing_actions = 1
    failed = run("service do hello greet name=you")
    assert (failed.exit_code, failed.stderr.splitlines()[-2]) == (1, "error: nobody is there to greet")


def test_without_waiting_its_id_says_how_far_it_is_and_cancels_it(run: Run, hello: FakeMaster) -> None:
    begun = run("service do hello greet name=nobody --no-wait")
    assert "`upcall service action act-1`" in begun.stdout
    assert "runs for 0s: looks for them" in run("service action act-1").stdout
    assert "act-1" in run("service actions hello").stdout
    assert "cancelled by operator" in run("service action act-1 --cancel").stdout
    assert [one["state"] for one in json.loads(run("service actions hello -o json").stdout)["asked"]] == ["cancelled"]


def test_help_of_an_action_shows_its_arguments(run: Run, hello: FakeMaster) -> None:
    shown = run("service do hello greet --help").stdout
    assert "Usage: upcall service do hello greet name" in shown
    assert "Greet somebody." in shown
    assert "text" in shown
    assert "required" in shown
    assert "upcall service do" in run("service do --help").stdout
    assert "greet" in run("service do hello --help").stdout
    assert hello.asked == {}


def test_a_command_without_an_action_says_what_is_missing(run: Run, hello: FakeMaster) -> None:
    refused = run("service do hello")
    assert refused.exit_code == 1
    assert "`upcall service actions SERVICE` lists them" in refused.stderr


def test_values_are_text_where_the_action_wants_text_and_an_entry_of_a_map_has_its_own_key() -> None:
    schema = {
        "properties": {
            "name": {"type": "string"},
            "partitions": {"type": "integer"},
            "config": {"type": "object", "additionalProperties": {"type": "string"}},
        }
    }
    pairs = ["name=2024", "partitions=6", "config.min.insync.replicas=2", "config.cleanup.policy=compact"]
    assert parse_pairs(pairs, "do", schema) == {
        "name": "2024",
        "partitions": 6,
        "config": {"min.insync.replicas": "2", "cleanup.policy": "compact"},
    }


def test_what_failed_has_its_place_and_what_would_be_right_on_lines_of_their_own(run: Run, hello: FakeMaster) -> None:
    hello.failing_actions = 1
    hello.action_problem = api.ActionProblem(code="invalid", message="you is no name", where="name", expected="a name")
    said = run("service do hello greet name=you").stderr.splitlines()[-3:]
    assert said == ["error: you is no name", "  where:    name", "  expected: a name"]


def test_what_could_not_be_done_for_all_the_patience_says_how_long_it_was_tried(run: Run, hello: FakeMaster) -> None:
    hello.failing_actions = 2
    hello.action_problem = api.ActionProblem(code="not_now", message="nobody is ready", where="hello")
    said = run("service do hello greet name=you --patience 90s").stderr
    assert "error: tried for 1m 30s, and it cannot be done: nobody is ready" in said
    assert "or a longer `--patience`" in said
    assert next(iter(hello.asked.values())).patience_s == 90
    said = run("service do hello greet name=you --patience 0").stderr
    assert "error: not now: nobody is ready" in said
    assert "it passes by itself" in said
    assert "is no time" in run("service do hello greet name=you --patience soon").stderr


def test_it_is_begun_again_while_its_code_is_away_and_says_so_once(run: Run, hello: FakeMaster) -> None:
    hello.actions_not_now = 3
    done = run("service do hello greet name=you")
    assert done.stdout == "greet of hello: said=hello you\n"
    assert done.stderr.count("hello: greet: not now: its code is not connected; tried again for up to 10m 00s") == 1
