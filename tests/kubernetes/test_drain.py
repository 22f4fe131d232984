"""``kubectl drain``, typed by somebody who never heard of us, waits for a service's consent."""

import asyncio
import contextlib
import datetime

import pytest
from evicting import Asked, drain, read_until
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes
from objects import pod, settings

from upcall.substrate.kubernetes.certificates.renewing import TOLD_FOR
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import TooMany
from upcall.substrate.kubernetes.client.kinds import BUDGET, CONFIG_MAP, NODE, POD, WEBHOOK, Object
from upcall.substrate.kubernetes.client.watching import Changed, Listed, watch
from upcall.substrate.kubernetes.evictions.objects import DISRUPTION, NAME, floor
from upcall.substrate.kubernetes.evictions.serving import Webhook
from upcall.substrate.kubernetes.names import HELD, MEMBER, SERVICE

LIMIT_S = 400.0
REASON = "6 parts would have a single copy"


def member(name: str, node: str) -> Object:
    labels = {SERVICE: "store", MEMBER: name, HELD: "true"}
    return pod(name, labels=labels, nodeSelector={"kubernetes.io/hostname": node})


async def members(api: Api, namespace: str, nodes: PlayedNodes, *names: str) -> None:
    await api.apply(BUDGET, floor(), namespace)
    for name in names:
        await api.create(POD, member(name, "node-1"), namespace)
    await nodes.until(lambda: all(nodes.ready(name) for name in names), "all members run")


async def consenting(api: Api, namespace: str, agree: asyncio.Event, seen: asyncio.Queue[str]) -> None:
    """Plays the ledger: gives each disruption its reason, then its consent."""
    async with contextlib.aclosing(watch(api, DISRUPTION, namespace)) as events:
        async for event in events:
            found = (
                event.objects if isinstance(event, Listed) else (event.object,) if isinstance(event, Changed) else ()
            )
            for each in found:
                if each.get("status"):
                    continue
                name = each["metadata"]["name"]
                await say(api, namespace, name, allowed=False, message=REASON)
                seen.put_nowait(each["spec"]["pod"])
                await agree.wait()
                await say(api, namespace, name, allowed=True, message="agreed")


async def say(api: Api, namespace: str, name: str, *, allowed: bool, message: str) -> None:
    status = {"metadata": {"name": name}, "status": {"allowed": allowed, "message": message}}
    await api.apply(DISRUPTION, status, namespace, part="status", force=True)


async def test_a_drain_waits_for_consent_says_why_and_then_ends(
    plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, asked: Asked
) -> None:
    await members(api, namespace, nodes, "replica-1", "replica-2")
    await api.create(POD, pod("stranger", nodeSelector={"kubernetes.io/hostname": "node-1"}), namespace)
    await nodes.until(lambda: nodes.ready("stranger"), "the stranger runs")
    agree, seen = asyncio.Event(), asyncio.Queue[str]()
    ledger = asyncio.create_task(consenting(api, namespace, agree, seen))
    draining = await drain(plane, "node-1")
    said = await read_until(draining, REASON)
    assert "will retry" in said
    assert NAME in said, "whoever reads it knows whom to ask"
    await nodes.until(lambda: nodes.named("stranger") is None, "nobody holds the stranger")
    assert nodes.ready("replica-1")
    assert nodes.ready("replica-2")
    assert (await api.get(NODE, "node-1"))["spec"]["unschedulable"] is True
    agree.set()
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    assert "node/node-1 drained" in rest.decode()
    assert nodes.named("replica-1") is None
    stand = (await api.list(DISRUPTION, namespace)).objects
    assert sorted(each["spec"]["pod"] for each in stand) == ["replica-1", "replica-2"], "one for each, however often"
    assert {each["spec"]["who"] for each in stand} == {"admin"}
    ledger.cancel()
    slowest = max(asked.webhook.seconds)
    print(f"{len(asked.webhook.seconds)} reviews, the slowest {slowest * 1000:.0f} ms")


async def test_a_dry_run_leaves_nothing(
    plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, asked: Asked
) -> None:
    await members(api, namespace, nodes, "replica-1")
    draining = await drain(plane, "node-1", "--dry-run=server")
    said = await read_until(draining, "would be asked whether replica-1 may go")
    draining.kill()
    await draining.wait()
    assert "evicting pod" in said
    assert (await api.list(DISRUPTION, namespace)).objects == ()
    assert nodes.ready("replica-1")
    assert HELD in (await api.get(POD, "replica-1", namespace))["metadata"]["labels"]


async def test_while_we_are_away_the_floor_holds_and_a_drain_goes_on_when_we_are_back(
    plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, disruptions: None
) -> None:
    one = Asked(api, namespace, Webhook(api))
    async with one.serve():
        await one.until_heard()
        await members(api, namespace, nodes, "replica-1")
    draining = await drain(plane, "node-1")
    said = await read_until(draining, "disruption budget")
    assert "will retry" in said
    assert nodes.ready("replica-1")
    agree, seen = asyncio.Event(), asyncio.Queue[str]()
    agree.set()
    ledger = asyncio.create_task(consenting(api, namespace, agree, seen))
    async with one.serve():
        async with asyncio.timeout(LIMIT_S):
            rest, _ = await draining.communicate()
        assert draining.returncode == 0, rest.decode()
        assert nodes.named("replica-1") is None
    ledger.cancel()
    await api.delete(WEBHOOK, NAME)


