"""``upcall backup remove``: which service is asked for what, and what is refused before anybody is asked."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from fake_master import FakeMaster
from upcall.cli.main import run as command_line
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.operator import PackageView

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
    result = run(f"backup remove {ONE} {TWO} --yes")
    assert result.stdout == f"{ONE}, {TWO} went: 3.0 MiB that no other one needs; 2 backups stay in /kept/kafka\n"
    run(f"backup remove /kept/kafka/{ONE} --dry-run")
    run(f"backup remove s3://bucket/up/kafka/{ONE} --secret login --endpoint http://127.0.0.1:9 --yes")
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
    assert run("backup remove kafka --keep 3 --yes").stdout == said


def test_so_many_of_a_service_stay_and_ages_are_short_or_long(
    run: Run, asked: list[tuple[str, str, dict[str, Any]]]
) -> None:
    run("backup remove kafka --keep 3 --older-than 30d --from /kept --yes")
    run("backup remove kafka --yes", "--older-than", "12 hours")
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


@pytest.mark.usefixtures("was")
def test_a_restored_service_may_be_otherwise_than_the_backup_s(run: Run, master: FakeMaster) -> None:
    master.packages.append(PackageView(name="kafka", version="4.3.1"))
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


GREETED = "greeted-20261130T220046-0f3a"


class Played:
    """What services say to what they are asked about backups; a backup of two members that is in /kept/greeted."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.refused: dict[str, str] = {}
        """Action -> why it fails."""

    def done(
        self, session: object, service: str, action: str, arguments: dict[str, Any], no_wait: bool = False
    ) -> dict[str, Any]:
        self.calls.append((service, action, arguments))
        if action in self.refused:
            raise NotFound(self.refused[action], where="backup")
        shown = {"package": "greeter", "version": "1.0.0", "options": {"members": 2}, "endpoint": "http://store"}
        where = f"/kept/greeted/{GREETED}"
        return {"backup": where, "id": GREETED, "bytes": 9, "parts": 1, "promise": "all", "in_the_way": [], **shown}


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    found = Played()
    monkeypatch.setattr("upcall.cli.backup._done", found.done)
    return found


def installs(master: FakeMaster) -> list[Any]:
    return [body for method, path, body in master.calls if (method, path) == ("POST", "/v1/services")]


@pytest.mark.parametrize("there", [True, False])
def test_an_id_alone_is_looked_up_by_who_made_it_and_another_one_is_told_the_place(
    run: Run, master: FakeMaster, played: Played, there: bool
) -> None:
    master.add_service("greeted", 2)
    if there:
        master.add_service("smaller", 1)
    said = run(f"restore {GREETED} --to smaller")
    assert said.exit_code == 0, said.output
    service, action, arguments = played.calls[-1]
    assert (service, action) == ("smaller", "restore")
    assert (arguments["backup"], arguments["endpoint"]) == (f"/kept/greeted/{GREETED}", "http://store")
    run(f"backup verify {GREETED} --by smaller")
    assert played.calls[-1][2]["backup"] == f"/kept/greeted/{GREETED}"
    run(f"backup verify {GREETED}")
    assert played.calls[-1][2]["backup"] == GREETED


@pytest.mark.parametrize("made_by", ["is not there", "does not remember it"])
def test_an_id_that_nobody_remembers_is_refused_before_anything_is_installed(
    run: Run, master: FakeMaster, played: Played, made_by: str
) -> None:
    words = "greeted is not installed, so nobody remembers where"
    if made_by == "does not remember it":
        master.add_service("greeted", 2)
        played.refused["show-backup"] = words = f"greeted remembers no backup {GREETED}"
    said = run(f"restore {GREETED} --to smaller --set members=1")
    assert said.exit_code == 1
    assert words in said.stderr
    assert installs(master) == []


def test_the_same_command_goes_on_after_one_that_failed_half_way(run: Run, master: FakeMaster, played: Played) -> None:
    master.add_service("greeted", 2)
    played.refused["restore"] = "a broker was away"
    words = f"restore {GREETED} --to smaller --set members=1"
    failed = run(words)
    assert "a broker was away; smaller was installed for it, and stays" in failed.stderr
    assert "the same command, which goes on" in failed.stderr
    played.refused.clear()
    again = run(words)
    assert again.exit_code == 0, again.output
    assert "smaller holds what" in again.stdout
    assert [each["options"] for each in installs(master)] == [{"members": 1}]
    other = run(f"restore {GREETED} --to smaller --set members=3")
    assert other.exit_code == 1
    assert "smaller is installed already, with other options" in other.stderr
    assert "the same without --set" in other.stderr


def test_a_dry_run_is_refused_as_the_install_would_be(run: Run, master: FakeMaster, played: Played) -> None:
    master.add_service("greeted", 2)
    words = f"restore {GREETED} --to smaller --dry-run --set members="
    refused = run(f"{words}77")
    assert refused.exit_code == 1
    assert "members: 77 is out of range" in refused.stderr
    said = run(f"{words}7")
    assert said.exit_code == 0, said.output
    assert "smaller would be installed (greeter), and filled from it; room is not looked for" in said.stdout
    assert installs(master) == []
    assert "smaller" not in master.services
