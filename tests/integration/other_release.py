"""This checkout as a wheel of another version number, installed into an environment of its own."""

import base64
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
TIMEOUT_S = 240.0


class Release:
    """An installed ``upcall``, and its command line."""

    def __init__(self, folder: Path, version: str) -> None:
        self.version = version
        self.python = folder / "bin" / "python"

    def begin(self, data: Path, *words: str) -> subprocess.Popen[str]:
        env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "UPCALL_DATA")}
        return subprocess.Popen(
            [self.python, "-m", "upcall.cli", *words, "--data", str(data)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**env, "NO_COLOR": "1"},
            start_new_session=True,
        )

    def upcall(self, data: Path, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.begin(data, *words)
        out, errors = process.communicate(timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(list(words), process.returncode, out, errors)


def installed(folder: Path, version: str) -> Release:
    """What the wheel needs comes from the environment that the tests run in."""
    wheel = _wheel(folder.parent, version)
    venv.create(folder, symlinks=True)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return Release(folder, version)


def _wheel(folder: Path, version: str) -> Path:
    """As the build makes it, with another number."""
    found = metadata.distribution("upcall")
    info = f"upcall-{version}.dist-info"
    described = re.sub(r"(?m)^Version: .*$", f"Version: {version}", found.read_text("METADATA") or "", count=1)
    files = {
        f"{info}/METADATA": described.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": (found.read_text("entry_points.txt") or "").encode(),
    }
    for path in sorted((SOURCE / "upcall").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            files[path.relative_to(SOURCE).as_posix()] = path.read_bytes()
    own = files["upcall/__init__.py"].decode()
    files["upcall/__init__.py"] = re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', own).encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode() + b"\n"
    wheel = folder / f"upcall-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return wheel


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
