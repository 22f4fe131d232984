"""A shell for CQL: statements up to their `;`, and what is wrong with one in a line."""

import io
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from cassandra.protocol import SyntaxException

from upcall.catalog.cassandra.shell import Shell, main


class Session:
    """Of no ring: it knows one statement."""

    def execute(self, statement: str) -> list[dict[str, Any]]:
        if statement != "SELECT\na FROM t;":
            raise SyntaxException(0x2000, "no viable alternative at input 'SELEC'", None)
        return [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def typed(*lines: str) -> str:
    shell = Shell(Session())
    shell.stdout = io.StringIO()
    for line in lines:
        shell.onecmd(line)
    return str(shell.stdout.getvalue())


def test_a_statement_goes_up_to_its_end() -> None:
    assert typed("SELECT", "a FROM t;").splitlines() == ["a | b", "1 | x", "2 | None", "(2 rows)"]


def test_a_mistyped_one_is_a_line_and_the_shell_goes_on() -> None:
    said = typed("SELEC x;", "SELECT", "a FROM t;").splitlines()
    assert said[0].startswith("error: ")
    assert "no viable alternative" in said[0]
    assert said[-1] == "(2 rows)"


def test_a_ring_that_does_not_answer_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    (tmp_path / "login.json").write_text(json.dumps({"hosts": ["127.0.0.1"], "port": port}))
    assert main(str(tmp_path / "login.json")) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: no node lets it in: ")
    assert said.count("\n") == 1
