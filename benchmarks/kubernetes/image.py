"""Whether an image is the same whoever builds it: twice, with another umask, home, time zone, language and folder, each
with a cache that has what was fetched, and no layer that was made of it before."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.cells import Figures
from upcall.artifacts.cache import default_root

PACKAGE: Final = "kafka"
UMASK: Final = 'umask "$0" && exec "$@"'
MADE: Final = ("layer-", "archive-")
"""Trees that follow from others."""


def measure(sabotage: Path | None) -> Figures:
    began = time.monotonic()
    if not fetched():
        raise RuntimeError(f"nothing of {PACKAGE} is there: `upcall image build {PACKAGE}` fetches it")
    with tempfile.TemporaryDirectory(prefix="upcall-image-", dir=default_root().parent) as folder:
        one = build(Path(folder, "one"), sabotage, "022", LC_ALL="C", TZ="UTC")
        two = build(Path(folder, "somewhere", "else"), sabotage, "077", LC_ALL="C.UTF-8", TZ="Asia/Kathmandu")
    return {
        "image_reproducible": one == two,
        "image_digest": one if one == two else f"{one}, {two}",
        "image_s": round(time.monotonic() - began, 1),
    }


def build(folder: Path, sabotage: Path | None, umask: str, **environment: str) -> str:
    """Its digest."""
    cache, layout = folder / "cache", folder / "image"
    (cache / "trees").mkdir(parents=True)
    cache.chmod(0o700)
    subprocess.run(["cp", "-al", default_root() / "files", cache], check=True)
    subprocess.run(["cp", "-al", *fetched(), cache / "trees"], check=True)
    more = {"UPCALL_CACHE": str(cache), "HOME": str(folder), **environment}
    if sabotage is not None:
        more["PYTHONPATH"] = str(sabotage)
    command = [sys.executable, "-m", "upcall.cli", "image", "build", PACKAGE, "--layout", str(layout)]
    done = subprocess.run(
        ["sh", "-c", UMASK, umask, *command], env=os.environ | more, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"no image: {done.stdout}{done.stderr}")
    (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
    return str(manifest["digest"])


def fetched() -> list[Path]:
    trees = default_root() / "trees"
    return sorted(each for each in trees.iterdir() if not each.name.startswith(MADE)) if trees.is_dir() else []
