"""Images of packages on real nodes, as ``upcall image build`` makes them."""

import os
import subprocess
import sys

import pytest

from realnodes.cluster import RealNodes


def packaged(real: RealNodes, *packages: str, tag: str = "1", python: str = sys.executable) -> str:
    """Its name, once it is on all nodes. ``python``: of the release whose code is in it (:mod:`other_release`). Where
    its base cannot be had any more the test is left out, and says so."""
    what = "-".join(packages)
    name, archive = f"lab.invalid/{what}:{tag}", real.folder / f"{what}-{tag}.tar"
    words = ("image", "build", *packages, "--archive", str(archive), "--name", name)
    own = {name: value for name, value in os.environ.items() if python == sys.executable or name != "PYTHONPATH"}
    built = subprocess.run([python, "-m", "upcall.cli", *words], env=own, capture_output=True, text=True, check=False)
    if "no longer has it" in built.stderr:
        pytest.skip(f"its base cannot be had here any more: {built.stderr}")
    assert built.returncode == 0, built.stdout + built.stderr
    for node in real.names:
        real.load(node, archive)
    archive.unlink()
    return name
