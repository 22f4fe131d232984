"""Class archives: trained once, found again, done without. Java is played by a small program."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from upcall.artifacts import kinds
from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError
from upcall.artifacts.fetch import fetch
from upcall.artifacts.kinds import Job, Realised
from upcall.artifacts.lock import digest_of
from upcall.protocol.declaration import Artifact, Check, Declaration, File, Port, Volume
from upcall.protocol.training import Training, render_training

JAVA = """\
import pathlib, signal, sys, time
flags = pathlib.Path(sys.argv[1].removeprefix("@")).read_text()
words = [line.strip().strip('"') for line in flags.splitlines()]
given = dict(word.split("=", 1) for word in words if "=" in word)
if "-Xshare:dump" in words:
    assert not any(word.startswith("-D") for word in sys.argv), "what a property starts is in no archive"
    listed = pathlib.Path(given["-XX:SharedClassListFile"]).read_text()
    pathlib.Path(given["-XX:SharedArchiveFile"]).write_text("archive of " + listed)
    sys.exit(0)
made = [given[flag] for flag in ("-XX:ArchiveClassesAtExit", "-XX:DumpLoadedClassList") if flag in given]
def end(*_):
    for path in made:
        pathlib.Path(path).write_text("classes of " + pathlib.Path("settings").read_text())
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
mode = sys.argv[2]
if mode == "crash":
    sys.exit("it went wrong")
if mode == "prepare":
    pathlib.Path(sys.argv[3], "prepared").touch()
    sys.exit(0)
assert pathlib.Path(sys.argv[3], "prepared").exists()
print("ready now", flush=True)
while True:
    time.sleep(0.05)
"""


class Played:
    """A runtime whose ``java`` is the program above."""

    needs_siblings = False

    def realise(self, job: Job) -> Realised:
        path = job.cache.root / "java.py"
        path.write_text(JAVA)
        return Realised(job.cache.root, {"java": str(path), "python": sys.executable})


@pytest.fixture(autouse=True)
def played_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(kinds._kinds, "played", Played())
    return iter(())


def training(mode: str = "serve", *, kind: Literal["list", "cds", "aot"] = "cds") -> Training:
    start = ("{{artifact.java.python}}", "{{artifact.java.java}}", "{{artifact.archive.options}}")
    task = Declaration(
        command=(*start, mode, "{{volume.data}}", "-Dmanaged=yes"),
        prepare=((*start, "prepare", "{{volume.data}}"),),
        files=(File(path="settings", text="{{address}}:{{port.client}} {{address.first}}"),),
        ports=(Port(name="client", number=9092),),
        volumes=(Volume(name="data", size_mib=1),),
        ready=Check(log="ready now"),
    )
    return Training(name="archive", mode=kind, task=task, uses=("java",), values={"address.first": "{{address}}"})


def request(wish: Training, version: bytes = b"java 1") -> tuple[list[Artifact], dict[str, bytes]]:
    text = render_training(wish)
    blobs = {digest_of(version): version, digest_of(text): text}
    artifacts = [
        Artifact(name="archive", kind="archive", lock=digest_of(text)),
        Artifact(name="java", kind="played", lock=digest_of(version)),
    ]
    return artifacts, blobs


def test_without_an_archive_the_options_are_an_empty_file(cache: Cache) -> None:
    artifacts, blobs = request(training())
    options = fetch(artifacts, cache, blobs.__getitem__)["archive"].properties["options"]
    assert Path(options.removeprefix("@")).read_text() == ""


def test_trained_once_then_found_without_training(cache: Cache) -> None:
    artifacts, blobs = request(training())
    made = fetch(artifacts, cache, blobs.__getitem__, train=True)["archive"]
    archive = made.path / "archive"
    address = archive.read_text().removeprefix("classes of ").partition(":")[0]
    assert archive.read_text() == f"classes of {address}:9092 {address}", "templates are filled in, as at a launch"
    assert address.startswith("127.")
    options = Path(made.properties["options"].removeprefix("@")).read_text()
    assert options == f'"-XX:SharedArchiveFile={archive}"\n', "quoted: the cache has a space in its path"
    assert fetch(artifacts, cache, blobs.__getitem__)["archive"] == made
    assert list((cache.root / "partial").iterdir()) == []


def test_a_runtime_that_lists_its_classes_is_asked_for_the_archive_of_them_afterwards(cache: Cache) -> None:
    artifacts, blobs = request(training(kind="list"))
    made = fetch(artifacts, cache, blobs.__getitem__, train=True)["archive"]
    assert (made.path / "archive").read_text().startswith("archive of classes of 127.")
    options = Path(made.properties["options"].removeprefix("@")).read_text()
    assert options == f'"-XX:SharedArchiveFile={made.path / "archive"}"\n'


def test_another_runtime_is_another_archive(cache: Cache) -> None:
    artifacts, blobs = request(training())
    fetch(artifacts, cache, blobs.__getitem__, train=True)
    artifacts, blobs = request(training(), version=b"java 2")
    assert fetch(artifacts, cache, blobs.__getitem__)["archive"].properties["flags"] == ""


def test_without_an_archive_a_task_is_not_shown_the_cache_as_a_whole(cache: Cache) -> None:
    artifacts, blobs = request(training())
    shown = fetch(artifacts, cache, blobs.__getitem__)["archive"]
    options = Path(shown.properties["options"].removeprefix("@"))
    assert options.read_text() == ""
    assert [each.name for each in shown.path.iterdir()] == [options.name]


def test_a_training_that_fails_costs_speed_and_says_why(cache: Cache) -> None:
    artifacts, blobs = request(training("crash"))
    texts: list[str] = []
    realised = fetch(artifacts, cache, blobs.__getitem__, lambda moment: texts.append(moment.text), train=True)
    properties = realised["archive"].properties
    assert properties["flags"] == ""
    assert "it went wrong" in properties["problem"]
    assert any("it went wrong" in text for text in texts)
    assert not [path for path in (cache.root / "trees").iterdir() if path.name.startswith("archive-")]


def test_what_it_is_made_from_has_to_be_asked_for_too(cache: Cache) -> None:
    artifacts, blobs = request(training())
    with pytest.raises(ArtifactError, match="java"):
        fetch(artifacts[:1], cache, blobs.__getitem__)
