"""Builds the wheel into `dist/`: the same sources give the same bytes, wherever and whenever it is built.

Its build backend is one of the locked development requirements, so nothing is fetched.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "dist"


def build(source: Path = ROOT, target: Path = TARGET) -> Path:
    """The one wheel in ``target`` afterwards."""
    for older in target.glob("upcall-*.whl"):
        older.unlink()
    # A time that somebody else's build was given would stand in every entry.
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the wheel cannot be built: {done.stderr.strip() or done.stdout.strip()}")
    (wheel,) = target.glob("upcall-*.whl")
    return wheel


if __name__ == "__main__":
    made = build()
    data = made.read_bytes()
    print(f"{made.relative_to(ROOT)}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    print(f"  uv tool install {made.relative_to(ROOT)}    (with the page: '{made.relative_to(ROOT)}[web]')")
