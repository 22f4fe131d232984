"""The wheel: the same bytes from any copy of the sources, all of them in it, and enough to run what the catalog has."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from upcall.artifacts.cache import default_root
from upcall.cli import footprint

ROOT = Path(__file__).parents[2]
NEEDED = ("src", "pyproject.toml", "README.md", "LICENSE", ".gitignore")
WEDGED_S = 900


def _build(source: Path, target: Path) -> Path:
    spec = importlib.util.spec_from_file_location("dist", ROOT / "scripts" / "dist.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made: Path = script.build(source, target)
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(ROOT, tmp_path_factory.mktemp("wheel"))


def test_another_copy_gives_the_same_bytes(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, copy_function=shutil.copyfile)  # other times, other modes
        else:
            shutil.copyfile(ROOT / name, copy / name)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert _build(copy, tmp_path / "out").read_bytes() == wheel.read_bytes()


def test_all_of_the_package_is_in_it_and_nothing_else(wheel: Path) -> None:
    said = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src/upcall"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    sources = {name.removeprefix("src/") for name in said.stdout.split("\0") if name and (ROOT / name).is_file()}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert sources - names == set()
    assert {name for name in names - sources if ".dist-info/" not in name} == set()


def test_it_is_of_any_python_and_needs_what_it_imports(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {Requirement(each).name for each in project["dependencies"]}
    for client in ("confluent-kafka", "cassandra-driver"):
        assert client in wanted, f"a catalog whose packages cannot be offered, for want of {client}"
    for tool in ("uv", "jgo"):
        assert tool in wanted, f"nothing that is not here yet could be fetched without {tool}"


# -- installed --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Iterator[Path]:
    """A folder with an environment of the wheel and what it needs, and an empty home. Its path is short, for sockets
    lie below it."""
    ground = Path(tempfile.mkdtemp(prefix="upcall-"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(ground / "venv")], check=True)
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(_site(ground))
    for name in _closure(wheel):
        _take_over(name, _site(ground))
    bin_folder = ground / "venv" / "bin"
    command = f"#!{bin_folder}/python\nimport sys\nfrom upcall.cli.entry import run\nsys.exit(run())\n"
    (bin_folder / "upcall").write_text(command)
    (bin_folder / "upcall").chmod(0o755)
    (ground / "home").mkdir()
    (ground / "work").mkdir()
    yield ground
    shutil.rmtree(ground)


def _site(ground: Path) -> Path:
    return ground / "venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"


def _closure(wheel: Path) -> set[str]:
    """What an installer would bring: the wheel's own requirements without extras, and theirs."""
    metadata = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    first = [line.removeprefix("Requires-Dist: ") for line in text.splitlines() if line.startswith("Requires-Dist: ")]
    found: set[str] = set()
    left: list[tuple[str, Sequence[str]]] = [(each, ("",)) for each in first]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while left:
        line, extras = left.pop()
        needed = Requirement(line)
        if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        key = needed.name, tuple(sorted(needed.extras))
        if key in seen:
            continue
        seen.add(key)
        found.add(canonicalize_name(needed.name))
        left += [(each, ("", *needed.extras)) for each in requires(needed.name) or ()]
    return found


def _take_over(name: str, site: Path) -> None:
    """A distribution of our own environment, and nothing beside it: what is not needed is not there."""
    for file in distribution(name).files or ():
        source = Path(str(distribution(name).locate_file(file)))
        to_bin = ".." in file.parts and "bin" in file.parts
        if not source.is_file() or "__pycache__" in file.parts or (".." in file.parts and not to_bin):
            continue
        target = site.parents[2] / "bin" / file.name if to_bin else site / file
        # What was compiled comes with it: every process would compile it anew.
        compiled = source.parent.glob(f"__pycache__/{source.stem}.*.pyc") if source.suffix == ".py" else ()
        for each in (source, *compiled):
            _link(each, target.parent / each.relative_to(source.parent))


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # another disk
        shutil.copy2(source, target)


class Person:
    """Who has installed it, with an empty home and nothing of this checkout."""

    def __init__(self, ground: Path) -> None:
        self.home = ground / "home"
        self._work = ground / "work"
        self._env = {
            "HOME": str(self.home),
            "PATH": f"{ground}/venv/bin:/usr/bin:/bin",
            # What was downloaded before is not downloaded again.
            "UPCALL_CACHE": str(default_root()),
            **{name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_", "PIP_"))},
        }

    def types(self, *words: str, input: str = "") -> str:
        done = subprocess.run(
            ["upcall", *words], cwd=self._work, env=self._env, capture_output=True, text=True, timeout=WEDGED_S,
            executable=f"{self._env['PATH'].split(':')[0]}/upcall", input=input,
        )  # fmt: skip
        assert done.returncode == 0, f"upcall {' '.join(words)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def runs(self, program: str) -> str:
        """A text that was printed, as it stands."""
        python = f"{self._env['PATH'].split(':')[0]}/python"
        done = subprocess.run([python, "-c", program], env=self._env, capture_output=True, text=True, timeout=WEDGED_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def reads(self, *words: str) -> Any:
        return json.loads(self.types(*words, "--output", "json"))


@pytest.mark.real
def test_who_installs_it_has_a_kafka_without_a_checkout(installed: Path) -> None:
    person = Person(installed)
    assert person.types("--version").startswith("upcall ")
    data = person.home / ".local" / "share" / "upcall"
    known = person.reads("doctor")
    assert known["data"] == f"{data} (no cluster yet)"
    assert not [one for one in known["findings"] if one["state"] == "missing"]
    assert not list(person.home.iterdir()), "a look leaves nothing behind"
    said = person.types("up", "--nodes", "1")
    assert str(data) in said
    try:
        assert "not installed" in said, "the page is an extra"
        names = {one["name"] for one in person.reads("catalog")}
        assert {"kafka", "cassandra", "spark"} <= names
        person.types("install", "kafka", "--set", "brokers=1")
        (kafka,) = person.reads("status")["services"]
        assert (kafka["state"], kafka["ready"]) == ("running", 1)
        person.types("kafka", "topic", "create", "orders")
        person.types("kafka", "produce", "orders", "first", "second")
        assert sorted(person.types("kafka", "consume", "orders").split()) == ["first", "second"]
        said = person.types("connect", "kafka", input="topics\nwrite orders third\nread orders\nread order\n")
        assert "orders  3" in said
        assert {"first", "second", "third"} <= set(said.split())
        assert "no topic 'order'; there is orders" in said
        printed = person.types("endpoints", "kafka")
        snippet = printed.partition("Python (confluent-kafka):\n")[2].partition("\nkcat:\n")[0]
        assert "orders" in person.runs(snippet)
        for file in (data / "clients" / "kafka").iterdir():
            assert file.stat().st_mode & 0o077 == 0, "others can read what a client logs in by"
    finally:
        person.types("down")
    assert footprint.processes(data) == []
    assert [each.name for each in person.home.iterdir() if each.name != ".local"] == [], "nothing beside its folders"
