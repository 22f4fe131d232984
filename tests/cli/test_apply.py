"""``apply -f``: what is new comes all or nothing, at the same time, actions in their order, and again without harm."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from typer.testing import Result

from fake_master import FakeMaster
from upcall.cli import deploy

Run = Callable[..., Result]

TWO = """\
services:
  - {package: greeter, name: one, options: {members: 2}}
  - {package: greeter, name: two}
actions:
  - {service: two, action: greet, arguments: {name: first}}
  - {service: one, action: greet, arguments: {name: second}}
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "composition.yaml"
    path.write_text(text)
    return str(path)


def test_services_come_together_and_actions_in_the_files_order(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    result = run("apply -f", written(tmp_path, TWO))
    assert result.exit_code == 0, result.output
    assert "one: installed; two: installed" in result.stdout
    posts = [(path, body) for method, path, body in master.calls if method == "POST"]
    assert [path for path, _ in posts] == [
        "/v1/services",
        "/v1/services",
        "/v1/services/two/actions/greet/begin",
        "/v1/services/one/actions/greet/begin",
    ]
    assert [body["name"] for path, body in posts if path.endswith("/greet/begin")] == ["first", "second"]


def test_what_is_there_already_is_kept(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    file = written(tmp_path, TWO)
    first = run("apply -f", file)
    assert "one: deployed after" in first.stderr
    again = run("apply -f", file)
    assert again.exit_code == 0, again.output
    assert "deployed" not in again.output, "what was there was not deployed"
    assert "/m-0" not in again.output, "nothing was done to it"
    assert sum((method, path) == ("POST", "/v1/services") for method, path, _ in master.calls) == 2


def test_another_package_of_that_name_is_refused(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.add_service("two", 1, package="archive")
    result = run("apply -f", written(tmp_path, TWO))
    assert result.exit_code == 1
    assert "two is there already, made from package archive" in result.stderr
    assert "one" not in master.services  # what this command began was taken away again


def test_a_refused_service_leaves_nothing_behind(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.refused = "two"
    result = run("apply -f", written(tmp_path, TWO))
    assert result.exit_code == 1
    assert "two is not wanted here" in result.stderr
    assert "one is taken away again" in result.stderr
    uninstalls = [body for _, path, body in master.calls if path == "/v1/services/one/uninstall"]
    assert uninstalls[0]["force"] is True


def test_resources_are_shown_and_checked_first(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    result = run("apply -f", written(tmp_path, "requires: {nodes: 9, memory_mib: 1024}\n" + TWO))
    assert result.exit_code == 1
    assert "9 nodes (here: 3)" in result.stderr
    assert not master.services
    fits = run("apply -f", written(tmp_path, "requires: {nodes: 2, memory_mib: 1024}\n" + TWO))
    assert "needs 2 nodes, 1.0 GiB memory; here:" in fits.stderr
    assert "here:" not in run("apply -f", written(tmp_path, TWO)).stderr, "nothing in particular is no news"


def test_a_missing_file_is_named(run: Run, tmp_path: Path) -> None:
    result = run("apply -f", str(tmp_path / "none.yaml"))
    assert result.exit_code == 1
    assert "the platform file cannot be read: No such file or directory" in result.stderr
    assert "none.yaml" in result.stderr


def test_a_composition_of_one_service_can_be_applied_again(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    file = written(tmp_path, "services: [{package: greeter}]\n")
    assert run("apply -f", file).exit_code == 0
    again = run("apply -f", file)
    assert again.exit_code == 0, again.output
    assert "greeter" in master.services


def test_nothing_is_begun_when_an_action_is_unknown(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    result = run("apply -f", written(tmp_path, TWO.replace("service: one, action: greet", "service: one, action: x")))
    assert result.exit_code == 1
    assert "one (greeter) has no action 'x'" in result.stderr
    assert not any(method == "POST" for method, _, _ in master.calls)


def test_an_action_that_fails_takes_back_what_was_begun(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.add_service("one", 2, steps_done=2).options = {"members": 2}
    master.failing_actions = 1
    result = run("apply -f", written(tmp_path, TWO))
    assert result.exit_code == 1
    assert "nobody is there to greet" in result.stderr
    assert "two is taken away again" in result.stderr
    assert list(master.services) == ["one"], "what was there before stays"


def test_an_action_is_asked_again_while_it_cannot_be_answered(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.actions_not_now = 2
    result = run("apply -f", written(tmp_path, TWO))
    assert result.exit_code == 0, result.output
    assert "two: greet done" in result.stderr
    assert {one.patience_s for one in master.asked.values()} == {600}, "its service tries it again, too"


def test_how_long_it_is_tried_again_can_be_set(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    assert run("apply --patience 2h -f", written(tmp_path, TWO)).exit_code == 0
    assert {one.patience_s for one in master.asked.values()} == {7200}


def test_a_plan_of_a_life_before_is_not_deployed_before_its_members_are_ready(
    run: Run, master: FakeMaster, tmp_path: Path
) -> None:
    """After ``down`` and ``up`` the plan is still done, and nothing runs yet."""
    for name in ("one", "two"):
        view = master.add_service(name, 2, steps_done=2)
        view.options = {"members": 2} if name == "one" else {}
        view.state, view.ready, view.reason = "degraded", 0, "0 of 2 members ready"
        for member in view.members:
            member.state = "starting"
    asked_before: list[bool] = []

    def comes_up() -> None:
        asked_before.append(any(path.endswith("/actions/greet/begin") for _, path, _ in master.calls))
        for view in master.services.values():
            view.state, view.ready, view.reason = "running", 2, ""
        master.happens("task", "two.m-1", "ready")

    master.once_looked_at("two", 3, comes_up)
    result = run("apply -f", written(tmp_path, TWO))
    assert result.exit_code == 0, result.output
    assert asked_before == [False], "an action was asked of a service of which nothing ran"
    assert "two: greet done" in result.stderr


def starts_anew(master: FakeMaster, name: str = "greeter") -> None:
    """As after ``down`` and ``up``."""
    view = master.services[name]
    view.state, view.ready, view.reason = "degraded", 0, "0 of 2 members ready"
    for member in view.members:
        member.state = "starting"
    master.calls.clear()


def is_back(master: FakeMaster, name: str = "greeter") -> None:
    view = master.services[name]
    view.state, view.ready, view.reason = "running", view.wanted, ""
    for member in view.members:
        member.state = "ready"
    master.happens("task", f"{name}.m-1", "ready")


LOOK = "/v1/services/greeter/actions/cards/begin"


def test_a_service_that_starts_anew_is_waited_for_before_it_is_asked_what_it_holds(
    run: Run, master: FakeMaster, tmp_path: Path
) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    file = written(tmp_path, CARDS)
    assert run("apply -f", file).exit_code == 0
    starts_anew(master)
    asked_before: list[bool] = []

    def comes_up() -> None:
        asked_before.append(LOOK in posts(master))
        is_back(master)

    master.once_looked_at("greeter", 1, comes_up)
    result = run("apply -f", file)
    assert result.exit_code == 0, result.output
    assert asked_before == [False]
    assert "waiting until it can be seen what they hold: greeter is degraded: 0 of 2 members ready" in result.stderr
    assert "greeter: ready after" in result.stderr
    assert "greeter: as the file says" in result.stdout
    starts_anew(master)
    master.once_looked_at("greeter", 1, comes_up)
    assert run("export").exit_code == 0
    assert asked_before == [False, False]


def test_what_it_waits_for_may_be_blocked_and_that_is_the_answer(
    run: Run, master: FakeMaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    file = written(tmp_path, CARDS)
    assert run("apply -f", file).exit_code == 0
    starts_anew(master)
    monkeypatch.setitem(deploy.GRACE_S, "blocked", 0.0)
    view = master.services["greeter"]
    view.state, view.reason = "blocked", "its node is gone"
    result = run("apply -f", file)
    assert result.exit_code == 1
    assert "greeter is blocked: its node is gone" in result.stderr
    assert posts(master) == []


def test_a_dry_run_waits_for_nobody_and_says_what_cannot_be_seen(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    file = written(tmp_path, CARDS)
    assert run("apply -f", file).exit_code == 0
    starts_anew(master)
    result = run("apply --dry-run -f", file)
    assert result.exit_code == 0, result.output
    for words in ("cards", "cannot be seen now", "greeter is degraded", "0 of 2 members ready"):
        assert words in result.stdout
    (said,) = json.loads(run("apply --dry-run -o json -f", file).stdout)["differences"]
    assert said["contents not seen"] == "greeter is degraded: 0 of 2 members ready"
    result = run("apply --no-wait -f", file)
    assert result.exit_code == 0, result.output
    assert "contents not made: what greeter is to hold, which cannot be seen now" in result.stdout
    assert posts(master) == []


def test_what_a_change_may_mend_is_changed_before_it_is_asked_what_it_holds(
    run: Run, master: FakeMaster, tmp_path: Path
) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    assert run("apply -f", written(tmp_path, CARDS)).exit_code == 0
    starts_anew(master)
    master.once_looked_at("greeter", 2, lambda: is_back(master))
    file = written(tmp_path, CARDS.replace("members: 2", "members: 3").replace("{text: hello}", "{text: hi}"))
    result = run("apply -f", file)
    assert result.exit_code == 0, result.output
    asked = posts(master)
    assert asked.index("/v1/services/greeter/update") < asked.index(LOOK)
    assert "greeter: changed, cards one changed" in result.stdout


def test_an_interrupt_says_what_goes_on_and_what_was_not_run(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.step_s = 60
    master.once_looked_at("two", 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    result = run("apply -f", written(tmp_path, TWO))
    assert result.exit_code == 130
    assert "one, two: what is begun goes on" in result.stderr
    assert "actions not run: two greet, one greet" in result.stderr


CARDS = """\
name: shop
services:
  - package: greeter
    options: {members: 2}
    cards:
      one: {text: hello}
      two: {text: {file: two.txt}, style: {colour: red}}
"""


def posts(master: FakeMaster) -> list[str]:
    return [path for method, path, _ in master.calls if method == "POST" and not path.endswith(("preview", "check"))]


def test_what_services_hold_is_made_once_and_changed_where_it_differs(
    run: Run, master: FakeMaster, tmp_path: Path
) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    file = written(tmp_path, CARDS)
    result = run("apply -f", file)
    assert result.exit_code == 0, result.output
    assert "greeter: installed, cards one made, cards two made" in result.stdout
    assert master.cards["two"] == {"copies": 3, "text": "good bye", "style": {"colour": "red"}}
    assert master.services["greeter"].made == {"shop": {"cards": ["one", "two"]}}
    master.calls.clear()
    again = run("apply -f", file)
    assert again.exit_code == 0, again.output
    assert "greeter: as the file says" in again.stdout
    assert posts(master) == ["/v1/services/greeter/actions/cards/begin"], "it only looked"
    written(tmp_path, CARDS.replace("hello", "good morning"))
    changed = run("apply -f", file)
    assert changed.exit_code == 0, changed.output
    assert "greeter: cards one changed" in changed.stdout
    assert master.cards["one"]["text"] == "good morning"


def test_a_dry_run_shows_the_difference_and_changes_nothing(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    assert run("apply -f", written(tmp_path, CARDS)).exit_code == 0
    more = CARDS.replace("members: 2", "members: 3").replace("{text: hello}", "{text: hi}")
    file = written(tmp_path, more + "      three: {text: new}\n  - {package: archive}\n")
    before = len(posts(master))
    result = run("apply --dry-run -f", file)
    assert result.exit_code == 0, result.output
    for words in ("members", "2 -> 3", "cards one text", "hello -> hi", "cards three", "is made", "archive", "install"):
        assert words in result.stdout
    assert "defer: a copy is on its way" in result.stdout
    assert set(posts(master)[before:]) == {"/v1/services/greeter/actions/cards/begin"}


def test_what_differs_is_updated_and_asked(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    assert run("apply -f", written(tmp_path, TWO)).exit_code == 0
    result = run("apply -f", written(tmp_path, TWO.replace("members: 2", "members: 3")))
    assert result.exit_code == 0, result.output
    assert "one: members 2 -> 3" in result.stderr
    assert "one: changed; two: as the file says" in result.stdout
    asked = next(body for _, path, body in master.calls if path == "/v1/services/one/update")
    assert (asked["options"], asked["made_from"]) == ({"members": 3}, 1)


@pytest.mark.parametrize("command", ["apply --dry-run -f", "apply -f"])
def test_what_an_action_would_refuse_is_said_before_anything_begins(
    run: Run, master: FakeMaster, tmp_path: Path, command: str
) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    assert run("apply -f", written(tmp_path, CARDS)).exit_code == 0
    before = posts(master)
    file = written(tmp_path, CARDS.replace("text: {file: two.txt}", "text: hi") + "  - {package: archive}\n")
    result = run(command, file)
    assert result.exit_code == 1
    said = result.stderr.splitlines()
    at = said.index("error: cards two of greeter would be refused: what is red is not rewritten")
    assert said[at + 1].startswith("  where:    ")
    assert said[at + 1].endswith("composition.yaml line 7")
    assert said[at + 2] == "  expected: another colour first"
    assert set(posts(master)[len(before) :]) == {"/v1/services/greeter/actions/cards/begin"}, "it only looked"
    assert master.cards["two"]["text"] == "good bye"


def test_all_that_would_be_refused_is_said_at_once_one_reason_a_line(
    run: Run, master: FakeMaster, tmp_path: Path
) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    red = CARDS.replace("text: {file: two.txt}", "text: hi, style: {colour: red}")
    more = red.replace("      two:", "      too: {text: hi, style: {colour: red}}\n      two:")
    assert more != red
    assert run("apply -f", written(tmp_path, more)).exit_code == 0
    refused = run("apply -f", written(tmp_path, more.replace("text: hi", "text: bye")))
    said = refused.stderr.splitlines()
    at = said.index("error: 2 things would be refused:")
    for line, name in zip(said[at + 1 :], ("too", "two"), strict=False):
        assert line.startswith(f"  - cards {name} of greeter: what is red is not rewritten (at ")
        assert line.endswith("; expected another colour first")
    told = json.loads(run("apply -o json -f", written(tmp_path, more.replace("text: hi", "text: bye"))).stderr)
    assert [one["what"] for one in told["error"]["details"]["reasons"]] == [
        "cards too of greeter",
        "cards two of greeter",
    ]


def test_an_action_is_judged_by_what_its_service_is_to_become(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    assert run("apply -f", written(tmp_path, CARDS)).exit_code == 0
    text = CARDS.replace("text: {file: two.txt}", "text: hi").replace("members: 2", "members: 5")
    assert run("apply -f", written(tmp_path, text)).exit_code == 0
    assert master.cards["two"]["text"] == "hi"


def test_a_dry_run_of_an_action_says_whether_it_would_be_refused(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.add_service("greeter", 1, steps_done=1)
    master.cards["two"] = {"text": "hi", "style": {"colour": "red"}}
    refused = run("service do greeter rewrite-card name=two text=x --dry-run")
    assert refused.exit_code == 1
    assert refused.stderr.splitlines() == [
        "error: rewrite-card of greeter would be refused: what is red is not rewritten",
        "  where:    text",
        "  expected: another colour first",
    ]
    assert "nothing is known against it" in run("service do greeter rewrite-card name=one text=x --dry-run").stdout
    assert "does not say beforehand" in run("service do greeter greet name=you --dry-run").stdout
    assert not master.asked


def test_what_a_service_would_decline_changes_nothing_at_all(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    assert run("apply -f", written(tmp_path, TWO)).exit_code == 0
    master.would_answer, master.would_decline = "these words are for people alone", "it is too small"
    before = posts(master)
    more = TWO.replace("members: 2", "members: 3").replace("services:\n", "services:\n  - {package: archive}\n")
    result = run("apply -f", written(tmp_path, more))
    assert result.exit_code == 1
    assert "one would decline: it is too small" in result.stderr
    assert "composition.yaml line 3" in result.stderr
    assert posts(master) == before


def test_only_what_the_file_made_is_removed_and_only_when_told(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    master.add_service("archive", 1, package="archive", steps_done=1)
    master.cards["theirs"] = {"text": "keep me"}
    assert run("apply -f", written(tmp_path, CARDS + "  - {package: greeter, name: other}\n")).exit_code == 0
    file = written(tmp_path, CARDS.replace("      one: {text: hello}\n", ""))
    kept = run("apply -f", file)
    assert kept.exit_code == 0, kept.output
    assert "other (the service), greeter (cards one); `--prune` removes it" in kept.stderr.replace("\n", " ")
    assert "one" in master.cards
    result = run("apply --prune -f", file)
    assert result.exit_code == 0, result.output
    assert set(master.services) == {"greeter", "archive"}
    assert set(master.cards) == {"two", "theirs"}
    assert master.services["greeter"].made == {"shop": {"cards": ["two"]}}


def test_a_file_without_a_name_prunes_nothing(run: Run, tmp_path: Path) -> None:
    result = run("apply --prune -f", written(tmp_path, TWO))
    assert result.exit_code == 1
    assert "a platform without a name is not pruned" in result.stderr


@pytest.mark.parametrize(
    ("was", "mistaken", "said"),
    [
        ("cards:", "crads:", ["unknown key 'crads' of service greeter", "line 5", "cards"]),
        ("{text: hello}", "{txt: hello}", ["cards one", "unknown argument 'txt'", "line 6"]),
        ("{text: hello}", "{text: hello, copies: many}", ["cards one", "'many' is not a whole number", "line 6"]),
        ("{text: hello}", "", ["cards one", "'text' is a required property", "line 6"]),
        ("options: {members: 2}", "secrets: [mail]", ["no secret 'mail'", "line 4", "upcall secret set mail"]),
        ("two.txt", "three.txt", ["three.txt: No such file", "line 7"]),
    ],
)
def test_each_mistake_is_named_with_its_line_before_anything_begins(
    run: Run, master: FakeMaster, tmp_path: Path, was: str, mistaken: str, said: list[str]
) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    result = run("apply -f", written(tmp_path, CARDS.replace(was, mistaken)))
    assert result.exit_code == 1
    for words in said:
        assert words in result.stderr
    assert posts(master) == []


def test_what_is_never_changed_is_refused_before_anything_begins(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("good bye")
    assert run("apply -f", written(tmp_path, CARDS)).exit_code == 0
    before = len(posts(master))
    more = CARDS.replace("{text: hello}", "{text: hello, copies: 5}").replace("members: 2", "members: 3")
    result = run("apply -f", written(tmp_path, more))
    assert result.exit_code == 1
    assert "cards one of greeter has copies 3, not 5, which is never changed" in result.stderr
    assert "upcall service do greeter burn-card card=one" in result.stderr
    assert set(posts(master)[before:]) == {"/v1/services/greeter/actions/cards/begin"}


def test_what_is_exported_changes_nothing_where_it_is_applied(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("good\nbye\n")
    file = written(tmp_path, CARDS + "  - {package: archive, name: attic}\n")
    assert run("apply -f", file).exit_code == 0
    master.services["greeter"].bindings = {"store": "attic"}
    out = tmp_path / "exported.yaml"
    master.cards["past"] = {"copies": 7, "style": {}, "over": True}
    assert run("export --name shop --to", str(out)).exit_code == 0
    text = out.read_text()
    assert "past" not in text, "it has had its course"
    assert text.index("attic") < text.index("package: greeter"), "what others are bound to stands above them"
    assert "good\n" in text
    assert "copies: 3" in text
    nowhere = run("export --to", str(tmp_path / "nowhere" / "exported.yaml"))
    assert nowhere.exit_code == 1
    assert "exported.yaml cannot be written: No such file or directory" in nowhere.stderr
    refused = run("export --to", str(out))
    assert refused.exit_code == 1
    assert "nothing is overwritten" in refused.stderr
    master.packages[0].needs = [{"name": "store", "endpoint": "x"}]
    again = run("apply -f", str(out))
    assert again.exit_code == 0, again.output
    assert "attic, greeter: as the file says" in again.stdout


def test_the_schema_knows_the_options_and_contents_of_each_package(run: Run) -> None:
    schema = json.loads(run("apply --schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema).is_valid
    assert valid({"services": [{"package": "greeter", "cards": {"a": {"text": "b"}, "c": {"text": {"file": "d"}}}}]})
    assert not valid({"services": [{"package": "greeter", "cards": {"a": {}}}]})
    assert not valid({"services": [{"package": "greeter", "options": {"members": 77}}]})
    assert not valid({"services": [{"package": "greeter", "crads": {}}]})
    assert not valid({"services": [{"package": "archive", "cards": {}}]})
