"""Whatever name is typed for whatever a command takes a name of: one clear error that says what would be right.

On a real master, so that what is asked of it is what it understands.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "master"))

from served_master import Server

from upcall.cli.main import application, run

NAMES = ["", " ", "..", "../x", "a/b", "hello/plans", "a\nb", "%2e%2e", "a?b#c", "ü 名", "x" * 5000]
RIGHT = {"service": "hello", "plan": "deploy", "action": "greet", "name": "mail", "member": "hello.web-0"}
"""What stands at the places that are not tried."""
MORE = {
    "upgrade": ["--to", "2"],
    "backup make": ["--to", "/nowhere"],
    "access grant": ["--role", "viewer"],
    "update": ["--set", "x=1"],
    "scale": [],
    "node drain": ["--no-wait"],
    "operation force": ["--reason", "a test"],
    "operation assume-dead": ["--reason", "a test"],
    "volume drop": ["--reason", "a test", "--yes"],
    "secret remove": ["--yes"],
}
OTHERS = {
    "demo", "new", "install", "restore", "fetch", "export", "window", "image build", "bundle make", "bundle verify",
    "bundle push", "backup show", "backup verify", "backup remove",
}  # fmt: skip
"""What these take is a path, an address, or a package of the folder of packages; or they begin something big."""


@dataclass(frozen=True)
class Place:
    """An argument of a command that takes a name."""

    words: str
    names: tuple[str, ...]
    """Of all arguments, in their order."""
    at: int
    needed: bool

    def line(self, name: str) -> list[str]:
        before = [RIGHT.get(one, "x") for one in self.names[: self.at]]
        after = [RIGHT.get(one, "x") for one in self.names[self.at + 1 :]]
        return [*self.words.split(), *MORE.get(self.words, []), "--", *before, name, *after]


def places() -> Iterator[Place]:
    for words, function in commands(application(), []):
        if words in OTHERS:
            continue
        found = [one for one in inspect.signature(function).parameters.values() if _is_a_name(one.annotation)]
        needed = [one for one in found if one.default is inspect.Parameter.empty]
        tried = found if words != "service do" else found[:2]
        for at, one in enumerate(tried):
            yield Place(words, tuple(each.name for each in (tried if one not in needed else needed)), at, one in needed)


def commands(app: Any, before: list[str]) -> Iterator[tuple[str, Any]]:
    for one in app.registered_commands:
        yield " ".join([*before, one.name]), one.callback
    for group in app.registered_groups:
        yield from commands(group.typer_instance, [*before, group.name])


def _is_a_name(annotation: Any) -> bool:
    kinds = [type(one).__name__ for one in getattr(annotation, "__metadata__", ())]
    return kinds[:1] == ["ArgumentInfo"] and "str" in str(annotation.__args__[0])


PLACES = list(places())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("master") / "data")
    package = {"name": "hello", "version": "1", "actions": [{"name": "greet"}]}
    assert found.call("PUT", "/v1/packages/hello/1", package, principal="host").status == 200
    assert found.call("PUT", "/v1/secrets/mail", {"value": "x"}).status == 200
    assert found.call("POST", "/v1/services", {"package": "hello", "name": "hello"}).status == 200
    yield found
    found.stop()


def test_the_commands_that_take_a_name_are_tried() -> None:
    assert {"secret set", "uninstall", "task restart", "operation cancel", "plan pause"} <= {
        one.words for one in PLACES
    }


@pytest.mark.parametrize("place", PLACES, ids=lambda one: f"{one.words} {one.names[one.at]}")
def test_a_name_that_is_none_is_one_clear_error(place: Place, server: Server) -> None:
    before = server.call("GET", "/v1/status").json()["event_sequence"]
    wrong = []
    for name in NAMES:
        if not name.strip() and not place.needed:
            continue  # `upcall task list ""` is `upcall task list`.
        done = CliRunner().invoke(
            application(place.words.split()[0]),
            [*place.line(name)[: len(place.words.split())], "--data", str(server.folder.root),
             *place.line(name)[len(place.words.split()) :]],
            input="a value",
        )  # fmt: skip
        said = done.stderr
        fine = (
            done.exit_code == 1
            and said.startswith("error: ")
            and said.count("error:") == 1
            and "expected: " in said
            and len(said) < 1000
            and not any(
                one in said for one in ("Not Found", "no such call", "the master answered", "validation", "\x1b")
            )
        )
        if not fine:
            wrong.append((name[:20], done.exit_code, said[:400], repr(done.exception)[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    assert server.call("GET", "/v1/status").json()["event_sequence"] == before, "and nothing was begun"


MISTYPED = {
    "hello": [
        "uninstall helo", "install helo", "logs helo", "why helo", "endpoints helo", "catalog show helo",
        "catalog remove helo", "service show helo", "service history helo", "service do helo greet", "plan show helo",
        "config show helo", "explain helo", "scale helo 2", "rollback helo", "window helo", "backup helo --to /x",
        "finalize helo", "upgrade helo --to 2", "events --about helo", "schedule list helo",
    ],
    "mail": ["secret remove mial --yes", "secret grant mial hello"],
    "greet": ["service do hello gret"],
    "task": ["events --kind tsk"],
    "anne": ["access revoke ane"],
}  # fmt: skip


@pytest.mark.parametrize(("line", "meant"), [(line, meant) for meant, lines in MISTYPED.items() for line in lines])
def test_what_is_mistyped_is_told_with_what_was_probably_meant(
    line: str, meant: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    grant = {"name": "anne", "role": "viewer", "valid_s": 60}
    assert meant != "anne" or server.call("POST", "/v1/access", grant).status == 200
    assert run([*line.split(), "--data", str(server.folder.root)]) == 1
    assert re.search(rf"(did you mean '|expected: ){meant}\b", capsys.readouterr().err)


def test_a_grant_to_a_service_that_is_not_there_yet_says_so(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["secret", "grant", "mail", "helo", "--data", str(server.folder.root)]) == 0
    assert "no service 'helo' is there yet, did you mean 'hello'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "meant"),
    [("stauts", "status"), ("node drian", "drain"), ("cache clen", "clean"), ("status --outptu json", "--output"),
     ("install --sett a=1 hello", "--set"), ("node drain node-1 --on-deadline hol", "hold"), ("status -o yml", "yaml")],
)  # fmt: skip
def test_words_of_the_command_line_too(line: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    assert meant in capsys.readouterr().err.replace(line, "")
