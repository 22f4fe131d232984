"""A platform that ran on this machine, applied to a cluster by the same file; and what is not carried is said."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from lab import hosts
from lab.control_plane import ControlPlane
from laptop import Laptop
from laptop_fixtures import SMALL, laptop, plane, running

__all__ = ["laptop", "plane", "running"]
WHY_NOT = hosts.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def words(said: str) -> str:
    return " ".join(said.split())


async def test_what_ran_here_runs_there_by_the_same_file(
    laptop: Laptop, plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    # Here.
    here = Laptop(tmp_path / "here", plane.kubeconfig(), namespace)
    platform, busy = tmp_path / "platform.yaml", tmp_path / "busy"
    await here.upcall("up", "--nodes", "2", "--memory-mib-per-node", "256")
    try:
        await here.upcall("install", str(SMALL), "--set", "count=1", "--set", f"busy={busy}")
        await here.task("small.part-0", lambda one: one["state"] == "ready", "it is ready")
        await here.upcall("node", "add", "node-3", "--attribute", "rack=r1")
        said = words(await here.upcall("export", "--name", "mine", "--to", str(platform)))
        assert "package small is made of your own files, which are not in it" in said
        assert "attribute rack=r1 of node-3 is not in it" in said
    finally:
        await here.upcall("down")

    # There: what is not known there is named, and what of it means this machine alone is said.
    await laptop.up()
    unknown = words(await laptop.upcall("apply", "-f", str(platform), "--dry-run", code=1))
    assert "unknown package 'small'" in unknown
    (tmp_path / "small.py").write_text(SMALL.read_text())
    text = platform.read_text()
    assert re.search(r"(?m)^- package: small$", text), text
    platform.write_text(re.sub(r"(?m)^- package: small$", "- package: ./small.py", text))
    said = words(await laptop.upcall("apply", "-f", str(platform), "--dry-run"))
    assert f"small: option busy is {busy}, and no file of this machine is in a pod" in said
    assert "small install small" in said
    await laptop.upcall("apply", "-f", str(platform))
    one = await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready")
    assert one["address"] == f"part-0.small.{namespace}.svc"
    assert "small: as the file says" in words(await laptop.upcall("apply", "-f", str(platform)))

    # All packages of the catalog that hold data, with what they hold: as far as it can be known before.
    demo = tmp_path / "demo.yaml"
    demo.write_text((files("upcall.fastdata") / "demo.yaml").read_text())
    said = words(await laptop.upcall("apply", "-f", str(demo), "--dry-run"))
    for package in ("kafka", "cassandra", "spark", "ingest", "windows", "aircraft"):
        assert f"{package} install {package}" in said
    assert "the 12.0 GiB of disk that it requires are not looked for: volumes are the cluster's" in said
    await laptop.upcall("down")
