"""The locks that lie here are of what this release needs."""

import tomllib
from pathlib import Path

import pytest

from upcall.artifacts.debian import ARCHITECTURES
from upcall.artifacts.lock import parse_lock, render_lock
from upcall.image.base import OWN
from upcall.image.ours import LOCKS

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_libraries_are_what_the_project_depends_on() -> None:
    """Made anew by `python -m upcall.artifacts.relock src/upcall/image/lock/libraries.json`, its `wanted` changed."""
    lock = parse_lock((LOCKS / "libraries.json").read_bytes())
    project = tomllib.loads(PROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    # What fetches, and what speaks with a package's system, is installed with every wheel, and is no part of an image.
    beside = {*extras["artifacts"], *extras["kafka"], *extras["cassandra"]}
    assert beside <= set(project["dependencies"])
    assert sorted(lock.wanted) == sorted(set(project["dependencies"]) - beside)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_there_is_a_library_for_each_processor(machine: str) -> None:
    files = parse_lock((LOCKS / "libraries.json").read_bytes()).files
    for source in {file.source for file in files}:
        names = [file.name for file in files if file.source == source]
        assert any(name.endswith(("-any.whl", f"_{machine}.whl")) for name in names), source


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_base_has_each_package_for_each_processor(machine: str) -> None:
    lock = parse_lock(OWN.read_bytes())
    there = {
        file.source.partition("=")[0] for file in lock.files if file.marker in ("", f"platform_machine == '{machine}'")
    }
    assert there == set(lock.wanted)


@pytest.mark.parametrize("name", ["libraries.json", "base.json"])
def test_a_lock_is_written_in_its_one_way(name: str) -> None:
    data = (LOCKS / name).read_bytes()
    assert render_lock(parse_lock(data)) == data
