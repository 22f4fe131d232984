"""`up --on`: what is wrong with what was typed is said before anybody is asked, and no cluster is noted for it."""

from pathlib import Path

import msgspec
import pytest

from upcall.cli.main import run
from upcall.cluster.folder import Cluster, DataFolder, write_private
from upcall.kubernetes.installing import chart
from upcall.kubernetes.settings import FILE, Settings

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: there, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: me, user: {token: t}}]
contexts: [{name: here, context: {cluster: there, user: me}}]
"""


@pytest.fixture(autouse=True)
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("UPCALL_DATA", str(tmp_path / "data"))
    return path


def of_kubernetes(tmp_path: Path, kubeconfig: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.make_private()
    settings = Settings(kubeconfig=str(kubeconfig), context="here", namespace="data", image="i")
    write_private(folder.root / FILE, msgspec.json.encode(settings))
    folder.save_cluster(
        Cluster(cluster="upcall-1", prefix="127.0.0", url="https://localhost:5050", control_plane="kubernetes")
    )
    return folder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--on", "mars"], "nobody knows how to be on 'mars' where: --on expected: kubernetes"),
        (["--on", "kubernetes", "--nodes", "3"], "virtual nodes are of this machine"),
        (["--context", "here"], "--context without --on"),
        (["--chart", "x", "--namespace", "n"], "--namespace, --chart without --on"),
        (["--replicas", "3", "--storage-class", "fast"], "--replicas, --storage-class without --on"),
        (["--on", "kubernetes", "--context", "gone"], "there is no context gone; there are: here"),
        (["--on", "kubernetes", "--replicas", "0"], "0 replicas"),
        (["--on", "kubernetes", "--image", "i"], "127.0.0.1:9 does not answer"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["up", *words]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "data" / "cluster.json").exists()


def test_the_chart_needs_no_cluster_and_goes_into_an_empty_folder_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "chart"
    assert run(["up", "--on", "kubernetes", "--chart", str(there)]) == 0
    assert (there / "Chart.yaml").read_text() == chart.files()["Chart.yaml"]
    assert run(["up", "--on", "kubernetes", "--chart", str(there)]) == 1
    assert "is not empty" in capsys.readouterr().err


def test_a_folder_says_once_and_for_all_where_its_cluster_is(
    tmp_path: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_kubernetes(tmp_path, kubeconfig)
    for words, said in (
        (["up"], "this data folder is of a cluster on kubernetes"),
        (["up", "--on", "kubernetes", "--namespace", "other"], "of a cluster with --namespace data, not other"),
        (["status"], "127.0.0.1:9 does not answer"),
        (["open"], "127.0.0.1:9 does not answer"),
        (["down"], "127.0.0.1:9 does not answer"),
    ):
        assert run(words) == 1
        assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "127.0.0.1:9 does not answer"),
        (["--once"], "what is measured is this machine"),
        (["--image", "i"], "it is said where, and not on what"),
        (["--on", "mars"], "nobody knows how to be on 'mars'"),
    ],
)
def test_a_demo_begins_no_cluster_here_where_its_folder_is_of_one_elsewhere(
    words: list[str], said: str, tmp_path: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = of_kubernetes(tmp_path, kubeconfig)
    assert run(["demo", *words]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not folder.wanted_up.exists()


def test_a_cluster_of_this_machine_does_not_become_one_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make_private()
    folder.save_cluster(Cluster(cluster="upcall-2", prefix="127.1.2", url="https://127.1.2.1:5050"))
    assert run(["up", "--on", "kubernetes", "--image", "i"]) == 1
    assert "this data folder is of a cluster on this machine" in capsys.readouterr().err
