"""A service of one's own from ``upcall new``: written, installed, changed, installed again, taken away."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from real_cluster import Cluster

from upcall.protocol.operator import TaskView

FAR_S = 550


@pytest.fixture
def shop(cluster: Cluster, tmp_path: Path) -> Path:
    folder = tmp_path / "my_shop"
    cluster.upcall("new", str(folder))
    return folder


def says(task: TaskView) -> str:
    with urllib.request.urlopen(f"http://{task.address}:{task.ports['http']}/", timeout=60) as answer:
        return str(answer.read().decode())


def test_it_runs_as_it_is_and_each_edit_is_an_update(cluster: Cluster, shop: Path) -> None:
    cluster.upcall("install", str(shop))
    first = cluster.until_ready("my-shop.server-0", "my-shop.server-1")
    assert {says(one) for one in first} == {"hello\n"}

    program = shop / "blobs" / "server.py"
    program.write_text(program.read_text().replace('f"{GREETING}\\n"', 'f"{GREETING} from {ADDRESS}\\n"'))
    cluster.upcall("install", str(shop), "--set", "greeting=servus")
    after = cluster.until_ready("my-shop.server-0", "my-shop.server-1")
    assert {says(one) for one in after} == {f"servus from {one.address}\n" for one in after}
    view = cluster.client.service("my-shop")
    assert (view.revision, view.options["greeting"], view.version.startswith("0.1.0+")) == (2, "servus", True)
    updates = [one for one in cluster.client.operations(ended=True) if (one.kind, one.target) == ("update", "my-shop")]
    assert [one.state for one in updates] == ["done"], "its members were asked for, one after the other"

    # A mistake in an edit changes nothing of what runs.
    service = shop / "service.py"
    right = service.read_text()
    service.write_text(right.replace("def pods(self)", "def pods(self"))
    refused = cluster.refused("install", str(shop))
    assert "my_shop cannot be imported" in refused
    assert "service.py" in refused
    assert [one.task for one in cluster.until_ready("my-shop.server-0", "my-shop.server-1")] == [
        one.task for one in after
    ]
    service.write_text(right)

    cluster.upcall("uninstall", "my-shop")
    assert all(one.name != "my-shop" for one in cluster.client.services())


def test_all_its_tests_pass_with_plain_pytest(shop: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(shop)]
    done = subprocess.run(command, cwd=shop.parent, capture_output=True, text=True, timeout=FAR_S, check=False)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
