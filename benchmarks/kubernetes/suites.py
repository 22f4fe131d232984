"""Figures out of tests: what a test notes of itself (pytest's ``record_property``) stands in its report.

A suite that ran before (``make kubernetes`` runs them first) is not run again: its report names the commit.
"""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from upcall.cli.figures import BUILD, commit

FOLDER: Final = BUILD / "kubernetes"
SUITES: Final = ("played.xml", "real.xml")
"""What ``make kubernetes`` has left here."""


@dataclass(frozen=True)
class Case:
    """One test that ran."""

    file: str
    name: str
    passed: bool
    said: str = ""
    noted: Mapping[str, Any] = field(default_factory=dict)


class Failed(Exception):
    """A test that measures came to no figure; its words."""


def noted(files: Sequence[str], *tests: str, sabotage: Path | None = None, **environment: str) -> dict[str, Any]:
    """All figures of these files, where every test passed. ``tests``: only of such with one of these words in their
    name."""
    found: dict[str, Any] = {}
    for case in cases(files, *tests, sabotage=sabotage, **environment):
        if not case.passed:
            raise Failed(f"{case.name}: {case.said}")
        found |= case.noted
    return found


def cases(files: Sequence[str], *tests: str, sabotage: Path | None = None, **environment: str) -> list[Case]:
    """``sabotage``: a folder that stands first in the path of every Python that is started."""
    if sabotage is None and not environment and (before := _before(files)) is not None:
        return [case for case in before if not tests or any(word in case.name for word in tests)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    report = FOLDER / f"{Path(files[0]).stem}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [
        "-o",
        "junit_family=xunit1",
        "-o",
        f"junit_suite_name={commit()}",
        *(("-k", " or ".join(tests)) if tests else ()),
        *files,
    ]
    path = [str(sabotage)] if sabotage is not None else []
    path += [word for word in (os.environ.get("PYTHONPATH", ""),) if word]
    more = {"UPCALL_KUBERNETES": "1", "UPCALL_LONG_TESTS": "1", "PYTHONPATH": os.pathsep.join(path), **environment}
    done = subprocess.run(command, env=os.environ | more, stdout=sys.stderr, check=False)
    if not report.exists():
        raise Failed(f"pytest ended with {done.returncode}, and without a report")
    return read(report)[1]


def _before(files: Sequence[str]) -> list[Case] | None:
    """What a suite of this very commit said of all of them; None: none did."""
    now, found = commit(), []
    for suite in SUITES:
        if (FOLDER / suite).exists():
            of, all_of_it = read(FOLDER / suite)
            found += all_of_it if of == now else []
    mine = [case for case in found if case.file in files]
    whole = {case.file for case in mine} == set(files) and not now.endswith("-dirty")
    return mine if whole else None


def read(report: Path) -> tuple[str, list[Case]]:
    """The commit, and each test."""
    suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
    found = []
    for one in suite.iter("testcase"):
        wrong = [each for each in one if each.tag in ("failure", "error", "skipped")]
        said = wrong[0].get("message", "") if wrong else ""
        file = one.get("classname", "").replace(".", "/") + ".py"
        properties = {each.get("name", ""): _value(each.get("value", "")) for each in one.iter("property")}
        found.append(Case(file, one.get("name", ""), not wrong, said, properties))
    return suite.get("name", ""), found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
