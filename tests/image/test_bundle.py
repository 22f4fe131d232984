"""A bundle arrives whole, or it is said what of it did not."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_images import PYTHON, image_of, python_base
from registry_server import RegistryServer, serving
from test_command import PACKAGE
from typer.testing import CliRunner, Result

from upcall.cli.main import application
from upcall.image import bundle
from upcall.image.building import Image
from upcall.image.errors import ImageError
from upcall.image.layers import Data
from upcall.kubernetes.installing import chart

Run = Callable[..., Result]


@pytest.fixture
def images(tmp_path: Path) -> dict[tuple[str, str], tuple[str, Image]]:
    log = image_of(tmp_path / "log", PYTHON, {"log": Data(b"l" * 3000)})
    table = image_of(tmp_path / "table", PYTHON, {"table": Data(b"t" * 3000)}, architectures=("amd64", "arm64"))
    return {
        ("table", "5"): ("localhost/upcall/table:5", table),
        ("log", "4.1"): ("localhost/upcall/log:4.1", log),
    }


@pytest.fixture
def made(tmp_path: Path, images: dict[tuple[str, str], tuple[str, Image]]) -> Path:
    bundle.write(tmp_path / "out", images)
    return tmp_path / "out"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RegistryServer]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with serving() as served:
        yield served


def run(*words: str) -> Result:
    return CliRunner().invoke(application("bundle"), ["bundle", *words])


def test_it_holds_each_image_and_shared_layers_once(
    made: Path, images: dict[tuple[str, str], tuple[str, Image]]
) -> None:
    told = bundle.verify(made)
    assert [(one.package, one.version) for one in told.contents.images] == [("log", "4.1"), ("table", "5")]
    read = bundle.images(made, told.contents)
    assert {name: image.digest for name, image in read.items()} == {
        name: image.digest for name, image in images.values()
    }
    layers = {digest for _, image in images.values() for digest in image.layers}
    documents = {document.digest for _, image in images.values() for document in image.documents}
    assert len(list((made / "images" / "blobs" / "sha256").iterdir())) == len(layers | documents)


def test_the_sums_are_those_of_the_common_tool(made: Path) -> None:
    said = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=made, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "")


def test_the_same_images_are_the_same_bundle(
    made: Path, tmp_path: Path, images: dict[tuple[str, str], tuple[str, Image]]
) -> None:
    bundle.write(tmp_path / "again", dict(reversed(images.items())))
    assert (made / "SHA256SUMS").read_bytes() == (tmp_path / "again" / "SHA256SUMS").read_bytes()


def a_blob(folder: Path) -> Path:
    return max((folder / "images" / "blobs" / "sha256").iterdir())


def change(folder: Path) -> None:
    a_blob(folder).write_bytes(b"another")


def add(folder: Path) -> None:
    (folder / "images" / "more").write_text("")


def lose(folder: Path) -> None:
    a_blob(folder).unlink()


def forget(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()


def garble(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text("these are no sums\n")


def outdo(folder: Path) -> None:
    """Of a format to come, with a sum that is right."""
    data = json.dumps({"format": 99, "upcall": "9", "images": []}).encode()
    (folder / "bundle.json").write_bytes(data)
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    lines = [f"{hashlib.sha256(data).hexdigest()}  bundle.json" if "bundle.json" in one else one for one in lines]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (change, "a file of the bundle was changed"),
        (add, "a file is in the bundle that was not made with it"),
        (lose, "the bundle lacks 1 files"),
        (forget, "is no bundle"),
        (garble, "sums cannot be read"),
        (outdo, "has format 99"),
    ],
)
def test_what_happened_to_it_on_the_way_is_said(
    made: Path, harm: Callable[[Path], None], said: str, server: RegistryServer
) -> None:
    harm(made)
    with pytest.raises(ImageError, match=said):
        bundle.verify(made)
    assert run("verify", str(made)).exit_code == 1
    assert run("push", str(made), f"{server.address}/data").exit_code == 1
    assert server.asked == [], "nothing of it is used"


def test_it_is_sent_to_the_registry_there(made: Path, server: RegistryServer) -> None:
    said = run("push", str(made), f"{server.address}/data", "-o", "json")
    assert said.exit_code == 0, said.output
    assert [one["name"] for one in json.loads(said.stdout)] == [
        f"{server.address}/data/log:4.1", f"{server.address}/data/table:5",
    ]  # fmt: skip
    assert {"4.1", "5"} <= set(server.manifests)


def test_it_is_made_in_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libraries: Path) -> None:
    monkeypatch.setenv("UPCALL_CACHE", str(tmp_path / "a cache"))
    (tmp_path / "log.py").write_text(PACKAGE)
    python_base(tmp_path / "base")
    words = [str(tmp_path / "log.py"), "--to", str(tmp_path / "out"), "--base", str(tmp_path / "base"), "-o", "json"]
    said = run(*words)
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert [(one["package"], one["version"]) for one in told["images"]] == [("log", "4.1")]
    assert run("verify", told["folder"]).exit_code == 0
    assert (tmp_path / "out" / "chart" / "Chart.yaml").read_text() == chart.files()["Chart.yaml"]
    assert "  chart/Chart.yaml\n" in (tmp_path / "out" / "SHA256SUMS").read_text()
    again = run(*words)
    assert again.exit_code == 1
    assert "is there already" in again.stderr
