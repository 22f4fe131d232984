"""Code of a service that keeps Python's interpreter to itself, under a control plane in the cluster: told with its file
and line, as on a machine of ours, and every other service goes on."""

from pathlib import Path

import pytest
from lab import hosts
from laptop import Laptop
from laptop_fixtures import SMALL, laptop, plane, running

__all__ = ["laptop", "plane", "running"]
WHY_NOT = hosts.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
KEEPS = '''"""A service whose code calls into C, which does not let go of the interpreter."""

import ctypes
from pathlib import Path

from upcall.service import Declaration, Pod, Service


class Keeps(Service):
    def pods(self):
        if Path("GO").exists():
            ctypes.PyDLL(None).sleep(100_000)
        return [Pod("web", count=1)]

    def task(self, member):
        return Declaration(command=("sleep", "100000"))
'''


async def test_it_is_told_with_its_line_and_costs_no_other_service_anything_more(
    laptop: Laptop, tmp_path: Path
) -> None:
    await laptop.up()
    go, file = tmp_path / "go", tmp_path / "keeps.py"
    file.write_text(KEEPS.replace("GO", str(go)))
    await laptop.upcall("install", str(SMALL), "--set", "count=1")
    await laptop.upcall("install", str(file))
    before = await laptop.task("keeps.web-0", lambda one: one["state"] == "ready", "it is ready")
    await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready")
    go.touch()
    await laptop.upcall("task", "restart", "keeps.web-0", "--no-wait")
    words = "pods() of keeps.py:12 kept the interpreter to itself, and with it every service here"
    await laptop.until_said(words, "why", "keeps")
    # The others' code is asked again, and that one's is not.
    await laptop.upcall("task", "restart", "small.part-0")
    assert words in " ".join((await laptop.upcall("why", "keeps")).split())
    again = await laptop.task("keeps.web-0", lambda one: one["state"] == "ready", "it runs")
    assert again["incarnation"] == before["incarnation"], "nothing was done to it, for nobody could be asked"
    await laptop.upcall("down", code=0)
