"""The real page process over a fake master, and a browser that reaches loopback and nothing else."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser import ARGUMENTS, NoBrowser, chromium
from fake_master import TOKEN, FakeMaster
from served_page import START_TIMEOUT_S, Page, free_port


@pytest.fixture(scope="module")
def master() -> Iterator[FakeMaster]:
    fake = FakeMaster().start()
    yield fake
    fake.stop()


def _plug_in(folder: Path) -> Path:
    """An installed distribution with a tab of its own, as anybody's may have one."""
    (folder / "greetings_tab.py").write_text(
        "from nicegui import ui\n"
        "from upcall.web.tabs import Tab\n"
        "def build(context):\n"
        "    ui.label(f'greetings from {context.live.status.cluster}').classes('greetings')\n"
        "def register(tabs):\n"
        "    tabs.add(Tab(name='greetings', label='Greetings', packages=frozenset({'tabbed'}), build=build))\n"
    )
    (folder / "broken_tab.py").write_text("def register(tabs):\n    raise RuntimeError('it is broken')\n")
    info = folder / "greetings-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[upcall.web.tabs]\ngreetings = greetings_tab:register\nbroken = broken_tab:register\n"
    )
    return folder


@pytest.fixture(scope="module")
def page_url(master: FakeMaster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("data")
    url = f"http://127.0.0.1:{free_port()}"
    record = {"version": 1, "cluster": "upcall-test", "prefix": "127.0.0", "url": master.url, "page_url": url}
    (folder / "cluster.json").write_text(json.dumps(record))
    (folder / "secrets").mkdir()
    (folder / "secrets" / "page.token").write_text(TOKEN)
    log = (folder / "page.log").open("w")
    environment = {**os.environ, "PYTHONPATH": str(_plug_in(tmp_path_factory.mktemp("plug-in")))}
    process = subprocess.Popen(
        [sys.executable, "-m", "upcall.web", "--data", str(folder)], stdout=log, stderr=log, env=environment
    )
    try:
        until = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                urllib.request.urlopen(f"{url}/login", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "page.log").read_text()
                assert time.monotonic() < until, (folder / "page.log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        log.close()


@pytest.fixture(scope="module")
def web_page(page_url: str, master: FakeMaster) -> Page:
    return Page(page_url, master)


@pytest.fixture(scope="session")
def browser():  # type: ignore[no-untyped-def]
    try:
        found = chromium()
    except NoBrowser as reason:
        pytest.skip(f"no browser: {reason}")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=found.path, args=list(ARGUMENTS), env={**os.environ, **found.environment}
        )
        yield launched
        launched.close()
