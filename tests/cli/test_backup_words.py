"""``upcall backup remove``: which service is asked for what, and what is refused before anybody is asked."""

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

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
