"""Code of a service that keeps Python's interpreter to itself, on real processes: told with its file and line, and
every other service goes on."""

import json
from pathlib import Path
from typing import Any

import pytest
from real_cluster import Cluster

pytestmark = pytest.mark.root

HELLO = str(Path(__file__).parents[2] / "examples" / "hello.py")
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


def host(cluster: Cluster) -> dict[str, Any]:
    listed = json.loads((cluster.data / "keeper" / "status.json").read_bytes())["processes"]
    found: dict[str, Any] = next(each for each in listed if each["name"] == "host")
    return found


def why(cluster: Cluster) -> str:
    return " ".join(cluster.upcall("why", "keeps", check=False).stdout.split())


def test_it_is_told_with_its_line_costs_no_other_service_anything_more_and_an_edit_heals_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    go, file = tmp_path / "go", tmp_path / "keeps.py"
    text = KEEPS.replace("GO", str(go))
    file.write_text(text)
    cluster.upcall("install", HELLO, "--set", "count=2")
    cluster.upcall("install", str(file))
    cluster.until_ready("hello.web-0", "hello.web-1", "keeps.web-0")
    go.touch()
    cluster.upcall("task", "restart", "keeps.web-0", "--no-wait")
    words = "pods() of keeps.py:12 kept the interpreter to itself, and with it every service here"
    cluster.until("it is told", lambda: words in why(cluster))
    assert host(cluster)["restarts"] == 1
    assert words in cluster.upcall("logs", "--host", "keeps").stdout

    cluster.upcall("task", "restart", "hello.web-0")
    before = cluster.kill("host")
    cluster.until_restarted("host", before)
    cluster.upcall("task", "restart", "hello.web-0")
    assert words in why(cluster)

    file.write_text(text.replace("ctypes.PyDLL(None).sleep(100_000)", "ctypes.CDLL(None).sleep(0)"))
    cluster.upcall("install", str(file))
    cluster.until("it is healed", lambda: "kept the interpreter" not in why(cluster))
    cluster.until_ready("keeps.web-0")
    assert host(cluster)["restarts"] == 2, "ended once, and killed once"
