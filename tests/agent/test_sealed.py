"""Artifacts of an agent in an image: by the image's index, and by no name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from upcall.agent.sealed import SealedArtifacts
from upcall.agent.sources import Report
from upcall.artifacts.errors import ArtifactError
from upcall.artifacts.sealed import FORMAT, Index, Placed, render
from upcall.protocol.declaration import Artifact

JAVA = Artifact(name="java", kind="java", lock="a" * 64)
PLACED = Placed(kind="java", lock=JAVA.lock, path="/upcall/artifacts/java-aa", properties={"home": "/upcall/artifacts"})


class Elsewhere:
    """Another source, which remembers that it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def realise(self, artifacts: Sequence[Artifact], report: Report) -> dict[str, tuple[str, Mapping[str, str]]]:
        self.asked += [artifact.name for artifact in artifacts]
        return {artifact.name: ("/elsewhere", {}) for artifact in artifacts}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    path = tmp_path / "artifacts.json"
    path.write_bytes(render(Index(format=FORMAT, packages=("log 4.1",), artifacts=(PLACED,))))
    return path


def unsaid(text: str, done: int, total: int) -> None:
    raise AssertionError(text)


async def test_what_is_in_the_image_is_not_fetched(index: Path) -> None:
    other = Elsewhere()
    found = await SealedArtifacts(other, index).realise([JAVA], unsaid)
    assert found == {"java": (PLACED.path, PLACED.properties)}
    assert other.asked == []


@pytest.mark.parametrize(
    "wanted",
    [
        [Artifact(name="java", kind="java", lock="b" * 64)],
        [Artifact(name="java", kind="wheels", lock=JAVA.lock)],
        [JAVA, Artifact(name="jars", kind="maven", lock="c" * 64)],
    ],
)
async def test_an_image_of_other_locks_is_not_taken_for_the_right_one(index: Path, wanted: list[Artifact]) -> None:
    said: list[str] = []
    other = Elsewhere()
    found = await SealedArtifacts(other, index).realise(wanted, lambda text, done, total: said.append(text))
    assert {folder for folder, _ in found.values()} == {"/elsewhere"}
    assert other.asked == [artifact.name for artifact in wanted], "all of them: they name each other's places"
    assert "log 4.1" in said[0]


async def test_what_a_package_calls_it_does_not_matter(index: Path) -> None:
    other_name = Artifact(name="runtime", kind=JAVA.kind, lock=JAVA.lock)
    found = await SealedArtifacts(Elsewhere(), index).realise([other_name], unsaid)
    assert found == {"runtime": (PLACED.path, PLACED.properties)}


async def test_without_an_index_it_is_no_image_of_ours(tmp_path: Path) -> None:
    other = Elsewhere()
    await SealedArtifacts(other, tmp_path / "nothing.json").realise([JAVA], unsaid)
    assert other.asked == ["java"]


@pytest.mark.parametrize("text", ["{", "{}", '{"format": 99, "packages": [], "artifacts": []}'])
def test_an_index_that_cannot_be_read_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "artifacts.json").write_text(text)
    with pytest.raises(ArtifactError, match="the image's index"):
        SealedArtifacts(Elsewhere(), tmp_path / "artifacts.json")
