"""The data folder's birth, and what is refused before anything is written."""

import json
import os
import socket
import stat
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from upcall.cli import cluster, keeping, machine
from upcall.cli.main import application
from upcall.cluster.folder import DataFolder
from upcall.protocol.errors import Conflict, DoesNotFit, Forbidden, Invalid, UpcallError


def numbers(*given: int):  # type: ignore[no-untyped-def]
    """In place of chance: these, one after the other, then 7."""
    left = list(given)
    return lambda below: left.pop(0) % below if left else 7 % below


def test_a_cluster_has_a_range_of_its_own_and_nodes_in_three_zones() -> None:
    made = cluster.choose(4, 1024, 2.0, below=numbers(10, 20, 0xABCDEF), is_free=lambda *_: True)
    assert made.cluster == "upcall-abcdef"
    assert made.prefix == "127.26.20"
    assert made.url == "https://127.26.20.1:5050"
    assert made.page_url == "http://127.26.20.1:5080"
    assert [(one.name, one.zone, one.memory_mib, one.cpus) for one in made.nodes] == [
        ("node-1", "a", 1024, 2.0),
        ("node-2", "b", 1024, 2.0),
        ("node-3", "c", 1024, 2.0),
        ("node-4", "a", 1024, 2.0),
    ]


def test_taken_ports_and_ranges_are_avoided() -> None:
    def is_free(address: str, port: int) -> bool:
        return address != "127.26.20.1" and port not in (5050, 5051)

    made = cluster.choose(1, 256, 1.0, below=numbers(10, 20, 11, 21), is_free=is_free)
    assert made.url == "https://127.27.21.1:5052"


def test_no_free_port_anywhere_is_one_clear_error() -> None:
    with pytest.raises(Conflict, match="no free ports"):
        cluster.choose(1, 256, 1.0, is_free=lambda *_: False)


@pytest.mark.parametrize("nodes", [0, -1, 51])
def test_a_wrong_number_of_nodes_is_refused(nodes: int) -> None:
    with pytest.raises(Invalid, match="1 to 50"):
        cluster.choose(nodes, 256, 1.0)


