"""The image of a real package, built and run: without a container runtime, in a root of its own."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import msgspec
import pytest
from made_images import unpack

import upcall
from upcall.artifacts import sealed
from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError
from upcall.cli.fetch import artifacts_of, find
from upcall.image import placing, standing
from upcall.image.building import Image, Package, build
from upcall.image.target import this
from upcall.substrate.kubernetes.manifest import USER

pytestmark = pytest.mark.real

PYTHON = "/upcall/python/bin/python"
DESKTOP = re.compile(r"libX|libasound|libfreetype")
"""What a Java needs for windows, fonts and sound, which nobody has in a pod."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    cache = Cache()
    found = [find(name) for name in ("kafka", "ingest")]
    packages = [
        Package(one.package.name, one.package.version, artifacts_of(one), one.blobs, one.libraries) for one in found
    ]
    scratch = tmp_path_factory.mktemp("image")
    try:
        return build(packages, [this()], standing.standing("", cache), cache, scratch / "one")
    except ArtifactError as error:
        if "no longer" in str(error) or "there is no apt-get" in str(error):
            pytest.skip(f"its base cannot be had here any more: {error}")
        raise


@pytest.fixture(scope="module")
def root(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All layers, one above the other."""
    folder = tmp_path_factory.mktemp("root")
    for layer in image.images[0].layers:
        unpack(layer.blob, folder)
    return folder


def inside(root: Path, *command: str, code: int = 0) -> str:
    """Run it as if in a container: this is its whole file system, and it is nobody in particular there."""
    words = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", f"--root={root}", "--wd=/"]
    words.append("--mount-proc")  # A Java finds its own place by it.
    if shutil.which("unshare") is None or subprocess.run([*words, "/bin/true"], capture_output=True).returncode:
        pytest.skip("a root of one's own cannot be had here (unshare)")
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run([*words, *command], capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_our_code_and_all_that_it_imports_run_in_it(root: Path) -> None:
    modules = (
        "upcall, upcall.agent.agent, upcall.master.app, upcall.kubernetes.machines, ssl, sqlite3, lzma, bz2, ctypes"
    )
    said = inside(root, PYTHON, "-B", "-c", f"import {modules}; print(upcall.__version__, upcall.__file__)")
    assert said.split() == [upcall.__version__, "/upcall/ours/upcall/__init__.py"]


def test_a_task_in_our_python_finds_what_its_package_imports(root: Path) -> None:
    modules = "upcall.fastdata.ingest, upcall.fastdata.aircraft, confluent_kafka"
    assert inside(root, PYTHON, "-B", "-c", f"import {modules}; print('all')").split() == ["all"]
    nothing = "import importlib.util; print(importlib.util.find_spec('msgspec'))"
    assert inside(root, "python3.11", "-B", "-c", nothing).split() == ["None"], "a Python of a task's own is left alone"


def test_who_runs_a_pod_has_a_name(root: Path) -> None:
    """Hadoop's login, in Spark, ends where the user has none."""
    assert USER == placing.POD_USER
    said = inside(root, PYTHON, "-c", f"import pwd; print(pwd.getpwuid({USER}).pw_name, pwd.getpwuid(65532).pw_name)")
    assert said.split() == ["pod", "upcall"]


def test_its_entry_point_is_our_part_in_a_pod(root: Path, image: Image) -> None:
    program = json.loads(image.images[0].config.data)["config"]["Entrypoint"]
    assert "UPCALL_TASK is not set" in inside(root, *program, code=2)


def test_with_one_word_it_is_a_control_plane(root: Path, image: Image) -> None:
    program = json.loads(image.images[0].config.data)["config"]["Entrypoint"]
    assert "UPCALL_NAMESPACE is not set" in inside(root, *program, "control-plane", code=2)


def test_what_the_package_launches_is_found_by_its_locks(root: Path) -> None:
    index = sealed.index_of(root / "upcall" / "artifacts.json")
    assert index is not None
    artifacts = artifacts_of(find("kafka"))
    found = index.realised(artifacts)
    assert found is not None
    assert found.keys() == {artifact.name for artifact in artifacts}


def test_its_java_runs_and_its_jars_are_where_the_index_says(root: Path) -> None:
    index = msgspec.json.decode((root / "upcall" / "artifacts.json").read_bytes(), type=sealed.Index)
    java = next(one for one in index.artifacts if one.kind == "java").properties["java"]
    assert re.search(r"(?m)^OpenJDK 64-Bit Server VM", inside(root, java, "-version"))
    jars = max((one.properties.get("classpath", "") for one in index.artifacts), key=len).split(":")
    assert len(jars) > 50
    assert all((root / jar.lstrip("/")).is_file() for jar in jars)
    said = inside(root, java, "-cp", ":".join(jars), "kafka.tools.StorageTool", "random-uuid")
    assert re.search(r"(?m)^[A-Za-z0-9_-]{22}$", said)


def test_every_library_that_a_program_in_it_needs_is_in_it(root: Path) -> None:
    """What is loaded only on some way through the code is missed by a run, so each file is asked."""
    programs = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and elf(path)]
    there = {path.name for path in root.rglob("*.so*")}
    missing = {}
    for path in programs:
        if lacks := {name for name in needed(path) - there if not DESKTOP.match(name)}:
            missing[str(path.relative_to(root))] = lacks
    assert missing == {}


def elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def needed(path: Path) -> set[str]:
    """The sonames that a program of 64 bits asks for, by its dynamic section."""
    data = path.read_bytes()
    at, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", data, at + number * size) for number in range(count)]
    dynamic = next((one for one in headers if one[0] == 2), None)
    if dynamic is None:
        return set()
    entries = [struct.unpack_from("<qQ", data, dynamic[2] + offset) for offset in range(0, dynamic[5], 16)]
    table = next((value for tag, value in entries if tag == 5), 0)
    for kind, _, offset, virtual, _, length, *_ in headers:
        if kind == 1 and virtual <= table < virtual + length:
            table = table - virtual + offset
    names = (table + value for tag, value in entries if tag == 1)
    return {data[name : data.index(b"\0", name)].decode() for name in names}
