"""`kubectl upcall` as a plugin of the real kubectl, by somebody who did not put the control plane there."""

import asyncio
import os
import sys
import tomllib
from pathlib import Path

import pytest
from evicting import LIMIT_S
from lab import hosts
from lab.control_plane import ControlPlane
from laptop import Laptop
from laptop_fixtures import SMALL, laptop, plane, running

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
__all__ = ["laptop", "plane", "running"]
WHY_NOT = hosts.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


class Kubectl:
    """Of somebody who has a kubeconfig and our distribution, and never ran `upcall up`."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._program = str(plane.parts / "kubectl")
        path = folder / "bin"
        path.mkdir()
        module, function = tomllib.loads(PROJECT.read_text())["project"]["scripts"]["kubectl-upcall"].split(":")
        plugin = path / "kubectl-upcall"
        # As an installer writes it.
        plugin.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        plugin.chmod(0o755)
        self.home = folder / "home"
        self.home.mkdir()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("UPCALL_DATA", "XDG_"))},
            "PATH": f"{path}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "KUBECONFIG": str(plane.kubeconfig()),
        }

    async def said(self, *words: str) -> tuple[int | None, str]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            self._program, *words, stdout=pipe, stderr=asyncio.subprocess.STDOUT, env=self._environment
        )
        async with asyncio.timeout(LIMIT_S):
            text, _ = await process.communicate()
        return process.returncode, " ".join(text.decode().split())


async def test_a_plugin_of_kubectl_does_what_the_command_line_does(
    laptop: Laptop, plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    kubectl = Kubectl(plane, tmp_path)
    code, said = await kubectl.said("plugin", "list")
    assert code == 0, said
    assert "kubectl-upcall" in said
    code, said = await kubectl.said("upcall", "status", "-n", namespace)
    assert code == 1
    assert f"there is no control plane in namespace {namespace} that ever came up" in said

    await laptop.up()
    busy = tmp_path / "busy"
    busy.touch()  # From the beginning: a cure of a member that is slow to answer asks too, and none moves.
    code, said = await kubectl.said("upcall", "install", str(SMALL), "--set", f"busy={busy}", "--namespace", namespace)
    assert code == 0, said
    first = await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready")
    node = first["node"]
    code, said = await kubectl.said("upcall", "status", "--context", "test", f"--namespace={namespace}")
    assert code == 0, said
    assert "SERVICE STATE READY" in said
    assert "small" in said
    code, said = await kubectl.said("upcall", "logs", "small.part-0", "-n", namespace, "--lines", "5")
    assert (code, "it begins:" in said) == (0, True), said

    # The service is asked, and whoever asks why reads its words.
    draining = asyncio.create_task(kubectl.said("upcall", "drain", node, "-n", namespace))
    why = ""
    async with asyncio.timeout(LIMIT_S):
        while "6 parts would have a single copy" not in why:
            _, why = await kubectl.said("upcall", "why", "-n", namespace)
    busy.unlink()
    code, said = await draining
    assert code == 0, said
    assert f"{node} is drained" in said
    held = await laptop.task("small.part-0", lambda one: one["state"] != "ready", "it is held")
    assert held["node"] in ("", node)
    code, said = await kubectl.said("upcall", "undrain", node, "-n", namespace)
    assert code == 0, said
    back = await laptop.task(
        "small.part-0", lambda one: one["state"] == "ready" and one["incarnation"] > held["incarnation"], "back"
    )
    assert back["node"]

    code, said = await kubectl.said("upcall", "status", "-n", namespace, "--context", "gone")
    assert code == 1
    assert "there is no context gone; there are: test" in said
    assert not list(kubectl.home.glob("upcall-kubectl-*")), "nothing is left of what a command needed"
    await laptop.upcall("down")
