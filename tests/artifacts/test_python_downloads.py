"""Python distributions from an index: located by the real ``uv``, fetched by us, gone on with inside a file."""

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from file_server import FileServer, await_that
from made_distributions import BUILDER, locked, source_of_made, wheel_of

from upcall.artifacts.cache import Cache
from upcall.artifacts.connection import CHUNK_BYTES
from upcall.artifacts.distributions import index_passwords, preference, with_password
from upcall.artifacts.errors import Mismatch, NotCached
from upcall.artifacts.fetch import fetch
from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of, render_lock
from upcall.artifacts.progress import Progress
from upcall.protocol.declaration import Artifact

BIG = random.Random(7).randbytes(1_000_000)
WHEEL = wheel_of("thing", {"thing/__init__.py": b"ANSWER = 42\n", "thing/data.bin": BIG})
SOURCE = source_of_made(BIG)
TOOL = wheel_of("builder", {"builder.py": BUILDER.encode()})
THING = locked("thing-1.0-py3-none-any.whl", WHEEL)
MADE = locked("made-1.0.tar.gz", SOURCE)
TOOLS = locked("builder-1.0-py3-none-any.whl", TOOL, "build")
CONTENT = {THING.name: WHEEL, MADE.name: SOURCE, TOOLS.name: TOOL}
MIDDLE = 600_000


class Index:
    """A simple index on loopback."""

    def __init__(self, server: FileServer, user: str = "") -> None:
        self.server = server
        self.url = server.url("/simple").replace("http://", f"http://{user}@" if user else "http://")
        for file in (THING, MADE, TOOLS):
            name = file.source.partition("==")[0]
            link = f'<a href="/files/{file.name}#sha256={file.sha256}">{file.name}</a>'
            server.files[f"/simple/{name}/"] = link.encode()
            server.files[f"/files/{file.name}"] = CONTENT[file.name]

    def about(self, file: LockedFile) -> list[int | None]:
        """Where the requests for this file began."""
        return [one.first for one in self.server.about(f"/files/{file.name}")]


