"""What may be the name of an image, and what a processor is called."""

import pytest

from upcall.image import references, target
from upcall.image.references import Reference
from upcall.protocol.errors import Invalid

DIGEST = f"sha256:{'a1' * 32}"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("registry.example.com/data/log:4.1", Reference("registry.example.com", "data/log", "4.1")),
        ("localhost/log", Reference("localhost", "log")),
        ("localhost:5000/a/b/c_d:x", Reference("localhost:5000", "a/b/c_d", "x")),
        ("[::1]:5000/log:1", Reference("[::1]:5000", "log", "1")),
        (f"r.example/log@{DIGEST}", Reference("r.example", "log", "", DIGEST)),
        (f"r.example/log:1@{DIGEST}", Reference("r.example", "log", "1", DIGEST)),
    ],
)
def test_what_is_a_name_is_read_and_said_the_same(text: str, reference: Reference) -> None:
    assert references.parse(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("log", "names no host"),
        ("library/log:1", "names no host"),
        ("r.example/Log", "is no path"),
        ("r.example/", "is no path"),
        ("r.example/../x", "is no path"),
        ("r.example/log:", "is no tag"),
        ("r.example/log:a b", "is no tag"),
        ("r.example/log@sha256:12", "its digest is not"),
        ("https://r.example/log", "is no host|is no path|names no host"),
        ("name:password@r.example/log", "its digest is not"),
    ],
)
def test_what_is_no_name_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as caught:
        references.parse(text, where="--push")
    assert caught.value.problem.where == "--push"
    assert "registry.example.com/data/log:4.1" in caught.value.problem.expected


def test_platforms_are_called_as_people_do() -> None:
    said = ["linux/arm64,amd64", "x86-64", "aarch64"]
    assert [str(one) for one in target.parse(said)] == ["linux/amd64", "linux/arm64"]
    assert [one.machine for one in target.parse(said)] == ["x86_64", "aarch64"]


def test_another_platform_is_refused() -> None:
    with pytest.raises(Invalid, match="riscv64") as caught:
        target.parse(["linux/riscv64"])
    assert caught.value.problem.expected == "linux/amd64 or linux/arm64"
