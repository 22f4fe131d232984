"""The smallest distributions that are some: wheels, and a source with the tool that builds it."""

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping

from upcall.artifacts.lock import LockedFile, digest_of

BUILDER = """
import base64, hashlib, pathlib, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    about = "made-1.0.dist-info"
    files = {
        "made/__init__.py": b"BUILT_BY = 'builder'\\n",
        "made/data.bin": pathlib.Path("data.bin").read_bytes(),
        f"{about}/METADATA": b"Metadata-Version: 2.1\\nName: made\\nVersion: 1.0\\n",
        f"{about}/WHEEL": b"Wheel-Version: 1.0\\nGenerator: builder\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\\n"
        for name, data in files.items()
    )
    name = "made-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)
        wheel.writestr(f"{about}/RECORD", record + f"{about}/RECORD,,\\n")
    return name
"""
PYPROJECT = '[build-system]\nrequires = ["builder"]\nbuild-backend = "builder"\n'


def wheel_of(name: str, contents: Mapping[str, bytes]) -> bytes:
    about = f"{name}-1.0.dist-info"
    files = {
        **contents,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)
        wheel.writestr(f"{about}/RECORD", record + f"{about}/RECORD,,\n")
    return made.getvalue()


def source_of_made(data: bytes) -> bytes:
    files = {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: made\nVersion: 1.0\n",
        "pyproject.toml": PYPROJECT.encode(),
        "data.bin": data,
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"made-1.0/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def locked(name: str, data: bytes, purpose: str = "") -> LockedFile:
    source = f"{name.partition('-')[0]}==1.0"
    return LockedFile(name=name, sha256=digest_of(data), size=len(data), source=source, purpose=purpose)
