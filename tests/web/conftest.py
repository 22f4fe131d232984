"""The real page process over a fake master, and a browser that reaches loopback and nothing else."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fastdata"))
sys.path.insert(0, str(Path(__file__).parents[1] / "master"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from browser import launched
from fake_master import FakeMaster
from served_page import Opens, Page, serving, visitors


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
def web_page(master: FakeMaster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    plug_in = _plug_in(tmp_path_factory.mktemp("plug-in"))
    with serving(tmp_path_factory.mktemp("data"), master, PYTHONPATH=str(plug_in)) as page:
        yield page


@pytest.fixture(scope="module")
def page_url(web_page: Page) -> str:
    return web_page.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Of one module."""
    with launched() as found:
        yield found


@pytest.fixture
def open_page(browser: Any, web_page: Page) -> Iterator[Opens]:
    with visitors(browser, web_page) as opened:
        yield opened
