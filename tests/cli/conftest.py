"""A cluster that is only pretended: a data folder, and a fake master behind its address."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parents[1]))

from fake_master import TOKEN, FakeMaster
from upcall.cli.main import application

# A shell starts what it puts in the background with interrupts ignored, and children inherit that: tests that
# interrupt what they start would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., Result]


@pytest.fixture
def master() -> Iterator[FakeMaster]:
    fake = FakeMaster().start()
    yield fake
    fake.stop()


@pytest.fixture
def folder(master: FakeMaster, tmp_path: Path) -> Path:
    master.serves(tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "operator.token").write_text(TOKEN)
    (tmp_path / "secrets" / "operator.token").chmod(0o600)
    record = {
        "version": 1,
        "cluster": "upcall-test",
        "prefix": "127.77.7",
        "url": master.url,
        "page_url": "http://127.77.7.1:5080",
    }
    (tmp_path / "cluster.json").write_text(json.dumps(record))
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Runs a command line on the pretended cluster."""

    def invoke(line: str, *more: str, input: str | None = None) -> Result:
        words = [*line.split(), *more]
        return CliRunner().invoke(application(words[0]), [*words, "--data", str(folder)], input=input)

    return invoke
