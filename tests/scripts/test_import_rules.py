"""The rules of who may import whom (``pyproject.toml``) can fail: each is broken on purpose in a copy."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OFFENCES = {
    "Imports run one way": ("protocol/errors.py", "from upcall.cluster import folder"),
    "The ledger, the kernel and the keeper import nothing of ours": (
        "operations/guard.py",
        "from upcall.protocol import errors",
    ),
    "No substrate in operations, service, catalog": ("catalog/jvm.py", "from upcall.substrate import interface"),
    "The master knows no machines of any kind": ("master/views.py", "from upcall.substrate import local"),
    "The records in an API server know neither machines nor master": (
        "kubernetes/records/__init__.py",
        "from upcall.master import core",
    ),
    "Our part in a pod knows an agent's parts and the words of pods alone": (
        "kubernetes/pod/__init__.py",
        "from upcall.kubernetes import machines",
    ),
    "Services know the wire alone": ("service/host.py", "from upcall.master import core"),
    "The command line, the page and the demo are clients of the API alone": (
        "cli/task.py",
        "from upcall.store import sqlite",
    ),
    "The page and the demo do not know the keeper": ("web/tabs.py", "from upcall.keeper import processes"),
    "An agent decides nothing that is the master's": ("agent/ports.py", "from upcall.operations import table"),
    "What runs knows neither doubles nor explorer": (
        "master/core.py",
        "from upcall.operations.checking import checker",
    ),
    "The detector does not know the generator": ("fastdata/detect/drift.py", "from upcall.fastdata import faults"),
}


def test_no_module_of_our_own_machines_is_left_out_of_the_masters_rule() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (rule,) = [one for one in rules if one["name"] == "The master knows no machines of any kind"]
    ours = {f"upcall.substrate.{path.stem}" for path in (ROOT / "src/upcall/substrate").glob("local*")}
    assert ours <= set(rule["forbidden_modules"])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src" / "upcall", tmp_path / "src" / "upcall", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> str:
    """What the linter says of the checkout in ``folder``."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_every_rule_is_seen_to_be_broken(copy: Path) -> None:
    for file, line in OFFENCES.values():
        path = copy / "src" / "upcall" / file
        path.write_text(f"{path.read_text()}\n{line}\n")
    said = lint(copy)
    assert {name for name in OFFENCES if f"{name} BROKEN" in said} == set(OFFENCES)
    assert "KEPT" not in said, "a rule that nothing here breaks"


def test_a_new_part_must_be_given_its_place(copy: Path) -> None:
    (copy / "src" / "upcall" / "somewhere").mkdir()
    (copy / "src" / "upcall" / "somewhere" / "__init__.py").touch()
    said = lint(copy)
    assert "Imports run one way BROKEN" in said
    assert "somewhere" in said
