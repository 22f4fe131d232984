"""What a program relies on: exit codes that are documented, and the same values in JSON and in YAML."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from fake_master import FakeMaster
from upcall.cli import exits
from upcall.cli.main import run as typed

Run = Callable[..., Result]


def test_each_exit_code_stands_in_the_docs_in_the_same_words() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    found = {int(code): words for code, words in re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)}
    assert found == exits.CODES
    named = {value for name, value in vars(exits).items() if name.endswith("_EXIT")}
    assert named == set(exits.CODES)


@pytest.mark.parametrize("words", ["status", "node list", "service list", "why", "endpoints", "volume list"])
def test_yaml_has_the_values_of_json(run: Run, master: FakeMaster, words: str) -> None:
    master.add_service("hello", 2, steps_done=2)
    assert yaml.safe_load(run(f"{words} -o yaml").stdout) == json.loads(run(f"{words} -o json").stdout)


def test_what_comes_one_by_one_is_a_document_each(run: Run) -> None:
    found = list(yaml.safe_load_all(run("logs hello.m-0 -n 2 -o yaml").stdout))
    assert found == [{"line": "line 0"}, {"line": "line 1"}]


def test_an_error_is_yaml_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(["service", "show", "nobody", "-o", "yaml", "--data", str(folder)]) == exits.FAILED_EXIT
    assert yaml.safe_load(capsys.readouterr().err)["error"]["code"] == "not_found"
    assert typed(["stauts", "-oyaml"]) == exits.USAGE_EXIT
    assert yaml.safe_load(capsys.readouterr().err)["error"]["code"] == "usage"
