"""Against a registry that others wrote: Debian's, on loopback."""

import asyncio
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_images import PYTHON, image_of

from debian import NotThere, libraries, unpacked
from upcall.artifacts.cache import Cache
from upcall.image import references, standing
from upcall.image.layers import Data
from upcall.image.pushing import push
from upcall.image.target import Platform

pytestmark = pytest.mark.real

SETTINGS = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: {folder}/kept
http:
  addr: {address}
"""
START_S = 60.0


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        root = unpacked("registry", "docker-registry")
    except NotThere as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "settings.yml").write_text(SETTINGS.format(folder=folder, address=address))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [root / "usr" / "bin" / "docker-registry", "serve", folder / "settings.yml"],
            stdout=log, stderr=log, env={**os.environ, "LD_LIBRARY_PATH": ":".join(libraries(root))},
        )  # fmt: skip
    try:
        until_s = time.monotonic() + START_S
        while not answers(address):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until_s, (folder / "log").read_text()
            time.sleep(0.1)
        yield address
    finally:
        server.kill()
        server.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{address}/v2/"):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("architectures", [("amd64",), ("amd64", "arm64")])
def test_an_image_is_taken_kept_and_given_back(
    architectures: tuple[str, ...], address: str, tmp_path: Path, cache: Cache
) -> None:
    large = {"b": Data(os.urandom(5 << 20))}
    image = image_of(tmp_path / "made", PYTHON, large, architectures=architectures)
    to = references.parse(f"{address}/data/log:{len(architectures)}")
    pushed = asyncio.run(push(image, to, "--push"))
    assert pushed.sent_bytes == sum(layer.size for layer in image.layers.values()) - pushed.skipped_bytes
    again = asyncio.run(push(image, to, "--push"))
    assert again.sent_bytes == 0
    for architecture in architectures:
        base = standing.standing(f"{address}/data/log@{image.digest}", cache)(Platform(architecture))
        assert [layer.digest for layer in base.layers] == list(image.layers)
        assert base.python.version == "3.12"
