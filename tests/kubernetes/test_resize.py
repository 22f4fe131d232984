"""More and less for a task that runs, on a real API server: what it takes at the subresource ``resize``, and what of a
node's word is read. The nodes are played; real ones are ``containers/test_resize_in_containers.py``."""

import msgspec
import pytest
from driving import TASK, Driven, wanted
from lab.nodes import PlayedNodes

from upcall.protocol.declaration import Resources
from upcall.substrate.interface import Resizing
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import POD, Kind, Object
from upcall.substrate.kubernetes.resizing import LIMIT_STAYS

LIMITS = Kind("", "v1", "LimitRange", "limitranges")
MORE = Resources(cpus=1.0, memory_mib=512)


@pytest.fixture
async def pod(driven: Driven, nodes: PlayedNodes) -> Object:
    driven.take(lambda now_s: driven.core.launch(wanted(), now_s))
    await driven.until(lambda: driven.states(TASK)[-1:] == ["ready"], "it is ready")
    (found,) = nodes.pods.values()
    return found


async def until(driven: Driven, resources: Resources, state: str) -> Resizing:
    driven.take(lambda now_s: driven.core.resize(TASK, resources, now_s))
    await driven.until(lambda: driven.core.resizing(TASK, resources).state == state, f"it is {state}")
    return driven.core.resizing(TASK, resources)


async def test_it_is_given_more_and_then_less_and_runs_on(
    driven: Driven, api: Api, namespace: str, pod: Object
) -> None:
    for resources in (MORE, wanted().declaration.resources):
        await until(driven, resources, "done")
        again = await api.get(POD, pod["metadata"]["name"], namespace)
        assert again["metadata"]["uid"] == pod["metadata"]["uid"]
        assert again["spec"]["containers"][0]["resources"]["limits"]["memory"] == f"{resources.memory_mib}Mi"
        assert again["status"]["containerStatuses"][0]["restartCount"] == 0
    assert driven.last(TASK).state == "ready"
    assert driven.told() == []


@pytest.mark.parametrize(("reason", "state"), [("Deferred", "waits"), ("Infeasible", "refused")])
async def test_what_its_node_does_not_give_is_said_in_its_words_and_taken_back(
    driven: Driven, nodes: PlayedNodes, pod: Object, reason: str, state: str
) -> None:
    nodes.resizes = lambda _: (reason, "Node didn't have enough resource: memory")
    driven.take(lambda now_s: driven.core.resize(TASK, MORE, now_s))
    words = f"{reason}: Node didn't have enough resource: memory"
    await driven.until(lambda: driven.core.resizing(TASK, MORE) == Resizing(state=state, reason=words), "it says so")  # type: ignore[arg-type]
    nodes.resizes = lambda _: ("", "")
    before = wanted().declaration.resources
    assert await until(driven, before, "done") == Resizing(state="done")


async def test_a_limit_is_not_lifted_while_it_runs(driven: Driven, api: Api, namespace: str, pod: Object) -> None:
    without = msgspec.structs.replace(MORE, memory_mib=0)
    assert (await until(driven, without, "refused")).reason == LIMIT_STAYS
    again = await api.get(POD, pod["metadata"]["name"], namespace)
    assert again["spec"] == pod["spec"], "nothing was asked for"


async def test_what_a_rule_of_the_namespace_forbids_is_said_in_its_words(
    driven: Driven, api: Api, namespace: str, pod: Object
) -> None:
    most = {"limits": [{"type": "Container", "max": {"memory": "300Mi"}}]}
    await api.create(LIMITS, {"metadata": {"name": "small"}, "spec": most}, namespace)
    driven.take(lambda now_s: driven.core.resize(TASK, MORE, now_s))
    await driven.until(lambda: "300Mi" in driven.core.resizing(TASK, MORE).reason, "it says so")
    assert driven.core.resizing(TASK, MORE).state == "waits"
    assert driven.last(TASK).state == "ready"


async def test_more_than_its_node_has_is_refused_in_the_servers_words(
    driven: Driven, nodes: PlayedNodes, pod: Object
) -> None:
    much = Resources(cpus=nodes.cpus + 1.0, memory_mib=512)
    reason = (await until(driven, much, "refused")).reason
    assert "node didn't have enough allocatable resources: cpu" in reason
    assert await until(driven, wanted().declaration.resources, "done") == Resizing(state="done")