@pytest.fixture
def index(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Index:
    for name in ("UV_FIND_LINKS", "PIP_FIND_LINKS", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    made = Index(server)
    monkeypatch.setenv("UV_DEFAULT_INDEX", made.url)
    return made


def wish(*files: LockedFile, kind: str = "wheels", kept: tuple[LockedFile, ...] = ()) -> tuple[Artifact, bytes]:
    lock = Lock(format=FORMAT, kind=kind, name="thing", version="1.0", files=files, kept=kept)
    data = render_lock(lock)
    return Artifact(name="thing", kind=kind, lock=digest_of(data)), data


def realise(cache: Cache, *files: LockedFile, kind: str = "wheels", kept: tuple[LockedFile, ...] = ()) -> Path:
    artifact, data = wish(*files, kind=kind, kept=kept)
    return fetch([artifact], cache, lambda _digest: data)["thing"].path


def left_in_files(cache: Cache) -> list[str]:
    return [path.name for path in (cache.root / "files").glob("*/*")]


def test_a_wheel_comes_from_the_index_and_its_file_does_not_stay(cache: Cache, index: Index) -> None:
    tree = realise(cache, THING)
    assert (tree / "thing" / "data.bin").read_bytes() == BIG
    assert index.about(THING) == [None], "once, by us"
    assert left_in_files(cache) == [], "the tree has it all"
    assert list((cache.root / "partial").iterdir()) == []
    assert not list((cache.root / "uv").glob("archive-v0/*")), "nor in uv's cache"
    assert (tree / "thing" / "data.bin").stat().st_nlink == 1


def test_the_last_word_of_progress_tells_what_was_fetched(cache: Cache, index: Index) -> None:
    artifact, data = wish(THING, kind="environment")
    cache.part(THING).write_bytes(WHEEL[:MIDDLE])
    seen: list[Progress] = []
    fetch([artifact], cache, lambda _digest: data, seen.append)
    assert seen[-1].finished
    assert seen[-1].fetched_bytes == THING.size - MIDDLE, "not what was here, nor what was unpacked"
    fetch([artifact], cache, lambda _digest: data, seen.append)
    assert seen[-1].fetched_bytes == 0


def test_a_wheel_of_which_one_file_is_kept_stays_for_another_lock(cache: Cache, index: Index) -> None:
    for name, data in (("thing/data.bin", BIG), ("thing/__init__.py", b"ANSWER = 42\n")):
        kept = LockedFile(name=name, sha256=digest_of(data), size=len(data))
        assert (realise(cache, THING, kept=(kept,)) / name).read_bytes() == data
    assert index.about(THING) == [None]
    assert left_in_files(cache) == [THING.sha256]


def _realise(root: str, files: tuple[LockedFile, ...], kind: str) -> None:
    realise(Cache(Path(root)), *files, kind=kind)


@pytest.mark.parametrize(
    ("file", "files", "kind"),
    [(THING, (THING,), "wheels"), (THING, (THING,), "environment"), (MADE, (MADE, TOOLS), "environment")],
    ids=["wheel", "environment", "source"],
)
def test_after_sigkill_in_the_middle_of_a_file_only_the_rest_is_asked_for(
    cache: Cache, index: Index, file: LockedFile, files: tuple[LockedFile, ...], kind: str
) -> None:
    server = index.server
    server.hold = MIDDLE
    process = multiprocessing.get_context("spawn").Process(target=_realise, args=(str(cache.root), files, kind))
    process.start()
    await_that(lambda: cache.part_bytes(file) >= MIDDLE - 2 * CHUNK_BYTES)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    there = cache.part_bytes(file)
    server.hold = None
    server.let_go.set()
    tree = realise(cache, *files, kind=kind)
    name = "made" if file is MADE else "thing"
    found = next(tree.rglob(f"{name}/data.bin"))
    assert found.read_bytes() == BIG
    assert index.about(file) == [None, there]
    assert server.about(f"/files/{file.name}")[1].sent == file.size - there
    assert left_in_files(cache) == []
    assert list((cache.root / "partial").iterdir()) == []


def test_a_source_is_built_by_the_locked_tool(cache: Cache, index: Index) -> None:
    tree = realise(cache, MADE, TOOLS)
    assert (tree / "made" / "__init__.py").read_text() == "BUILT_BY = 'builder'\n"
    assert index.about(MADE) == [None]
    assert index.about(TOOLS) == [None]
    assert not (tree / "builder.py").exists(), "what builds it is not part of it"


def test_a_tool_that_is_not_the_locked_one_is_refused(cache: Cache, index: Index) -> None:
    other = wheel_of("builder", {"builder.py": b"raise SystemExit('not this one')\n"})
    index.server.files[f"/files/{TOOLS.name}"] = other
    with pytest.raises(Mismatch, match="builder"):
        realise(cache, MADE, TOOLS)
    assert list((cache.root / "trees").iterdir()) == []


def test_wrong_bytes_of_the_index_are_refused_and_not_kept(cache: Cache, index: Index) -> None:
    index.server.files[f"/files/{THING.name}"] = WHEEL[:-1] + b"?"
    with pytest.raises(Mismatch, match=r"thing-1\.0"):
        realise(cache, THING)
    assert left_in_files(cache) == []
    assert list((cache.root / "partial").iterdir()) == []


def test_fetched_but_not_installed_is_enough_with_no_network(cache: Cache, index: Index) -> None:
    path = cache.root / "fetched"
    for file in (THING, MADE, TOOLS):
        path.write_bytes(CONTENT[file.name])
        cache.put(path, file, "thing")
    index.server.files.clear()
    tree = realise(Cache(cache.root, offline=True), THING, MADE, TOOLS)
    assert (tree / "thing" / "data.bin").read_bytes() == BIG
    assert (tree / "made" / "data.bin").read_bytes() == BIG
    assert index.server.asked == []


def test_with_no_network_and_nothing_fetched_the_error_says_what_helps(cache: Cache, index: Index) -> None:
    with pytest.raises(NotCached, match="upcall fetch"):
        realise(Cache(cache.root, offline=True), THING)
    assert index.server.asked == []


def only_for_uv(file: LockedFile, status: int) -> Callable[[str, str], int]:
    return lambda path, agent: 0 if agent.startswith("uv/") or path != f"/files/{file.name}" else status


@pytest.mark.parametrize("status", [403, 503], ids=["refused", "never reached"])
def test_what_only_uv_may_have_uv_gets(cache: Cache, index: Index, status: int) -> None:
    """An index that wants something else than we know: the file comes all the same, by uv's own download."""
    index.server.refuses = only_for_uv(THING, status)
    tree = realise(cache, THING, MADE, TOOLS)
    assert (tree / "thing" / "data.bin").read_bytes() == BIG
    assert (tree / "made" / "data.bin").read_bytes() == BIG
    assert index.about(MADE) == [None], "the other one came by us"


def test_a_source_whose_tool_only_uv_may_have_comes_by_uv(cache: Cache, index: Index) -> None:
    index.server.refuses = only_for_uv(TOOLS, 403)
    assert (realise(cache, MADE, TOOLS) / "made" / "data.bin").read_bytes() == BIG


def test_a_line_that_broke_for_good_in_the_middle_is_not_begun_anew_by_uv(cache: Cache, index: Index) -> None:
    index.server.cuts = [MIDDLE, *[0] * 100]
    with pytest.raises(NotCached, match="thing"):
        realise(cache, THING)
    assert None not in index.about(THING)[1:]
    assert cache.part_bytes(THING) >= MIDDLE - CHUNK_BYTES
    index.server.cuts.clear()
    index.server.asked.clear()
    there = cache.part_bytes(THING)
    realise(cache, THING)
    assert index.about(THING) == [there]


def test_the_password_in_an_index_address_is_used_for_its_files(
    cache: Cache, server: FileServer, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.password = "somebody:secret"
    monkeypatch.setenv("UV_DEFAULT_INDEX", Index(server, "somebody:secret").url)
    server.cuts = [MIDDLE]
    assert (realise(cache, THING) / "thing" / "data.bin").read_bytes() == BIG
    first, second = index.about(THING)
    assert first is None
    assert second is not None, "by us, because it goes on"


def test_passwords_stand_for_their_own_host_only() -> None:
    passwords = index_passwords(
        {
            "UV_INDEX": "own=https://me:one@a.example:8443/simple https://b.example/simple",
            "UV_EXTRA_INDEX_URL": "https://you:two@c.example/simple",
        }
    )
    assert with_password("https://a.example:8443/x.whl", passwords) == "https://me:one@a.example:8443/x.whl"
    assert with_password("https://c.example/x.whl?y=1", passwords) == "https://you:two@c.example/x.whl?y=1"
    for other in ("https://a.example/x.whl", "https://b.example/x.whl"):
        assert with_password(other, passwords) == other


def test_among_wheels_that_fit_the_most_special_one_is_taken() -> None:
    names = [
        "a-1-py3-none-any.whl",
        "a-1-py3-none-manylinux2014_x86_64.whl",
        "a-1-cp39-abi3-manylinux_2_28_x86_64.whl",
        "a-1-cp311-abi3-manylinux_2_17_x86_64.whl",
        "a-1-cp311-cp311-manylinux2014_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl",
    ]
    ranks = [preference(name) for name in names]
    assert ranks == sorted(set(ranks))
