"""`upcall image build`, as a person types it."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_images import python_base
from registry_server import RegistryServer, serving
from typer.testing import CliRunner, Result

from upcall.artifacts.errors import Cancelled
from upcall.artifacts.progress import Progress
from upcall.cli.fetch import shown
from upcall.cli.main import application
from upcall.cli.session import Session

Run = Callable[..., Result]

PACKAGE = '''
from upcall.service.service import Service


class Log(Service):
    """Keeps what it is given."""

    package = "log"
    version = "4.1"
'''


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libraries: Path) -> Run:
    monkeypatch.setenv("UPCALL_CACHE", str(tmp_path / "a cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "log.py").write_text(PACKAGE)
    python_base(tmp_path / "base")

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(application("image"), ["image", "build", *words])

    return invoke


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with serving() as served:
        yield served


def test_it_is_said_what_was_made(run: Run, tmp_path: Path) -> None:
    said = run(
        str(tmp_path / "log.py"), "--base", str(tmp_path / "base"), "--archive", str(tmp_path / "a.tar"), "-o", "json"
    )
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert told["name"] == "localhost/upcall/log:4.1"
    assert told["digest"].startswith("sha256:")
    assert told["archive"] == str(tmp_path / "a.tar")
    assert (tmp_path / "a.tar").is_file()
    assert [layer["what"] for layer in told["platforms"][0]["layers"]] == [
        "base", "libraries of upcall", "upcall 0.1.0", "index of log 4.1",
    ]  # fmt: skip


def test_without_a_place_for_it_the_digest_is_said(run: Run, tmp_path: Path) -> None:
    said = run(str(tmp_path / "log.py"), "--base", str(tmp_path / "base"))
    assert said.exit_code == 0, said.output
    assert "sha256:" in said.stdout


def test_it_is_pushed_for_two_platforms(run: Run, tmp_path: Path, server: RegistryServer) -> None:
    words = [str(tmp_path / "log.py"), "--base", str(tmp_path / "base"), "--platform", "amd64,arm64"]
    said = run(*words, "--push", f"{server.address}/data/log:4.1", "-o", "json")
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert told["pushed"] == f"{server.address}/data/log:4.1@{told['digest']}"
    assert [one["platform"] for one in told["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert "4.1" in server.manifests
    assert told["sent_mib"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such-package"], "unknown package 'no-such-package'"),
        (["{log}", "--platform", "linux/s390x"], "no image is made for the platform 'linux/s390x'"),
        (["{log}", "--push", "log:1"], "'log:1' is no name of an image in a registry: it names no host"),
        (["{log}", "--push", "r.example/log@sha256:" + "0" * 64], "names a digest, which only the image itself has"),
        (["{log}", "--base", "{nowhere}"], "nowhere is no image layout"),
        (["{log}", "--base", "{base}", "--archive", "{log}/a.tar"], "a.tar cannot be written: Not a directory"),
        (["{log}", "--base", "{base}", "--layout", "{base}"], "base is there already"),
    ],
)
def test_one_clear_error(run: Run, tmp_path: Path, words: list[str], said: str) -> None:
    known = {name: str(tmp_path / path) for name, path in [("log", "log.py"), ("base", "base"), ("nowhere", "nowhere")]}
    ended = run(*(word.format(**known) for word in words))
    assert ended.exit_code == 1
    assert said in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.output


def test_nothing_is_left_beside_what_was_made(run: Run, tmp_path: Path) -> None:
    run(str(tmp_path / "log.py"), "--base", str(tmp_path / "base"))
    run(str(tmp_path / "log.py"), "--base", str(tmp_path / "base"), "--layout", str(tmp_path / "base"))
    assert list((tmp_path / "a cache" / "partial").iterdir()) == []


def test_what_is_interrupted_stops_at_its_next_word() -> None:
    stopped = threading.Event()

    def work(report: Callable[[Progress], None], stop: threading.Event) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            while True:
                report(Progress("log", "going on", 0, 0, 0.0))
                time.sleep(0.01)
        except Cancelled:
            stopped.set()
            raise

    with pytest.raises(KeyboardInterrupt):
        shown(Session(), "log", work)
    assert stopped.is_set()
