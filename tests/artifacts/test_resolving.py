"""What a program requires, resolved once: by the real ``uv``, from a folder of wheels instead of a registry."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_distributions import wheel_of

from upcall.artifacts import resolving
from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError, NotResolved
from upcall.artifacts.fetch import fetch
from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of, parse_lock
from upcall.artifacts.progress import Meter
from upcall.protocol.declaration import Artifact
from upcall.protocol.errors import Invalid

BASE = Lock(
    format=FORMAT, kind="environment", name="base", version="1",
    files=(
        LockedFile(name="there-1.0-py3-none-any.whl", sha256="a" * 64, size=1, source="there==1.0"),
        LockedFile(name="slow-1.0.tar.gz", sha256="b" * 64, size=1, source="slow==1.0"),
    ),
)  # fmt: skip
Resolve = Callable[..., bytes | None]


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "links"
    folder.mkdir()
    for name in ("thing", "there"):
        made = wheel_of(name, {f"{name}/__init__.py": b"ANSWER = 42\n", f"{name}/data.bin": b"\0\1"})
        (folder / f"{name}-1.0-py3-none-any.whl").write_bytes(made)
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return folder


@pytest.fixture
def resolve(cache: Cache, links: Path, tmp_path: Path) -> Resolve:
    def do(text: str, *more: str) -> bytes | None:
        file = tmp_path / "requirements.txt"
        file.write_text(text)
        return resolving.libraries([file], more, BASE, cache, Meter("requirements"))

    return do


def test_what_is_there_anyway_is_not_fetched_again(resolve: Resolve) -> None:
    assert resolve("there\nslow\n") is None
    data = resolve("thing\nthere\n", "slow>=0.5")
    assert data is not None
    lock = parse_lock(data)
    assert [file.source for file in lock.files] == ["thing==1.0"]
    assert lock.kind == "libraries"


def test_the_same_wish_is_resolved_once_and_needs_no_network_after_that(
    resolve: Resolve, cache: Cache, links: Path
) -> None:
    first = resolve("thing\n")
    (links / "thing-1.0-py3-none-any.whl").unlink()
    cache.offline = True
    assert resolve("thing\n") == first
    with pytest.raises(NotResolved, match="network is switched off"):
        resolve("thing>=1.0\n")


def test_libraries_are_a_folder_and_an_archive_of_it(resolve: Resolve, cache: Cache) -> None:
    data = resolve("thing\n")
    assert data is not None
    artifact = Artifact(name="requirements", kind="libraries", lock=digest_of(data))
    found = fetch([artifact], cache, lambda _: data)["requirements"].properties
    assert (Path(found["site"]) / "thing" / "data.bin").read_bytes() == b"\0\1"
    with zipfile.ZipFile(found["archive"]) as packed:
        assert packed.read("thing/data.bin") == b"\0\1"
        assert not [name for name in packed.namelist() if "__pycache__" in name]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nobody-has-this\n", "nobody-has-this"),
        ("thing==9\n", r"thing==9"),
        ("thing = 1\n", "no such comparison operator"),
        (f"thing==1.0 --hash=sha256:{'7' * 64}\n", "no file of it has a hash that the requirements ask for"),
        ("-r elsewhere.txt\n", "elsewhere.txt: No such file"),
    ],
)
def test_what_cannot_be_met_is_one_error_in_a_line_and_nothing_is_kept(
    resolve: Resolve, cache: Cache, text: str, said: str
) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        resolve(text)
    assert "\n" not in caught.value.problem.message
    assert not list((cache.root / resolving.FOLDER).glob("*"))


def test_a_registry_that_cannot_be_reached_is_said_as_such(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.delenv("UV_NO_INDEX", raising=False)
    file = tmp_path / "requirements.txt"
    file.write_text("thing\n")
    with pytest.raises(NotResolved, match="the Python registry cannot be reached"):
        resolving.libraries([file], [], BASE, cache, Meter("requirements"))


def test_hashes_that_are_met_choose_the_files(resolve: Resolve, links: Path) -> None:
    digest = digest_of((links / "thing-1.0-py3-none-any.whl").read_bytes())
    data = resolve(f"Thing==1.0 \\\n    --hash=sha256:{digest} \\\n    --hash=sha256:{'7' * 64}\n")
    assert data is not None
    assert [file.sha256 for file in parse_lock(data).files] == [digest]


def test_jars_that_are_there_are_left_out_and_a_resolution_is_kept(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def resolver(wanted: Any, left_out: Any) -> list[LockedFile]:
        asked.append((wanted, left_out))
        return [
            LockedFile(name=f"{name}-1.jar", sha256="c" * 64, size=1, source=f"org.here:{name}:jar:1")
            for name in ("mine", "scala-library", "other")
        ]

    monkeypatch.setattr(resolving, "resolve_maven", resolver)
    for _ in range(2):
        data = resolving.jars(["org.here:mine:1"], ["x:*"], ["scala-library-2.13.16.jar"], cache, Meter("package"))
        assert [file.name for file in parse_lock(data).files] == ["mine-1.jar", "other-1.jar"]
    assert asked == [(["org.here:mine:1"], ["x:*"])]


@pytest.mark.parametrize("name", ["bad", "a:b", "a:b:c:d", "a: b:1", "a/b:c:1"])
def test_what_is_no_coordinate_is_said_before_anybody_is_asked(name: str, cache: Cache) -> None:
    with pytest.raises(Invalid, match="is no Maven package"):
        resolving.jars([name], [], [], cache, Meter("package"))


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (RuntimeError("Artifact a:b:jar:1 not found in remote repositories"), Invalid, "not found in remote"),
        (ConnectionError("no route"), ArtifactError, "the Maven repository cannot be reached"),
    ],
)
def test_what_the_resolver_says_is_one_error(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: type[Exception], said: str
) -> None:
    def resolver(*_: Any) -> list[LockedFile]:
        raise raised

    monkeypatch.setattr(resolving, "resolve_maven", resolver)
    with pytest.raises(kind, match=said):
        resolving.jars(["a:b:1"], [], [], cache, Meter("package"))
    assert not list(cache.root.glob(f"{resolving.FOLDER}/*"))
