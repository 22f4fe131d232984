"""The test cluster itself: what it is, what it leaves behind, and what it says where it cannot be made."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from lab import building
from lab.control_plane import ControlPlane, processes
from lab.nodes import PlayedNodes
from objects import pod

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import NODE, POD

LIMIT_S = 300.0


def test_it_is_the_release_that_go_mod_names(plane: ControlPlane) -> None:
    said = subprocess.run(plane.kubectl("version"), capture_output=True, text=True, check=True).stdout
    assert f"Server Version: v{building.version()}" in said
    assert f"Client Version: v{building.version()}" in said


async def test_played_nodes_are_ready_and_take_pods_where_the_scheduler_places_them(
    api: Api, namespace: str, nodes: PlayedNodes
) -> None:
    for name in ("one", "two"):
        await api.create(POD, pod(name), namespace)
    await nodes.until(lambda: nodes.ready("one") and nodes.ready("two"), "both run")
    ready = [
        condition["status"]
        for node in (await api.list(NODE)).objects
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    ]
    assert ready == ["True"] * 3
    await api.delete(POD, "one", namespace)
    await nodes.until(lambda: nodes.named("one") is None, "it ended, and its kubelet took it out")


async def test_a_pod_that_fits_nowhere_has_the_schedulers_words(api: Api, namespace: str, nodes: PlayedNodes) -> None:
    await api.create(POD, pod("one", nodeSelector={"zone": "nowhere"}), namespace)

    def words() -> str:
        conditions = (nodes.named("one") or {}).get("status", {}).get("conditions") or ()
        return " ".join(each.get("message", "") for each in conditions if each["type"] == "PodScheduled")

    await nodes.until(
        lambda: "3 node(s) didn't match Pod's node affinity/selector" in words(), "the scheduler says why"
    )


def test_nothing_is_left_when_the_tests_are_killed(parts: Path, tmp_path: Path) -> None:
    """As far as processes go; the folder is the test runner's, which clears it later."""
    program = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from lab.control_plane import control_plane
        with control_plane(Path({str(tmp_path)!r})):
            print("ready", flush=True)
            time.sleep(3600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        assert tests.stdout.readline() == b"ready\n"
        assert len(processes(tmp_path)) >= 4
        os.kill(tests.pid, signal.SIGKILL)
    until_s = time.monotonic() + LIMIT_S
    while processes(tmp_path):
        assert time.monotonic() < until_s
        time.sleep(0.1)


def test_without_go_it_says_what_is_missing_and_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPCALL_CACHE", str(tmp_path))
    monkeypatch.setenv("GO", str(tmp_path / "absent"))
    with pytest.raises(building.Missing, match=f"`go` is missing.*install Go {building.go_needed()} or newer"):
        building.build()
    with pytest.raises(building.Missing, match="`make kubernetes` builds it"):
        building.built()


def test_an_older_go_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPCALL_CACHE", str(tmp_path))
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    old.chmod(0o700)
    monkeypatch.setenv("GO", str(old))
    with pytest.raises(building.Missing, match=r"says `go version go1\.19\.8"):
        building.build()


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("go: k8s.io/api: dial tcp: lookup proxy.golang.org: no such host", building.Missing),
        ("SECURITY ERROR\nThis download does NOT match an earlier download", subprocess.CalledProcessError),
    ],
)
def test_modules_that_cannot_be_fetched_are_a_lack_and_forged_ones_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, failure: type[Exception]
) -> None:
    monkeypatch.setenv("UPCALL_CACHE", str(tmp_path))
    go = tmp_path / "go"
    known = f'[ "$1" = version ] && echo go version go{building.go_needed()}.0 linux/amd64 && exit'
    # It writes into the files that say what is fetched, as the real one does.
    go.write_text(f"#!/bin/sh\n{known}\necho more >>go.sum\necho '{words}' >&2\nexit 1\n")
    go.chmod(0o700)
    monkeypatch.setenv("GO", str(go))
    made_from = building.folder()
    with pytest.raises(failure) as failed:
        building.build()
    assert building.folder() == made_from
    if failure is building.Missing:
        assert re.match("its Go modules cannot be fetched.*no such host", str(failed.value))


def test_a_command_that_cannot_build_here_ends_as_unavailable(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab.building"],
        cwd=Path(__file__).parent,
        env=os.environ | {"UPCALL_CACHE": str(tmp_path), "GO": str(tmp_path / "absent")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == building.NOT_HERE
    assert "`go` is missing" in done.stderr
