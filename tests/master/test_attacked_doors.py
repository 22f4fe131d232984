"""What `make attack` attacks is there: to be refused at a door that was taken away says nothing of those that are."""

import importlib
import sys
from pathlib import Path

import pytest
from served_master import Server
from starlette.routing import Match

from upcall.testing import Life, live

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import hostile
from benchmarks.attempts import CALLS


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_each_call_of_the_stranger_has_somebody_who_would_answer_it(server: Server, method: str, path: str) -> None:
    """What nobody answers is refused for want of a token, too: it does not say what there is."""
    asked = {"type": "http", "method": method, "path": path, "headers": []}
    assert Match.FULL in {route.matches(asked)[0] for route in server.master.app.routes}
    assert server.call(method, path, {} if method != "GET" else None, principal="").status == 401


@pytest.mark.parametrize(
    ("name", "source"),
    [("victim", hostile.VICTIM), ("villain", hostile.VILLAIN), ("escape", hostile.with_volume("harmless"))],
)
def test_hostile_services_and_their_victim_can_be_installed(
    name: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So what is refused of a volume that leads out of the data folder is its name alone."""
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    async def script(life: Life) -> None:
        await life.until_deployed()

    live(getattr(importlib.import_module(name), name.capitalize()), script, kind="kernel")
