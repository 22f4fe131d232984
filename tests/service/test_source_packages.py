"""Packages: from a file, a folder or an installed class to a manifest and blobs, and back to a class."""

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from sample_services import EXAMPLES

from upcall.protocol.errors import Invalid, NotFound, TooLarge
from upcall.service import package, unpacking
from upcall.testing import Scenario, operation

SERVICE = '''
"""A package with a lock file."""
from upcall.service import Declaration, Need, Service, action
from .words import GREETING

class Greeter(Service):
    """Greets.

    At length."""

    version = "1.2"
    kafka = Need("kafka", endpoint="client", optional=True)

    def task(self, member):
        return Declaration(command=("greet", GREETING), artifacts=(self.artifact("java"),))

    @action
    async def greet(self, name: str) -> str:
        """Says it."""
        return name
'''
LOCK = b'{"format": 1, "kind": "java", "name": "java"}'


@pytest.fixture
def greeter(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder" / "greeter"
    (folder / "lock").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "service.py").write_text(SERVICE)
    (folder / "words.py").write_text("GREETING = 'hello'\n")
    (folder / "lock" / "java.json").write_bytes(LOCK)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "words.pyc").write_bytes(b"x")
    (folder / ".hidden").write_text("x")
    return folder


def test_the_manifest_says_all_that_the_master_needs(greeter: Path) -> None:
    built = package.build(greeter)
    manifest = built.package
    assert (manifest.name, manifest.version, manifest.entry) == ("greeter", "1.2", "greeter.service:Greeter")
    assert manifest.description == "Greets.\n\nAt length."
    assert [(need.name, need.endpoint, need.optional) for need in manifest.needs] == [("kafka", "client", True)]
    assert [spec.name for spec in manifest.actions] == ["greet"]
    assert manifest.blobs == (hashlib.sha256(LOCK).hexdigest(),)
    assert set(built.blobs) == {*manifest.blobs, manifest.source}
    assert manifest.options_schema["additionalProperties"] is False


def test_the_same_files_are_the_same_package(greeter: Path) -> None:
    first = package.build(greeter).package
    (greeter / "words.py").touch()
    assert package.build(greeter).package == first
    (greeter / "words.py").write_text("GREETING = 'good day'\n")
    assert package.build(greeter).package.source != first.source


def test_only_what_belongs_to_the_package_is_in_its_source(greeter: Path) -> None:
    built = package.build(greeter)
    with tarfile.open(fileobj=io.BytesIO(built.blobs[built.package.source])) as tar:
        assert tar.getnames() == [
            "greeter/__init__.py", "greeter/lock/java.json", "greeter/service.py", "greeter/words.py",
        ]  # fmt: skip


def test_two_versions_of_a_source_live_side_by_side(greeter: Path, tmp_path: Path) -> None:
    commands = []
    for greeting in ("hello", "good day"):
        (greeter / "words.py").write_text(f"GREETING = {greeting!r}\n")
        built = package.build(greeter)
        digest = built.package.source
        folder = package.unpack(built.blobs[digest], digest, tmp_path / "sources")
        assert package.unpack(built.blobs[digest], digest, tmp_path / "sources") == folder
        service = package.load(built.package.entry, folder, digest)
        commands.append(Scenario(service).run().task("server-0").command)
    assert commands == [("greet", "hello"), ("greet", "good day")]


def test_an_artifact_is_named_by_its_lock_file(greeter: Path) -> None:
    built = package.build(greeter)
    service = package.load(built.package.entry, greeter.parent, built.package.source)
    (artifact,) = Scenario(service).run().task("server-0").artifacts
    assert (artifact.kind, artifact.lock) == ("java", hashlib.sha256(LOCK).hexdigest())
    with pytest.raises(NotFound, match=r"no file .*wheels"):
        service.artifact("wheels")


def test_a_damaged_source_is_refused_and_nothing_is_left(greeter: Path, tmp_path: Path) -> None:
    built = package.build(greeter)
    with pytest.raises(Invalid, match="not the one that was named"):
        package.unpack(built.blobs[built.package.source] + b"x", built.package.source, tmp_path / "sources")
    assert not (tmp_path / "sources").exists()


def test_a_source_cannot_leave_its_folder(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("../outside.py")
        tar.addfile(info, io.BytesIO())
    data = buffer.getvalue()
    with pytest.raises(Invalid, match="plain files below its folder"):
        package.unpack(data, hashlib.sha256(data).hexdigest(), tmp_path / "sources")
    assert list((tmp_path / "sources").iterdir()) == []
    assert not (tmp_path / "outside.py").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = 1\n", "has not one service but: none"),
        ("from upcall.service import Service\nclass A(Service): ...\nclass B(Service): ...\n", "one service but: A, B"),
    ],
)
def test_a_file_without_just_one_service_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(Invalid, match=complaint):
        package.build(file)


def test_a_base_class_beside_its_service_is_a_step_to_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from upcall.service import Service\nclass A(Service): ...\nclass B(A): ...\n")
    assert package.build(file).package.name == "b"


def test_what_is_not_there_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="no file or folder"):
        package.build(tmp_path / "nothing.py")
    monkeypatch.setattr(unpacking, "SOURCE_BYTES_MAX", 10)
    with pytest.raises(TooLarge, match="artifacts"):
        package.build(EXAMPLES / "hello.py")


def test_a_module_that_fails_to_import_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("raise RuntimeError('no')\n")
    before = set(sys.modules)
    with pytest.raises(RuntimeError):
        package.build(file)
    assert not {name for name in set(sys.modules) - before if name.startswith("upcall_source")}


# -- the example ----------------------------------------------------------------------------------------------------


def test_the_hello_service_is_under_30_lines_and_is_one() -> None:
    assert len((EXAMPLES / "hello.py").read_text().splitlines()) < 30
    built = package.build(EXAMPLES / "hello.py")
    hello = package.load(built.package.entry, EXAMPLES, built.package.source)
    outcome = Scenario(hello, {"count": 2}, operations=[operation("stop", "web-0")]).run()
    assert outcome.started == ["web-0", "web-1"]
    assert outcome.answer.verdict == "accept"
    alone = Scenario(hello, {"count": 2}, members={"web-1": "ended"}, operations=[operation("stop", "web-0")]).run()
    assert (alone.answer.verdict, alone.answer.reason) == ("defer", "nobody else answers")


def test_importing_the_sdk_pulls_in_no_heavy_dependency() -> None:
    code = "import sys, upcall.service; print([m for m in ('aiohttp', 'fastapi', 'rich', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
