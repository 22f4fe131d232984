"""The small parts of our part in a pod: what it is given, mounted volumes, the last word, whose token it is."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from upcall.agent.volumes import SERVED, WithoutData
from upcall.kubernetes.identities import claimed, proven
from upcall.kubernetes.pod import last_word
from upcall.kubernetes.pod.given import Given
from upcall.kubernetes.pod.groups import ContainerGroup
from upcall.kubernetes.pod.volumes import MountedVolumes
from upcall.protocol.agent import TaskExit
from upcall.protocol.errors import Invalid, Unauthorised
from upcall.substrate.interface import Exit

GIVEN = {
    "UPCALL_TASK": "store.replica-1.7",
    "UPCALL_MASTER": "https://m:1",
    "UPCALL_ADDRESS": "10.1.2.3",
    "UPCALL_NODE": "n1.example.com",
    "UPCALL_SANDBOX": "/s",
    "UPCALL_VOLUMES": "/v",
    "UPCALL_IDENTITY": "/i",
    "UPCALL_LAST_WORD": "/w",
}

# -- what it is given -----------------------------------------------------------------------------------------------


def test_artifacts_are_realised_beside_the_sandbox_or_where_it_is_said() -> None:
    assert Given.of(GIVEN).cache == Path("/s/cache")
    assert Given.of(GIVEN | {"UPCALL_CACHE": "/opt/upcall"}).cache == Path("/opt/upcall")


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_not_given_is_named(name: str) -> None:
    with pytest.raises(Invalid, match=f"{name} is not set"):
        Given.of({key: value for key, value in GIVEN.items() if key != name})


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(Invalid, match="no task"):
        Given.of(GIVEN | {"UPCALL_TASK": "store"})


# -- volumes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    for name in ("data", "log"):
        (tmp_path / name / "lost+found").mkdir(parents=True)
    return tmp_path


def test_a_task_has_a_folder_of_its_own_in_what_is_mounted(mounts: Path) -> None:
    volumes = MountedVolumes(mounts)
    volumes.create("m", 1, ["data", "log"], adopt=True)
    paths = volumes.paths("m", 1, ["data", "log"])
    assert paths == {name: str(mounts / name / "data") for name in ("data", "log")}
    assert list(Path(paths["data"]).iterdir()) == [], "nothing of the file system's own is in it"


def test_what_was_not_prepared_to_the_end_is_prepared_anew_and_what_was_is_kept(mounts: Path) -> None:
    volumes = MountedVolumes(mounts)
    volumes.create("m", 1, ["data"], adopt=True)
    (mounts / "data" / "data" / "half").touch()
    volumes = MountedVolumes(mounts)
    assert not volumes.prepared("m", 1)
    volumes.create("m", 1, ["data"], adopt=True)
    assert not (mounts / "data" / "data" / "half").exists()
    (mounts / "data" / "data" / "whole").touch()
    volumes.mark_prepared("m", 1)
    volumes = MountedVolumes(mounts)
    assert volumes.prepared("m", 1)
    volumes.create("m", 1, ["data"], adopt=True)
    assert (mounts / "data" / "data" / "whole").exists()
    (mounts / "new").mkdir()
    volumes.create("m", 1, ["data", "new"], adopt=True)
    assert (mounts / "data" / "data" / "whole").exists(), "a volume that is declared later takes nothing away"


def test_a_member_does_not_return_without_what_it_served_with(mounts: Path) -> None:
    volumes = MountedVolumes(mounts)
    volumes.create("m", 1, ["data", "log"], adopt=True, holding=["data"])
    volumes.mark_prepared("m", 1)
    (mounts / "data" / "data" / "segment").touch()
    volumes.mark_served("m", 1, ["data"])
    assert (mounts / "data" / "data" / SERVED).exists()
    volumes.create("m", 1, ["data", "log"], adopt=True, holding=["data"])
    for file in (mounts / "data" / "data").iterdir():
        file.unlink()
    for file in mounts.glob("data/.*"):
        file.unlink()  # All of it: another volume of the same member knows.
    with pytest.raises(WithoutData, match="volume data has no"):
        MountedVolumes(mounts).create("m", 1, ["data", "log"], adopt=True, holding=["data"])


def test_a_volume_that_is_not_mounted_is_named(mounts: Path) -> None:
    with pytest.raises(Invalid, match="volume other is not mounted"):
        MountedVolumes(mounts).create("m", 1, ["other"], adopt=True)


# -- the last word --------------------------------------------------------------------------------------------------


def test_the_last_word_fits_whatever_the_task_wrote() -> None:
    said = TaskExit(code=3, reason="r" * 5000, lines=tuple(f"line {number}: {'ü' * 900}" for number in range(40)))
    ended = last_word.exit_of(said)
    text = last_word.encoded(ended)
    assert len(text) <= last_word.BYTES_MAX
    kept = json.loads(text.decode().removeprefix("upcall: "))
    assert (kept["code"], kept["lines"][-1][:8]) == (3, "line 39:")


@pytest.mark.parametrize(
    ("ended", "code"),
    [(Exit(code=7), 7), (Exit(signal=9), 137), (Exit(not_started=True), 1), (Exit(reason="told to end"), 0)],
)
def test_the_container_ends_as_its_task_did(ended: Exit, code: int) -> None:
    assert last_word.code_of(ended) == code


# -- limits ---------------------------------------------------------------------------------------------------------


def test_usage_is_read_of_the_group_around_the_container(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\n")
    (tmp_path / "memory.stat").write_text("anon 1048576\nfile_mapped 2097152\n")
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    group = ContainerGroup({"": tmp_path})
    assert group.usage({}) == (2.5, 3.0)
    assert group.out_of_memory_kills({}) == 0, "what was before is nobody's of ours"
    (tmp_path / "memory.events").write_text("oom_kill 2\n")
    assert group.out_of_memory_kills({}) == 1
    assert ContainerGroup({}).usage({}) == (None, None), "beside other processes nothing is read of a group"


# -- whose token it is ----------------------------------------------------------------------------------------------


def token(audience: Any = ("upcall",), namespace: str = "data", **of: Any) -> str:
    said = {"aud": list(audience), "kubernetes.io": {"namespace": namespace, "pod": {"name": "p", "uid": "u"}} | of}
    body = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    return f"e30.{body}.signature"


def test_a_token_says_itself_whose_it_is() -> None:
    assert claimed(token(), "data") == ("p", "u")


@pytest.mark.parametrize(
    "strange",
    [
        "", "x", "a.b.c", "a.é.c", token(audience=("kubernetes",)), token(namespace="other"), token(pod=None),
        token(pod={"name": "p"}), token(pod={"name": "p", "uid": 7}), "e30.bnVsbA.s", "e30." + "W" * 9000 + ".s",
    ],
)  # fmt: skip
def test_what_is_not_made_for_us_is_refused_without_asking_anybody(strange: str) -> None:
    with pytest.raises(Unauthorised):
        claimed(strange, "data")


def review(**more: Any) -> dict[str, Any]:
    extra = {
        "authentication.kubernetes.io/pod-name": ["p"],
        "authentication.kubernetes.io/pod-uid": ["u"],
    }
    user = {"username": "system:serviceaccount:data:default", "extra": extra}
    return {"status": {"authenticated": True, "audiences": ["upcall"], "user": user} | more}


def test_what_the_api_server_says_is_believed() -> None:
    assert proven(review(), "data") == ("p", "u")


@pytest.mark.parametrize(
    "said",
    [
        {},
        review(authenticated=False, error="token has expired"),
        review(audiences=["kubernetes"]),
        review(audiences=None),
        review(user={"username": "system:serviceaccount:other:default", "extra": review()["status"]["user"]["extra"]}),
        review(user={"username": "system:serviceaccount:data:default"}),
        review(user=None),
    ],
)
def test_and_nobody_else(said: dict[str, Any]) -> None:
    with pytest.raises(Unauthorised, match="the API server refused the token"):
        proven(said, "data")
