"""``upcall backup remove``: which service is asked for what, and what is refused before anybody is asked."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from upcall.cli.main import run as command_line
from upcall.protocol.errors import Conflict

Run = Callable[..., Result]
ONE, TWO = "kafka-20261129T220046-2565", "kafka-20261130T220046-0f3a"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    calls: list[tuple[str, str, dict[str, Any]]] = []

    def done(session: object, service: str, action: str, arguments: dict[str, Any], no_wait: bool = False) -> Any:
        calls.append((service, action, arguments))
        return {"backups": arguments["backups"], "kept": 2, "freed_bytes": 3 << 20, "at": "/kept/kafka"}

    monkeypatch.setattr("upcall.cli.backup._done", done)
    return calls


def test_backups_are_named_as_they_are_listed(run: Run, asked: list[tuple[str, str, dict[str, Any]]]) -> None:
    result = run(f"backup remove {ONE} {TWO}")
    assert result.stdout == f"{ONE}, {TWO} went: 3.0 MiB that no other one needs; 2 backups stay in /kept/kafka\n"
    run(f"backup remove /kept/kafka/{ONE} --dry-run")
    run(f"backup remove s3://bucket/up/kafka/{ONE} --secret login --endpoint http://127.0.0.1:9")
    (first, second, third) = asked
    assert first[:2] == ("kafka", "remove-backups")
    assert (first[2]["backups"], first[2]["at"], first[2]["dry_run"]) == ([ONE, TWO], "", False)
    assert (second[2]["backups"], second[2]["at"], second[2]["dry_run"]) == ([ONE], "/kept", True)
    assert (third[2]["at"], third[2]["secret"]) == ("s3://bucket/up", "login")


@pytest.mark.parametrize(
    ("backups", "kept", "freed", "said"),
    [
        ([ONE], 1, 101_194, f"{ONE} went: 98.8 KiB that no other one needs; 1 backup stays in /kept/kafka\n"),
        ([], 1, 0, "no backup went; 1 backup stays in /kept/kafka\n"),
        ([], 3, 512, "no backup went: 512 B that no other one needs; 3 backups stay in /kept/kafka\n"),
    ],
)
def test_what_went_is_said_as_one_or_as_several(
    run: Run, monkeypatch: pytest.MonkeyPatch, backups: list[str], kept: int, freed: int, said: str
) -> None:
    found = {"backups": backups, "kept": kept, "freed_bytes": freed, "at": "/kept/kafka"}
    monkeypatch.setattr("upcall.cli.backup._done", lambda *asked: found)
    assert run("backup remove kafka --keep 3").stdout == said


def test_so_many_of_a_service_stay_and_ages_are_short_or_long(
    run: Run, asked: list[tuple[str, str, dict[str, Any]]]
) -> None:
    run("backup remove kafka --keep 3 --older-than 30d --from /kept")
    run("backup remove kafka", "--older-than", "12 hours")
    assert [(each[2]["keep"], each[2]["older_than_s"], each[2]["at"], each[2]["backups"]) for each in asked] == [
        (3, 30 * 86_400.0, "/kept", []),
        (0, 12 * 3600.0, "", []),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("kafka", "'kafka' is no backup"),
        (f"{ONE} --keep 3", "--keep and --older-than are of a service"),
        ("kafka --older-than soon", "'soon' is no age"),
        ("kafka --older-than 0d", "'0d' is no age"),
        (f"{ONE} cassandra-20261129T220046-2565", "backups of several places"),
        (f"/a/kafka/{ONE} /b/kafka/{TWO}", "backups of several places"),
        (f"/a/kafka/{ONE} --from /b", "backups of several places"),
    ],
)
def test_what_is_not_clear_asks_nobody(
    run: Run, asked: list[tuple[str, str, dict[str, Any]]], words: str, said: str
) -> None:
    result = run(f"backup remove {words}")
    assert result.exit_code != 0
    assert said in result.stderr
    assert asked == []


def test_an_empty_place_is_none_and_not_the_folder_that_one_is_in(
    run: Run, asked: list[tuple[str, str, dict[str, Any]]]
) -> None:
    result = run("backup kafka --to", "")
    assert result.exit_code == 1
    assert "no place is named" in result.stderr
    assert asked == []


@pytest.mark.parametrize(
    "words",
    [
        "backup kafka --to s3://KEY:SECRET@bucket/x",
        "backup list kafka --at s3://KEY:SECRET@bucket/x",
        f"backup verify s3://KEY:SECRET@bucket/x/kafka/{ONE}",
        f"backup remove s3://KEY:SECRET@bucket/x/kafka/{ONE}",
        f"restore s3://KEY:SECRET@bucket/x/kafka/{ONE} --to kafka",
    ],
)
def test_a_login_in_an_address_is_refused_before_anything_of_it_is_on_record(
    run: Run, asked: list[tuple[str, str, dict[str, Any]]], words: str
) -> None:
    result = run(words)
    assert result.exit_code != 0
    assert "not an address of a bucket" in result.stderr
    assert "SECRET" not in result.stderr
    assert asked == []


def test_where_something_is_missing_no_word_is_named_that_nobody_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["backup", "kafka", "--output=json"]) == 2
    problem = json.loads(capsys.readouterr().err)["error"]
    assert (problem["where"], problem["expected"]) == ("upcall backup", "`upcall backup make --help` says what")


@pytest.fixture
def was(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"brokers": 3, "goals": {"survive": "1-node", "keep_hours": 24}, "settings": {"log.a": 1, "log.b": 2}}
    shown = {"package": "kafka", "version": "4.3.1", "options": options}
    monkeypatch.setattr("upcall.cli.backup._manifest", lambda *asked: shown)


@pytest.mark.usefixtures("was", "master")
def test_a_restored_service_may_be_otherwise_than_the_backup_s(run: Run) -> None:
    words = "--set brokers=1 --set settings.log.a=7 --unset goals.survive --goal keep_hours=48 --unset settings.log.b"
    said = run(f"restore /kept/kafka/{ONE} --to smaller {words} --dry-run -o json")
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["options"] == {
        "brokers": 1, "goals": {"keep_hours": 48}, "settings": {"log.a": 7},
    }  # fmt: skip
    unknown = run(f"restore /kept/kafka/{ONE} --to smaller --unset broker --dry-run")
    assert unknown.exit_code == 1
    assert "the backup says nothing of 'broker'" in unknown.stderr
    assert "brokers" in unknown.stderr


@pytest.mark.usefixtures("was")
def test_what_contradicts_a_goal_names_the_option_that_this_command_has(
    run: Run, master: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*asked: object) -> None:
        raise Conflict("brokers=1 contradicts the goal survive=1-node", expected="another goal", left_to_goal="brokers")

    monkeypatch.setattr("upcall.cli.backup.deploy.post_all", refused)
    said = run(f"restore /kept/kafka/{ONE} --to smaller --set brokers=1")
    assert "another goal (`--unset brokers`)" in said.stderr
