"""``upcall new``: what is written is whole and right, and what is typed wrong writes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from upcall.cli.main import application
from upcall.service.package import build

FAR_S = 300


def new(*words: str) -> Result:
    return CliRunner().invoke(application("new"), ["new", *words])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_written_is_a_package_whose_tests_pass(here: Path) -> None:
    said = new("my_shop")
    assert said.exit_code == 0, said.output
    assert "upcall install ./my_shop" in said.stdout
    package = build(here / "my_shop").package
    assert (package.name, package.version, package.entry) == ("my-shop", "0.1.0", "my_shop.service:MyShop")
    assert package.description == "Servers that say hello."
    assert set(package.options_schema["properties"]) >= {"count", "greeting"}
    # All but the one that starts a cluster: tests/integration/test_new_service.py runs it.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "my_shop", "-k", "not it_says"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=FAR_S, check=False)
    assert "2 passed, 1 deselected" in done.stdout, done.stdout + done.stderr


def test_it_may_stand_in_another_folder(here: Path) -> None:
    (here / "services").mkdir()
    found = json.loads(new("services/greeter", "-o", "json").stdout)
    assert found == {
        "folder": str(here / "services" / "greeter"),
        "service": "greeter",
        "files": ["__init__.py", "service.py", "blobs/server.py", "test_greeter.py"],
    }
    assert sorted(file for file in found["files"] if (here / "services" / "greeter" / file).is_file()) == sorted(
        found["files"]
    )


@pytest.mark.parametrize(
    ("name", "why", "right"),
    [
        ("my-shop", "names no Python module", "my_shop"),
        ("MyShop", "names no Python module", "my_shop"),
        ("3d", "names no Python module", "my_3d"),
        ("_shop_", "names no Python module", "shop"),
        ("Ünser Laden", "names no Python module", "unser_laden"),
        ("店", "names no Python module", "my_service"),
        ("x" * 41, "names no Python module", "x" * 40),
        ("", "names no Python module", "my_service"),
        ("..", "names no Python module", "my_service"),
        ("class", "a word of Python's own", "my_class"),
        ("json", "a Python module that is here already", "my_json"),
        ("upcall", "a Python module that is here already", "my_upcall"),
        ("node", "a command of upcall's", "my_node"),
        ("kafka", "a package of the catalog", "my_kafka"),
        ("ingest", "a package of the catalog", "my_ingest"),
    ],
)
def test_a_name_that_cannot_be_is_told_with_the_nearest_that_can(here: Path, name: str, why: str, right: str) -> None:
    said = new(name)
    assert (said.exit_code, said.stderr.count("error: ")) == (1, 1)
    assert why in said.stderr
    assert f"expected: {right}, for example" in said.stderr
    assert list(here.iterdir()) == []
    assert new(right).exit_code == 0


@pytest.mark.parametrize("made", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_stays_as_it_is(here: Path, made: Any) -> None:
    made(here / "greeter")
    said = new("greeter")
    assert (said.exit_code, "greeter is there already" in said.stderr) == (1, True)
    assert [one.name for one in here.iterdir()] == ["greeter"]
    assert not (here / "greeter").is_dir() or list((here / "greeter").iterdir()) == []


def test_a_folder_that_is_not_there_is_said(here: Path) -> None:
    said = new("services/greeter")
    assert (said.exit_code, "there is no folder services" in said.stderr) == (1, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_one_error(here: Path) -> None:
    (here / "closed").mkdir(0o500)
    said = new("closed/greeter")
    assert (said.exit_code, said.stderr.count("error: ")) == (1, 1)
    assert "closed/greeter cannot be written: Permission denied" in said.stderr
    assert list((here / "closed").iterdir()) == []


def test_what_breaks_half_way_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", _no_space)
    said = new("greeter")
    assert (said.exit_code, "greeter cannot be written: No space left on device" in said.stderr) == (1, True)
    assert list(here.iterdir()) == []


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")
