"""Changing a service from the command line: what is sent, what is shown, how it ends."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from fake_master import FakeMaster
from upcall.cli import config, waiting
from upcall.cli.update import between_lines, changed_words
from upcall.protocol.operator import DerivedView, PreviewView, RevisionView

Run = Callable[..., Result]


def sent(master: FakeMaster, path: str = "update") -> dict[str, Any]:
    found: dict[str, Any] = next(body for method, at, body in master.calls if at == f"/v1/services/hello/{path}")
    return found


@pytest.fixture(autouse=True)
def hello(master: FakeMaster) -> None:
    master.add_service("hello", 3, steps_done=3)
    package: Any = {"package": "greeter", "version": "1.0.0"}
    master.revisions = [
        RevisionView(number=3, state="stands", outcome="done", options={"config": {"a": "1"}}, before=1, asked_by="ann",
                     took_s=12.0, changed={"members": (2, 3), "config.a": (None, "1")}, **package),
        RevisionView(number=2, state="declined", outcome="declined", why="no room", before=1, **package),
        RevisionView(number=1, state="past", outcome="done", options={"members": 2}, **package),
    ]  # fmt: skip


def test_an_update_names_what_it_was_made_from_and_is_followed_to_its_end(run: Run, master: FakeMaster) -> None:
    stands = master.services["hello"].revision
    result = run("update hello --set members=4 --set config.greeting=hi --unset volume --reason more")
    assert result.exit_code == 0, result.output
    asked = sent(master)
    assert asked["set"] == {"members": 4, "config": {"greeting": "hi"}}
    assert (asked["unset"], asked["made_from"], asked["reason"]) == (["volume"], stands, "more")
    assert f"hello is at revision {stands + 1}" in result.stdout


def test_one_that_fails_ends_in_the_systems_own_words(run: Run, master: FakeMaster) -> None:
    master.update_ends = ("failed", "m-2 ended: bad greeting")
    result = run("update hello --set members=4")
    assert result.exit_code == 1
    assert "update of hello failed: m-2 ended: bad greeting" in result.stderr
    assert "`upcall rollback hello`" in result.stderr


def test_a_dry_run_says_what_would_be_and_asks_for_nothing(run: Run, master: FakeMaster) -> None:
    result = run("update hello --set members=4 --dry-run")
    assert result.exit_code == 0, result.output
    for words in (
        "the last change took 42s",
        "members",
        "live",
        "restarts",
        "its command differs",
        "comes",
        "defer: a copy",
    ):
        assert words in result.stdout, words
    assert "config.greeting  (unset)" in result.stdout
    assert not [path for _, path, _ in master.calls if path.endswith("/update")]
    as_json = json.loads(run("update hello --set members=4 --dry-run --output json").stdout)
    assert as_json["restart"] == {"m-0": "its command differs"}


def test_going_back_names_the_revision(run: Run, master: FakeMaster) -> None:
    assert run("rollback hello --to 1").exit_code == 0
    assert sent(master)["back_to"] == 1


def test_the_history_says_what_was_gone_back_from(run: Run, master: FakeMaster) -> None:
    master.revisions[0] = master.revisions[0].model_copy(update={"left_in": 5, "outcome": "failed"})
    assert "failed; gone back from in 5" in run("service history hello").stdout


def test_nothing_to_change_is_an_error_that_says_how(run: Run) -> None:
    result = run("update hello")
    assert result.exit_code == 1
    assert "nothing is to change" in result.stderr
    assert "--set" in result.stderr


def test_the_history_says_what_was_changed_by_whom_and_what_became_of_it(run: Run) -> None:
    lines = run("service history hello").stdout.splitlines()
    assert "members 2 -> 3, config.a (unset) -> 1" in lines[1]
    assert "ann" in lines[1]
    assert "12s" in lines[1]
    assert "declined" in lines[2]
    assert "no room" in lines[2]
    assert "installed" in lines[3]


def test_the_options_that_stand_are_shown_with_where_they_come_from(run: Run) -> None:
    result = run("config show hello")
    assert result.exit_code == 0, result.output
    assert "revision 3 (stands)" in result.stdout
    assert "default" in result.stdout
    unknown = run("config show hello --revision 9")
    assert unknown.exit_code == 1
    assert "one of 1, 2, 3" in unknown.stderr


def test_what_follows_from_a_goal_is_shown_as_explain_has_it(run: Run, master: FakeMaster) -> None:
    said = master.revisions[0]
    follows = {"members": DerivedView(value=5, why="one may go", goal="survive")}
    follows |= {"config.copies": DerivedView(value=3, why="two are left", goal="survive")}
    master.revisions[0] = said.model_copy(update={"options": {"config": {"a": 1}}, "derived": follows})
    rows = [line.split()[:4] for line in run("config show hello").stdout.splitlines()]
    assert ["members", "5", "goal", "survive"] in rows
    assert ["config.copies", "3", "goal", "survive"] in rows
    assert ["config.a", "1", "set"] in [row[:3] for row in rows]
    assert "config.copies" in run("config diff hello").stdout


def test_a_part_of_an_option_that_is_set_is_shown_once() -> None:
    """`goals.survive` is a row of its own, and no entry of `goals`."""
    goals = {"properties": {"survive": {"type": "string"}, "keep_hours": {"type": "number"}}}
    schema = {"$defs": {"Goals": goals}, "properties": {"goals": {"anyOf": [{"$ref": "#/$defs/Goals"}]}}}
    found = RevisionView(
        number=1,
        state="stands",
        package="x",
        version="1",
        options={"goals": {"survive": "1-node"}, "settings": {"a.b": 1}},
    )
    rows = [row[:3] for row in config._rows(found, schema)]
    assert [row for row in rows if row[0] == "goals.survive"] == [("goals.survive", "1-node", "set")]
    assert ("goals.keep_hours", "", "default") in rows
    assert ("settings.a.b", "1", "set") in rows


def test_two_revisions_are_compared(run: Run) -> None:
    result = run("config diff hello")
    assert "revision 1 to 3" in result.stdout
    found = json.loads(run("config diff hello 1 3 --output json").stdout)
    assert found["changed"] == {"members": [2, None], "config.a": [None, "1"]}
    assert "they say the same" in run("config diff hello 1 1").stdout


def test_many_changes_are_named_in_short() -> None:
    assert (
        changed_words({f"o{at}": (at, at + 1) for at in range(5)})
        == "o0 0 -> 1, o1 1 -> 2, o2 2 -> 3, and 2 more options"
    )


@pytest.mark.parametrize("line", ["update hello --set members=4", "rollback hello", "uninstall hello"])
def test_who_waits_while_the_cluster_goes_down_is_told_that_it_goes_on(
    line: str, run: Run, master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "REFRESH_S", 0.1)
    master.step_s = 3600.0

    def goes_down() -> None:
        while not any(method == "POST" for method, *_ in master.calls):
            time.sleep(0.01)
        time.sleep(0.5)
        master.socket.unlink()

    threading.Thread(target=goes_down, daemon=True).start()
    result = run(line)
    assert result.exit_code == 1
    assert "no cluster is up at" in result.stderr
    assert "of hello (op-1) is not over, and goes on then" in result.stderr
    assert "`upcall up`; `upcall why op-1` says then how far it is" in result.stderr


def test_an_upgrade_is_an_update_of_the_version_and_says_how_one_goes_back(run: Run, master: FakeMaster) -> None:
    master.services["hello"].came_from = "0.9"
    result = run("upgrade hello --to 1.0 --finalize --set members=4")
    assert result.exit_code == 0, result.output
    asked = sent(master)
    assert (asked["version"], asked["finalize"], asked["set"]) == ("1.0", True, {"members": 4})
    assert "`upcall rollback hello` brings 0.9 back, until `upcall finalize hello`" in result.stdout


def test_a_dry_run_of_an_upgrade_says_what_differs_between_the_versions(run: Run) -> None:
    shown = run("upgrade hello --to 1.0 --dry-run").stdout
    assert "1 option gone, which nobody has set (`-o json` has all)" in shown
    assert "config.old" not in shown
    assert "1 option with another default: config.wait (default 5, now 10)" in shown
    assert "1 option new: config.newer" in shown


def test_an_option_that_is_gone_is_named_where_somebody_has_set_it() -> None:
    found = PreviewView(kind="upgrade", revision=2, between={"config.old": "gone", "plain": "gone", "config.x": "gone"})
    assert between_lines(found, {"config": {"old": 1}, "plain": 2}) == [
        "2 options gone, although set: config.old, plain",
        "1 option gone, which nobody has set (`-o json` has all)",
    ]


def test_of_many_options_that_differ_the_others_are_counted() -> None:
    many = PreviewView(kind="upgrade", revision=2, between={f"config.o{at:02}": "new" for at in range(14)})
    (line,) = between_lines(many, {})
    assert line.startswith("14 options new: config.o00, ")
    assert line.endswith(", config.o11, and 2 more")


def test_a_service_that_can_still_go_back_says_so(run: Run, master: FakeMaster) -> None:
    assert "not finalized" not in run("service show hello").stdout
    master.services["hello"].came_from = "0.9"
    assert "not finalized, version 1.0.0: `upcall rollback hello` brings 0.9 back" in run("service show hello").stdout


def test_finalize_is_asked_with_its_reason_and_followed_to_its_end(run: Run, master: FakeMaster) -> None:
    result = run("finalize hello --reason enough")
    assert result.exit_code == 0, result.output
    assert sent(master, "finalize") == {"reason": "enough", "force": False, "in_window": False}
    assert "hello is finalized at version" in result.stdout


# -- scale ------------------------------------------------------------------------------------------------------------


def with_sizes(master: FakeMaster, *, pods: tuple[str, ...] = ("m",), itself: bool = False) -> None:
    options: dict[str, Any] = {f"{pod}s": {"type": "integer", "size_of": pod} for pod in pods}
    if itself:
        options["autoscale"] = {"type": "object"}
    master.packages[0].options_schema = {"type": "object", "properties": options}


def test_scale_sets_the_option_that_is_the_size(run: Run, master: FakeMaster) -> None:
    with_sizes(master)
    result = run("scale hello 4 --reason more")
    assert result.exit_code == 0, result.output
    assert (sent(master)["set"], sent(master)["reason"]) == ({"ms": 4}, "more")
    assert run("scale hello 0 --dry-run").exit_code == 0
    assert sent(master, "update/preview")["set"] == {"ms": 0}


def test_scale_lets_a_service_scale_itself_and_takes_it_back(run: Run, master: FakeMaster) -> None:
    with_sizes(master, itself=True)
    assert run("scale hello --min 2 --max 5 --no-wait").exit_code == 0
    assert sent(master)["set"] == {"autoscale": {"min": 2, "max": 5}}
    master.calls.clear()
    assert run("scale hello 3 --by-hand --no-wait").exit_code == 0
    assert (sent(master)["set"], sent(master)["unset"]) == ({"ms": 3}, ["autoscale"])


@pytest.mark.parametrize(
    ("pods", "words", "said"),
    [
        (("m",), "scale hello", "how many members?"),
        (("m",), "scale hello --min 2", "--min and --max go together"),
        (("m",), "scale hello --min 2 --max 3", "cannot scale itself"),
        ((), "scale hello 3", "`upcall update hello --set OPTION=N`"),
        (("m", "n"), "scale hello 3", "has several pods with a size"),
        (("m", "n"), "scale hello 3 --pod x", "has no pod 'x' with a size"),
    ],
)
def test_scale_says_what_is_missing(run: Run, master: FakeMaster, pods: tuple[str, ...], words: str, said: str) -> None:
    with_sizes(master, pods=pods)
    result = run(words)
    assert result.exit_code != 0
    assert said in result.stderr, result.output


def test_rebalance_is_asked_for_and_followed(run: Run, master: FakeMaster) -> None:
    result = run("service rebalance hello --no-wait")
    assert result.exit_code == 0, result.output
    assert "`upcall why" in result.stdout
    assert run("service rebalance hello --force").exit_code != 0