def test_everything_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    made = cluster.choose(2, 256, 1.0)
    cluster.prepare(folder, made)
    assert sorted(path.name for path in folder.tokens.iterdir()) == [
        "agent-node-1.token",
        "agent-node-2.token",
        "alerts.token",
        "api.key",
        "host.token",
        "operator.token",
        "page.token",
    ]
    for path in (folder.cluster_file, *folder.tokens.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    assert len({path.read_text() for path in folder.tokens.iterdir()}) == 7
    assert folder.load_cluster() == made


def test_each_up_renews_the_tokens_and_keeps_the_certificate_that_others_have_pinned(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    made = cluster.choose(1, 256, 1.0)
    cluster.prepare(folder, made)
    before, certificate = folder.token_file("operator").read_text(), folder.certificate.read_bytes()
    cluster.renew(folder, made)
    assert folder.token_file("operator").read_text() != before
    assert folder.certificate.read_bytes() == certificate


def test_a_certificate_of_another_address_or_without_its_key_is_made_anew(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    made = cluster.choose(1, 256, 1.0)
    cluster.renew(folder, made)
    first = folder.certificate.read_bytes()
    cluster.renew(folder, msgspec.structs.replace(made, url="https://127.99.9.1:5050"))
    second = folder.certificate.read_bytes()
    folder.certificate_key.unlink()
    cluster.renew(folder, msgspec.structs.replace(made, url="https://127.99.9.1:5050"))
    assert len({first, second, folder.certificate.read_bytes()}) == 3


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    made = cluster.choose(1, 256, 1.0)
    address, _, port = made.page_url.removeprefix("http://").partition(":")
    cluster.check_ports(made)
    with socket.socket() as other:
        other.bind((address, int(port)))
        other.listen()
        with pytest.raises(Conflict, match=f"port {port} in use") as error:
            cluster.check_ports(made)
    assert "page" in str(error.value)


def test_two_ups_at_once_are_refused(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with (
        cluster.only_one(folder),
        pytest.raises(Conflict, match="another `up` or `down`"),
        cluster.only_one(folder),
    ):
        pass
    with cluster.only_one(folder):
        pass


# -- the machine ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("system", "hint"), [("Darwin", "Lima"), ("Windows", "WSL 2"), ("FreeBSD", "virtual machine")])
def test_another_system_is_refused_with_what_would_work(system: str, hint: str) -> None:
    with pytest.raises(Invalid) as error:
        machine.check_platform(system, "x86_64")
    assert hint in str(error.value)


def test_linux_on_both_architectures_is_taken() -> None:
    machine.check_platform("Linux", "x86_64")
    machine.check_platform("Linux", "aarch64")
    with pytest.raises(Invalid, match="riscv64"):
        machine.check_platform("Linux", "riscv64")


@pytest.mark.parametrize(("name", "said"), [("my data", "a space"), ("a:b", "':'"), ("a,b", "','"), ("a$b", "'\\$'")])
def test_a_path_that_class_paths_cannot_carry_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        machine.check_folder(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(Invalid, match="is a file"):
        machine.check_folder(tmp_path / "data")
    with pytest.raises(Invalid, match="below a file"):
        machine.check_folder(tmp_path / "data" / "further")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere, so the answer of the system is what is replaced here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Forbidden, match="cannot be written"):
        machine.check_folder(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def limits(tmp_path: Path, files: dict[str, str], own: str) -> dict[str, Path]:
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    (tmp_path / "cgroup").mkdir(exist_ok=True)
    return {"root": tmp_path / "cgroup", "own": tmp_path / "own"}


MEMINFO = "MemTotal:       16777216 kB\nMemFree: 1 kB\n"


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({}, "0::/\n", 16384),
        ({"a/memory.max": "max", "a/b/memory.max": str(4 << 30)}, "0::/a/b\n", 4096),
        ({"a/memory.max": str(2 << 30), "a/b/memory.max": str(4 << 30)}, "0::/a/b\n", 2048),
        ({"memory/c/memory.limit_in_bytes": str(3 << 30)}, "4:memory:/c\n3:cpu:/c\n", 3072),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, "4:memory:/\n", 16384),
    ],
)
def test_the_lowest_memory_limit_above_us_counts(
    tmp_path: Path, files: dict[str, str], own: str, expected: int
) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    assert machine.memory_mib(tmp_path / "meminfo", **limits(tmp_path, files, own)) == expected


def test_a_core_quota_counts(tmp_path: Path) -> None:
    assert machine.cores(8, **limits(tmp_path, {"a/cpu.max": "150000 100000"}, "0::/a\n")) == 1.5
    assert machine.cores(8, **limits(tmp_path, {"a/cpu.max": "max 100000"}, "0::/a\n")) == 8


def test_one_part_of_the_memory_is_kept_for_another_node() -> None:
    assert machine.memory_per_node_mib(8192, 3) == 1792
    assert machine.memory_per_node_mib(24105, 3) == 5632


def test_too_little_memory_says_what_would_fit() -> None:
    with pytest.raises(DoesNotFit, match="at most 3 nodes"):
        machine.memory_per_node_mib(2048, 5)
    with pytest.raises(DoesNotFit, match="a machine with 1536 MiB"):
        machine.memory_per_node_mib(1200, 1)


def test_a_data_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    record = {"version": 99, "cluster": "c", "prefix": "127.0.0", "url": "http://127.0.0.1:1"}
    (tmp_path / "cluster.json").write_text(json.dumps(record))
    with pytest.raises(UpcallError, match="version 99"):
        DataFolder(tmp_path).load_cluster()


@pytest.mark.parametrize("part", [0, 1, 255, 2049, 99_999_999])
def test_parts_that_nodes_cannot_have_are_refused_with_what_they_may(part: int) -> None:
    with pytest.raises(DoesNotFit, match=f"{part} MiB for each of 3 nodes; .*expected 256 to 2048 MiB"):
        machine.check_parts(part, 3, 3 * 2048 + machine.SPARE_MIB, "--memory-mib-per-node")
    machine.check_parts(256, 3, 3 * 2048 + machine.SPARE_MIB, "--memory-mib-per-node")
    machine.check_parts(2048, 3, 3 * 2048 + machine.SPARE_MIB, "--memory-mib-per-node")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("up --nodes 0", "1 to 50"),
        ("up --nodes 99", "1 to 50"),
        ("up --memory-mib-per-node 0", "256 to"),
        ("up --memory-mib-per-node 99999999", "256 to"),
    ],
)
def test_an_up_that_cannot_be_leaves_no_folder(tmp_path: Path, words: str, said: str) -> None:
    data = tmp_path / "data"
    refused = CliRunner().invoke(application("up"), [*words.split(), "--data", str(data)])
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert not data.exists()


def test_a_cluster_that_cannot_be_kept_is_one_clear_error(tmp_path: Path) -> None:
    made = cluster.choose(1, 256, 1.0)
    broken = msgspec.structs.replace(made, nodes=(msgspec.structs.replace(made.nodes[0], name="a/b"),))
    lock = keeping.take(DataFolder(tmp_path))
    assert lock is not None
    with pytest.raises(Invalid, match=r"agent-a/b.*cluster\.json"):
        keeping.begin(DataFolder(tmp_path), broken, lock)
    assert not keeping.running(DataFolder(tmp_path))
    assert not (tmp_path / "keeper" / "spec.json").exists()
