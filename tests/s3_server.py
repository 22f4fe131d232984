"""A real S3 server on loopback: S3Proxy, which keeps its buckets in a folder. It has one bucket, ``kept``."""

import hashlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from upcall.artifacts.cache import Cache
from upcall.artifacts.fetch import fetch
from upcall.protocol.declaration import Artifact

KEY, SECRET = "key-of-the-test", "secret-of-the-test"
BUCKET: Final = "kept"
LOCKS: Final = {
    "s3proxy": Path(__file__).with_name("s3proxy.json"),
    "java": Path(__file__).parents[1] / "src/upcall/catalog/kafka/lock/java.json",
}
START_S: Final = 120.0


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Its address, for as long as it runs."""
    (folder / "buckets" / BUCKET).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    settings = {
        "s3proxy.endpoint": address,
        "s3proxy.authorization": "aws-v2-or-v4",
        "s3proxy.identity": KEY,
        "s3proxy.credential": SECRET,
        "jclouds.provider": "filesystem",
        "jclouds.filesystem.basedir": folder / "buckets",
    }
    (folder / "settings").touch(mode=0o600)
    (folder / "settings").write_text("\n".join(f"{name}={value}" for name, value in settings.items()))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(_command(folder), stdout=log, stderr=log)
        try:
            until_s = time.monotonic() + START_S
            while not _listens(port):
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until_s, (folder / "log").read_text()
                time.sleep(0.2)
            yield address
        finally:
            server.kill()
            server.wait()


def _command(folder: Path) -> list[str]:
    blobs = {hashlib.sha256(path.read_bytes()).hexdigest(): path.read_bytes() for path in LOCKS.values()}
    artifacts = [
        Artifact(name=name, kind=kind, lock=hashlib.sha256(LOCKS[name].read_bytes()).hexdigest())
        for name, kind in (("s3proxy", "maven"), ("java", "java"))
    ]
    found = fetch(artifacts, Cache(), blobs.__getitem__)
    java, jars = Path(found["java"].path) / "bin" / "java", f"{found['s3proxy'].path}/*"
    return [str(java), "-Xmx192m", "-cp", jars, "org.gaul.s3proxy.Main", "--properties", str(folder / "settings")]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
