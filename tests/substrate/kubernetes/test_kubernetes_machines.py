"""What a data folder says of Kubernetes, and what the master has of such machines; without a cluster."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from upcall.cluster.folder import Cluster, DataFolder
from upcall.kubernetes.machines import KubernetesMachines, make
from upcall.kubernetes.settings import FILE, load
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.protocol.operator import AddNode
from upcall.protocol.service import RunTool
from upcall.substrate.interface import Output
from upcall.substrate.kubernetes.requests import Listed
from upcall.substrate.machines import LaunchContext, Machines

CLUSTER = Cluster(cluster="c", prefix="127.9.9", url="https://127.9.9.1:1", substrate="kubernetes")


class Master:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def monotonic(self) -> float:
        return 10.0

    def wall(self) -> float:
        return 1000.0

    def context(self, task: Any, declaration: Any) -> LaunchContext:
        raise AssertionError("nothing is rendered for a pod")

    def take(self, call: Callable[[float], Output]) -> None:
        call(10.0)

    def tell(self, node: str, text: str, *, detail: bool = False) -> None:
        self.told.append((node, text))

    def alert(self, about: str, text: str, *, over: bool = False) -> None:
        self.told.append((about, text))

    async def blob(self, sha256: str) -> bytes:
        raise AssertionError

    def admit(self, party: str) -> None: ...

    def dismiss(self, party: str) -> None: ...


def kubeconfig(folder: Path) -> Path:
    path = folder / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "one", "cluster": {"server": "http://127.0.0.1:1"}}],
                "contexts": [{"name": "here", "context": {"cluster": "one"}}],
                "current-context": "here",
            }
        )
    )
    return path


def settings(folder: Path, text: str) -> DataFolder:
    (folder / FILE).write_text(text)
    return DataFolder(folder)


@pytest.fixture
def machines(tmp_path: Path) -> KubernetesMachines:
    text = f'{{"kubeconfig": "{kubeconfig(tmp_path)}", "namespace": "data", "image": "upcall:1"}}'
    made = make(settings(tmp_path, text), CLUSTER, Master())
    made.substrate({})
    return made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "it is not said which Kubernetes"),
        ("{", "cannot be read"),
        ('{"namespace": "data"}', "missing required field `image`"),
        ('{"namespace": "", "image": "x"}', "length >= 1"),
        ('{"namespace": "data", "image": "x", "naemspace": "y"}', "unknown field `naemspace`"),
        ('{"namespace": "data", "image": "x", "evictions": {"port": 0}}', ">= 1"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    folder = DataFolder(tmp_path) if text is None else settings(tmp_path, text)
    with pytest.raises(Invalid, match=message) as refused:
        load(folder)
    assert FILE in refused.value.problem.where


def test_a_context_that_there_is_not_is_named_before_anything_begins(tmp_path: Path) -> None:
    text = f'{{"kubeconfig": "{kubeconfig(tmp_path)}", "context": "there", "namespace": "data", "image": "x"}}'
    with pytest.raises(Invalid, match="there is no context there; there are: here"):
        make(settings(tmp_path, text), CLUSTER, Master())


def test_it_is_machines_of_the_interface(machines: KubernetesMachines) -> None:
    same: Machines = machines
    assert same.routers() == ()
    assert machines.core.capabilities.placement == "delegated"


async def test_where_pods_have_no_door_what_would_come_through_it_says_so(machines: KubernetesMachines) -> None:
    tool = RunTool(member="m-0", command=("true",))
    with pytest.raises(Conflict, match=r"no tool can be run beside log\.m-0\.1: nobody answers our part in the pods"):
        await machines.run("log.m-0.1", "node-1", tool)
    with pytest.raises(Conflict, match=r"the log of log\.m-0\.1 cannot be read: nobody answers our part in the pods"):
        await anext(machines.read_log("log.m-0.1", "node-1", "both", 10, follow=False))
    assert machines.usage("log.m-0.1") is None


async def test_what_a_pod_would_answer_is_awaited_while_it_is_not_connected(tmp_path: Path) -> None:
    text = f'{{"kubeconfig": "{kubeconfig(tmp_path)}", "namespace": "data", "image": "i", "pods": {{"port": 7444}}}}'
    machines = make(settings(tmp_path, text), CLUSTER, Master())
    machines.substrate({})
    with pytest.raises(NotNow, match=r"our part in the pod of log\.m-0\.1 is not connected"):
        await machines.run("log.m-0.1", "node-1", RunTool(member="m-0", command=("true",)))
    with pytest.raises(NotNow, match=r"our part in the pod of log\.m-0\.1 is not connected"):
        await anext(machines.read_log("log.m-0.1", "node-1", "both", 10, follow=False))


@pytest.mark.parametrize(
    ("pods", "url"),
    [
        ({"port": 7444}, "https://127.0.0.1:7444"),
        ({"host": "upcall.data.svc", "port": 443}, "https://upcall.data.svc:443"),
    ],
)
def test_pods_are_told_where_they_reach_the_master_and_in_which_domain_members_have_names(
    tmp_path: Path, pods: dict[str, Any], url: str
) -> None:
    text = json.dumps({"kubeconfig": str(kubeconfig(tmp_path)), "namespace": "data", "image": "i", "pods": pods})
    given = load(settings(tmp_path, text)).of_pods(CLUSTER)
    assert (given.master_url, given.domain) == (url, "data.svc")


async def test_nodes_are_not_ours_to_add_or_to_remove(machines: KubernetesMachines) -> None:

    async def before(name: str) -> None:
        raise AssertionError

    with pytest.raises(Conflict, match="none is added by upcall"):
        await machines.add_node(AddNode(name="node-9"), before)
    node = {"metadata": {"name": "node-1", "uid": "u-1", "resourceVersion": "5"}}
    machines.core.heard(Listed("Node", (node,), 5), 10.0)
    with pytest.raises(NotNow, match="node-1 is Kubernetes'"):
        await machines.end_node("node-1")
    machines.core.heard(Listed("Node", (), 6), 11.0)
    await machines.end_node("node-1")


def test_who_can_prove_that_a_node_is_dead_is_asked_for_it_once(tmp_path: Path) -> None:
    master = Master()
    text = f'{{"kubeconfig": "{kubeconfig(tmp_path)}", "namespace": "data", "image": "upcall:1"}}'
    machines = make(settings(tmp_path, text), CLUSTER, master)
    machines.prove("node-1")
    machines.prove("node-1")
    ((node, words),) = master.told
    assert node == "node-1"
    assert "kubectl taint node node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in words