async def test_consent_does_not_pass_on_to_the_next_pod_of_the_same_name(
    api: Api, namespace: str, nodes: PlayedNodes, asked: Asked
) -> None:
    await members(api, namespace, nodes, "replica-1")
    with pytest.raises(TooMany, match="is asked whether replica-1 may go"):
        await api.evict("replica-1", namespace)
    (first,) = (await api.list(DISRUPTION, namespace)).objects
    await say(api, namespace, first["metadata"]["name"], allowed=True, message="agreed")
    await api.evict("replica-1", namespace)
    await nodes.until(lambda: nodes.named("replica-1") is None, "it is gone")
    await api.create(POD, member("replica-1", "node-1"), namespace)
    await nodes.until(lambda: nodes.ready("replica-1"), "another one runs")
    with pytest.raises(TooMany, match="is asked whether replica-1 may go"):
        await api.evict("replica-1", namespace)
    assert len((await api.list(DISRUPTION, namespace)).objects) == 2


async def test_certificates_are_renewed_while_it_answers(
    api: Api, namespace: str, nodes: PlayedNodes, disruptions: None
) -> None:
    """After two thirds of a year the authority is made anew, then what it signs; each eviction meanwhile is ours."""
    one = Asked(api, namespace, Webhook(api), ahead=-datetime.timedelta(days=250))
    async with one.serve():
        await one.until_heard()
        await members(api, namespace, nodes, "replica-1")
        first, _ = await one.keeper.step()

        async def still_ours() -> None:
            with pytest.raises(TooMany, match="is asked whether replica-1 may go"):
                await api.evict("replica-1", namespace)

        await still_ours()
        one.ahead = datetime.timedelta()
        second = await one.keeper.look()
        assert second.bundle.count(b"BEGIN") == 2, "the new one is trusted"
        assert second.certificate == first.certificate, "and nothing is signed by it yet"
        await still_ours()
        # The API server takes up whom to trust in its own time, for which the keeper waits a minute.
        one.ahead = TOLD_FOR
        await asyncio.sleep(3)
        third = await one.keeper.look()
        assert third.certificate != first.certificate
        await still_ours()
        # A webhook that was begun meanwhile keeps the same.
        other = Asked(api, namespace, Webhook(api), ahead=TOLD_FOR)
        async with other.serve():
            assert (await other.keeper.look()) == third
    await api.delete(WEBHOOK, NAME)


async def test_a_certificate_that_has_expired_is_the_floors_turn_until_it_is_made_anew(
    api: Api, namespace: str, nodes: PlayedNodes, disruptions: None
) -> None:
    """Nobody of us was there for longer than it was good; what was asked meanwhile is held without our words."""
    one = Asked(api, namespace, Webhook(api), ahead=-datetime.timedelta(days=400))
    async with one.serve():
        await members(api, namespace, nodes, "replica-1")
        async with asyncio.timeout(LIMIT_S):
            while True:
                with pytest.raises(TooMany) as held:
                    await api.evict("replica-1", namespace)
                if "disruption budget" in held.value.message:
                    break
                await asyncio.sleep(0.1)
        assert not (await api.list(DISRUPTION, namespace)).objects, "the API server does not trust who expired"
        one.ahead = datetime.timedelta()
        await one.keeper.look()
        async with asyncio.timeout(LIMIT_S):
            while "is asked whether replica-1 may go" not in held.value.message:
                with pytest.raises(TooMany) as held:
                    await api.evict("replica-1", namespace)
    await api.delete(WEBHOOK, NAME)


@pytest.mark.parametrize("owned", [False, True], ids=["bare", "of a controller that the cluster does not know"])
async def test_the_floor_holds_whoever_owns_the_pod(api: Api, namespace: str, nodes: PlayedNodes, owned: bool) -> None:
    """And its controller can count them: one that cannot, holds them too, but says that something is broken."""
    held = member("replica-1", "node-1")
    if owned:
        owner = await api.create(CONFIG_MAP, settings("owner"), namespace)
        named = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        held["metadata"]["ownerReferences"] = [named | {"controller": True}]
    await api.create(POD, held, namespace)
    await nodes.until(lambda: nodes.ready("replica-1"), "it runs")
    await api.apply(BUDGET, floor(), namespace)
    async with asyncio.timeout(LIMIT_S):
        while not (counted := (await api.get(BUDGET, "upcall-holds", namespace)).get("status", {}).get("conditions")):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert counted[0]["reason"] == "InsufficientPods"
    with pytest.raises(TooMany, match="disruption budget"):
        await api.evict("replica-1", namespace)
