"""`kubectl upcall` as a plugin of the real kubectl, by somebody who did not put the control plane there."""

import asyncio
import json
import os
import signal
import sys
import tomllib
import urllib.error
import urllib.request
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

    async def begun(self, *words: str) -> asyncio.subprocess.Process:
        """A command that ends when it is told to."""
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            self._program, *words, stdout=pipe, stderr=pipe, env=self._environment
        )


def _logs_in(url: str) -> int:
    """With the code, as a browser does it."""
    page, _, code = url.partition("?")
    with urllib.request.urlopen(urllib.request.Request(page, code.encode()), timeout=LIMIT_S) as answer:
        return int(answer.status)


async def _opens_the_page(kubectl: Kubectl, namespace: str) -> None:
    opening = await kubectl.begun("upcall", "open", "--no-browser", "-o", "json", "-n", namespace)
    assert opening.stdout is not None
    assert opening.stderr is not None
    said = b""
    async with asyncio.timeout(LIMIT_S):
        while b"}" not in said:
            line = await opening.stdout.readline()
            assert line, (await opening.stderr.read()).decode()
            said += line
    url = json.loads(said)["url"]
    assert await asyncio.to_thread(_logs_in, url) == 200
    with pytest.raises(urllib.error.HTTPError, match="401"):
        await asyncio.to_thread(_logs_in, url)
    # Ctrl-C; kubectl has become the plugin, so whoever is told to end is it.
    opening.send_signal(signal.SIGINT)
    async with asyncio.timeout(LIMIT_S):
        _, errors = await opening.communicate()
    assert opening.returncode == 0, errors.decode()
    with pytest.raises(OSError):
        await asyncio.to_thread(urllib.request.urlopen, url, None, LIMIT_S)


async def _each_of_these_answers(kubectl: Kubectl, namespace: str) -> None:
    """What people ask for most, each in the words of `upcall`."""
    others = []
    for words, expected in (
        ("node list", "node-1"),
        ("task list", "small.part-0"),
        ("events --lines 5", "small"),
        ("explain small", "busy"),
        ("service show small", "small"),
        ("service history small", "1"),
        ("operation list --all", "maintenance"),
        ("why op-1 --context test", "op-1"),
        ("export", "package"),
        ("access list", ""),
        ("secret list", ""),
        ("volume list", ""),
        ("catalog list", "kafka"),
        ("service do small lives member=part-0", "x"),
        ("update small --set count=2 --dry-run", ""),
    ):
        code, said = await kubectl.said("upcall", *words.split(), "-n", namespace)
        if code != 0 or expected not in said:
            others.append(f"{words}: {code}: {said}")
    assert not others, "\n".join(others)
    for words, why in (("up", "puts a control plane into a cluster"), ("down", "takes it away")):
        code, said = await kubectl.said("upcall", words, "-n", namespace)
        assert (code, why in said) == (2, True), f"{words}: {code}: {said}"


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

    await _each_of_these_answers(kubectl, namespace)
    await _opens_the_page(kubectl, namespace)
    code, said = await kubectl.said("upcall", "uninstall", "small", "-n", namespace)
    assert code == 0, said

    code, said = await kubectl.said("upcall", "status", "-n", namespace, "--context", "gone")
    assert code == 1
    assert "there is no context gone; there are: test" in said
    assert not list(kubectl.home.glob("upcall-kubectl-*")), "nothing is left of what a command needed"
    await laptop.upcall("down")
