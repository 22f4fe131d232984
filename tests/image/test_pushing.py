"""Images sent to a registry, and taken from one."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_images import PYTHON, image_of
from registry_server import NAME, PASSWORD, RegistryServer, serving

from upcall.artifacts.cache import Cache
from upcall.image import references, registry, standing
from upcall.image.building import Image
from upcall.image.errors import ImageError, RegistryError
from upcall.image.layers import Data
from upcall.image.pushing import Pushed, push
from upcall.image.registry import DOCUMENT_BYTES_MAX, PIECE_BYTES, Registry
from upcall.image.target import Platform
from upcall.protocol.errors import Invalid


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RegistryServer]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setattr(registry, "PAUSE_S", 0.001)
    with serving() as served:
        yield served


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return image_of(tmp_path / "image", PYTHON, {"b": Data(b"b" * 5000)})


def sent(image: Image, server: RegistryServer, tag: str = "1") -> Pushed:
    return asyncio.run(push(image, references.parse(f"{server.address}/data/log:{tag}"), "--push"))


def knows(tmp_path: Path, server: RegistryServer, password: str = PASSWORD) -> None:
    (tmp_path / "docker").mkdir(exist_ok=True)
    auth = base64.b64encode(f"{NAME}:{password}".encode()).decode()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {server.address: {"auth": auth}}}))


def test_all_of_an_image_arrives_and_the_tag_last(image: Image, server: RegistryServer) -> None:
    pushed = sent(image, server)
    assert server.manifests["1"] == (image.top.media_type, image.top.data)
    assert {*image.layers, image.images[0].config.digest} == {*server.blobs}
    assert server.asked[-1] == ("PUT", "/v2/data/log/manifests/1")
    assert pushed.reference.digest == image.digest
    assert pushed.sent_bytes == sum(layer.size for layer in image.layers.values())


def test_what_is_there_is_not_sent_again(image: Image, server: RegistryServer, tmp_path: Path) -> None:
    sent(image, server)
    before = len(server.calls("POST"))
    again = sent(image_of(tmp_path / "next", PYTHON, {"b": Data(b"another")}), server, "2")
    assert len(server.calls("POST")) - before == 2, "one layer, one configuration"
    assert again.skipped_bytes == image.images[0].layers[0].size


def test_an_image_of_two_platforms_is_an_index_of_both(server: RegistryServer, tmp_path: Path) -> None:
    both = image_of(tmp_path / "both", PYTHON, architectures=("amd64", "arm64"))
    sent(both, server)
    told = json.loads(server.manifests["1"][1])
    assert [one["platform"]["architecture"] for one in told["manifests"]] == ["amd64", "arm64"]


@pytest.mark.parametrize("wants", ["basic", "bearer"])
def test_who_is_known_to_the_registry_may(wants: str, image: Image, server: RegistryServer, tmp_path: Path) -> None:
    server.wants = wants
    knows(tmp_path, server)
    sent(image, server)
    assert server.manifests["1"]


@pytest.mark.parametrize("wants", ["basic", "bearer"])
def test_who_is_not_known_is_told_where_to_say_it(
    wants: str, image: Image, server: RegistryServer, tmp_path: Path
) -> None:
    server.wants = wants
    with pytest.raises(RegistryError, match="lets only those in whom it knows") as caught:
        sent(image, server)
    assert str(tmp_path / "docker" / "config.json") in caught.value.problem.expected
    knows(tmp_path, server, "wrong-one")
    with pytest.raises(RegistryError) as caught:
        sent(image, server)
    assert "wrong-one" not in str(caught.value)
    assert not server.manifests


def test_a_token_that_is_too_old_is_got_anew(image: Image, server: RegistryServer, tmp_path: Path) -> None:
    server.wants = "bearer"
    knows(tmp_path, server)
    server.before = forgetting()
    sent(image, server)
    assert len(server.calls("GET")) > 1, "the realm was asked again"


def forgetting() -> Callable[[str, str], int]:
    """The registry forgets its tokens in the middle of each upload."""
    forgotten: set[str] = set()

    def before(method: str, path: str) -> int:
        if method == "PUT" and "uploads" in path and path not in forgotten:
            forgotten.add(path)
            return 401
        return 0

    return before


def test_a_password_is_told_to_no_realm_without_encryption(
    image: Image, server: RegistryServer, tmp_path: Path
) -> None:
    server.wants, server.realm = "bearer", "http://registry.example.invalid/token"
    knows(tmp_path, server)
    with pytest.raises(RegistryError, match="without TLS"):
        sent(image, server)


def test_a_refusal_is_said_in_the_registrys_words(image: Image, server: RegistryServer) -> None:
    server.may = False
    with pytest.raises(RegistryError, match="403 DENIED requested access to the resource is denied") as caught:
        sent(image, server)
    assert caught.value.problem.where.startswith("--push: ")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_waited_for(status: int, image: Image, server: RegistryServer) -> None:
    failures = {"HEAD": 2, "POST": 1, "PUT": 2}

    def before(method: str, path: str) -> int:
        failures[method] = failures.get(method, 0) - 1
        return status if failures[method] >= 0 else 0

    server.before = before
    sent(image, server)
    assert server.manifests["1"][1] == image.top.data


def test_what_does_not_pass_ends_it_with_nothing_named(image: Image, server: RegistryServer) -> None:
    server.before = lambda method, path: 503 if method == "PUT" else 0
    with pytest.raises(RegistryError, match="503"):
        sent(image, server)
    assert not server.manifests


def test_nobody_there_is_said(image: Image, server: RegistryServer) -> None:
    to = references.parse("127.0.0.1:9/data/log:1")
    with pytest.raises(RegistryError, match="cannot be reached"):
        asyncio.run(push(image, to, "--push"))


def test_only_loopback_is_spoken_to_without_encryption() -> None:
    near = ("localhost:5000", "127.0.0.1", "127.3.4.5:1", "[::1]:5000")
    assert [host for host in (*near, "registry.example.com", "10.0.0.1") if registry.loopback(host)] == [*near]


# -- to stand on ----------------------------------------------------------------------------------------------------


def test_an_image_of_a_registry_is_stood_on_by_its_digest(image: Image, server: RegistryServer, cache: Cache) -> None:
    name = f"{server.address}/data/log"
    sent(image, server)
    base = standing.standing(f"{name}@{image.digest}", cache)(Platform("amd64"))
    assert (base.python.path, base.python.version) == ("/usr/bin/python3.12", "3.12")
    assert [layer.digest for layer in base.layers] == list(image.layers)
    assert base.layers[1].blob.read_bytes() == server.blobs[base.layers[1].digest]
    assert "KEPT=yes" in base.below.environment


def test_a_tag_is_refused_with_the_digest_that_it_means_now(image: Image, server: RegistryServer, cache: Cache) -> None:
    sent(image, server)
    with pytest.raises(Invalid, match="may mean another one tomorrow") as caught:
        standing.standing(f"{server.address}/data/log:1", cache)
    assert caught.value.problem.expected.endswith(f"{server.address}/data/log@{image.digest}")


def test_a_layer_that_is_not_what_it_is_called_is_refused(image: Image, server: RegistryServer, cache: Cache) -> None:
    sent(image, server)
    digest = next(iter(image.layers))
    server.blobs[digest] = server.blobs[digest][::-1]
    with pytest.raises(RegistryError, match="does not match"):
        standing.standing(f"{server.address}/data/log@{image.digest}", cache)(Platform("amd64"))


def test_more_than_a_layer_has_is_not_taken(image: Image, server: RegistryServer, cache: Cache) -> None:
    sent(image, server)
    digest = next(iter(image.layers))
    server.blobs[digest] += b"more" * PIECE_BYTES
    with pytest.raises(RegistryError, match=f"sends more than the {image.layers[digest].size} bytes"):
        standing.standing(f"{server.address}/data/log@{image.digest}", cache)(Platform("amd64"))


def test_a_long_document_is_read_to_its_end_and_a_longer_one_not_at_all(server: RegistryServer) -> None:
    """It comes in many pieces; whoever takes the first for all finds another digest."""
    reference = references.parse(f"{server.address}/data/log:1")

    async def got(size: int) -> bytes:
        server.manifests["1"] = ("application/json", b" " * size)
        async with Registry(reference, "here") as asked:
            return (await asked.manifest("1"))[0]

    assert len(asyncio.run(got(DOCUMENT_BYTES_MAX))) == DOCUMENT_BYTES_MAX
    with pytest.raises(RegistryError, match="answers with more than"):
        asyncio.run(got(DOCUMENT_BYTES_MAX + 1))


def test_a_base_for_another_processor_is_refused(image: Image, server: RegistryServer, cache: Cache) -> None:
    sent(image, server)
    with pytest.raises(ImageError, match="the base is for linux/amd64"):
        standing.standing(f"{server.address}/data/log@{image.digest}", cache)(Platform("arm64"))


def test_an_image_that_is_not_there_is_said(server: RegistryServer, cache: Cache) -> None:
    with pytest.raises(RegistryError, match="there is no image"):
        standing.standing(f"{server.address}/data/none@sha256:{'0' * 64}", cache)(Platform("amd64"))
