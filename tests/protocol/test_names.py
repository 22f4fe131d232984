"""One type for names that become paths: what it lets through stays below its folder."""

import msgspec
import pytest

from upcall.protocol.agent import DeleteVolumes, Launch, decode_to_agent
from upcall.protocol.declaration import Artifact, Declaration, File, Secret, Volume
from upcall.protocol.errors import Invalid
from upcall.protocol.names import NAME_CHARS_MAX, PathName, RelativePath, is_inside, is_name, refusal, valid
from upcall.protocol.service import Assignment, Package
from upcall.protocol.training import Compiled

BAD_NAMES = ["", ".", "..", "/abs", "../../../escaped", "a/b", ".prepared", "a\n", "a\x00", "a b", "\x1b[2J", "-a", "ü",
             "a" * (NAME_CHARS_MAX + 1)]  # fmt: skip
BAD_PATHS = ["", ".", "..", "/abs", "../x", "a/../b", "a/..", "a//b", "a/", "./a", "a\\b", "a\nb", "a\n", "a\x00",
             "\ud800", "/".join("d" * 40), "a" * 201]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_leave_its_folder_is_none(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(Invalid, match="plain name"):
        valid(name, "volumes")
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(name, PathName)


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_could_leave_its_folder_is_none(path: str) -> None:
    assert not is_inside(path)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(path, RelativePath)


@pytest.mark.parametrize(
    "path", ["a", "conf/cassandra.yaml", ".hidden", "a..b/c", "META-INF/services/x.Y$Z", "ü/ß", "a b"]
)
def test_plain_paths_are_let_through(path: str) -> None:
    assert is_inside(path)


def declared(**fields: object) -> Declaration:
    return Declaration(command=("true",), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        declared(volumes=(Volume(name="../../../escaped", size_mib=1),)),
        declared(files=(File(path="/etc/x"),)),
        declared(files=(File(path="x", blob="../x"),)),
        declared(secrets=(Secret(name="../x", ref="x"),)),
        declared(artifacts=(Artifact(name="a", kind="files", lock="../x"),)),
        declared(artifacts=(Artifact(name="../a", kind="files", lock="0" * 64),)),
        Launch(task="../../x", declaration=declared(), generation=1, fence=1, address="127.0.0.1"),
        Launch(task="a.b.1", declaration=declared(), generation=1, fence=1, address="x", secrets={"../x": "y"}),
        DeleteVolumes(member_id="../..", fence=1),
        Compiled(name="../x", sources={}, uses=()),
        Compiled(name="x", sources={"../x.java": ""}, uses=()),
        Package(name="x", version="1", source="../x"),
        Package(name="x", version="1", blobs=("../x",)),
        Package(name="x", version="1", entry="/tmp/x:Y"),
        Assignment(service="x", package="x", version="1", entry="../x:Y"),
    ],
    ids=repr,
)
def test_the_wire_refuses_it_and_says_where_in_words(message: msgspec.Struct) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(msgspec.json.encode(message), type=type(message))
    said = refusal(raised.value, "").problem
    assert "regex" not in str(said)
    assert said.where not in ("", "body")
    assert "$" not in said.where, "that is the decoder's word"
    assert said.expected


def test_what_packages_declare_goes_through() -> None:
    launch = Launch(task="store.replica-2.14", declaration=declared(), generation=1, fence=1, address="127.0.0.1")
    assert decode_to_agent(msgspec.json.encode(launch)) == launch
