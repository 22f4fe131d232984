"""The verbs of our client, against a real API server."""

import asyncio
from pathlib import Path

import pytest
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes
from objects import pod, settings

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooMany,
    Unauthorized,
    Unreachable,
)
from upcall.substrate.kubernetes.client.kinds import BUDGET, CONFIG_MAP, NAMESPACE, POD, SERVICE_ACCOUNT, Kind
from upcall.substrate.kubernetes.client.login import find, from_kubeconfig, in_cluster


async def test_what_is_made_can_be_read_listed_and_removed(api: Api, namespace: str) -> None:
    await api.create(CONFIG_MAP, settings("one", colour="red"), namespace)
    found = await api.get(CONFIG_MAP, "one", namespace)
    assert found["data"] == {"colour": "red"}
    assert found["kind"] == "ConfigMap"
    assert "managedFields" not in found["metadata"]
    listed = await api.list(CONFIG_MAP, namespace, fields="metadata.name=one")
    assert [(each["kind"], each["metadata"]["name"]) for each in listed.objects] == [("ConfigMap", "one")]
    assert int(listed.version) >= int(found["metadata"]["resourceVersion"])
    await api.delete(CONFIG_MAP, "one", namespace)
    with pytest.raises(NotFound, match='configmaps "one" not found'):
        await api.get(CONFIG_MAP, "one", namespace)


async def test_a_list_of_more_than_a_page_is_whole(api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upcall.substrate.kubernetes.client.api.PAGE", 3)
    names = {f"one-{number}" for number in range(8)}
    for name in names:
        await api.create(CONFIG_MAP, settings(name) | {"metadata": {"name": name, "labels": {"of": "test"}}}, namespace)
    before = api.connection.calls
    listed = await api.list(CONFIG_MAP, namespace, labels="of=test")
    assert {each["metadata"]["name"] for each in listed.objects} == names
    assert api.connection.calls - before == 3


async def test_errors_are_kinds_with_the_servers_words(api: Api, namespace: str) -> None:
    await api.create(CONFIG_MAP, settings("one"), namespace)
    with pytest.raises(AlreadyExists, match='configmaps "one" already exists'):
        await api.create(CONFIG_MAP, settings("one"), namespace)
    with pytest.raises(Invalid) as invalid:
        await api.create(POD, {"metadata": {"name": "Not A Name"}, "spec": {"containers": []}}, namespace)
    assert len(invalid.value.causes) >= 2
    assert any("Required value" in cause for cause in invalid.value.causes)
    with pytest.raises(NotFound):
        await api.list(Kind("example.invalid", "v1", "Thing", "things"), namespace)


async def test_applied_fields_are_ours_and_what_is_not_applied_again_goes(api: Api, namespace: str) -> None:
    first = await api.apply(CONFIG_MAP, settings("one", ours="1", other="2"), namespace)
    again = await api.apply(CONFIG_MAP, settings("one", ours="1", other="2"), namespace)
    assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"], "applied twice is applied once"
    await api.merge(CONFIG_MAP, "one", {"data": {"theirs": "3"}}, namespace)
    changed = await api.apply(CONFIG_MAP, settings("one", ours="4"), namespace)
    assert changed["data"] == {"ours": "4", "theirs": "3"}


async def test_a_field_of_somebody_else_is_a_conflict_that_names_him_unless_it_is_forced(
    api: Api, namespace: str
) -> None:
    theirs = Api(api.connection, manager="somebody-else")
    await theirs.apply(CONFIG_MAP, settings("one", colour="red"), namespace)
    with pytest.raises(Conflict, match="somebody-else"):
        await api.apply(CONFIG_MAP, settings("one", colour="blue"), namespace)
    assert (await api.apply(CONFIG_MAP, settings("one", colour="blue"), namespace, force=True))["data"] == {
        "colour": "blue"
    }


async def test_a_write_of_an_older_version_is_refused(api: Api, namespace: str) -> None:
    read = await api.create(CONFIG_MAP, settings("one", colour="red"), namespace)
    await api.replace(CONFIG_MAP, read | {"data": {"colour": "blue"}}, namespace)
    with pytest.raises(Conflict, match="the object has been modified"):
        await api.replace(CONFIG_MAP, read | {"data": {"colour": "green"}}, namespace)
    stale = settings("one", mine="x")
    stale["metadata"]["resourceVersion"] = read["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        await api.apply(CONFIG_MAP, stale, namespace)
    assert (await api.get(CONFIG_MAP, "one", namespace))["data"] == {"colour": "blue"}


async def test_a_deletion_is_of_this_very_object_as_it_was_seen(api: Api, namespace: str) -> None:
    first = await api.create(CONFIG_MAP, settings("one"), namespace)
    await api.delete(CONFIG_MAP, "one", namespace, uid=first["metadata"]["uid"])
    second = await api.create(CONFIG_MAP, settings("one"), namespace)
    with pytest.raises(Conflict, match="UID"):
        await api.delete(CONFIG_MAP, "one", namespace, uid=first["metadata"]["uid"])
    await api.merge(CONFIG_MAP, "one", {"data": {"a": "b"}}, namespace)
    with pytest.raises(Conflict, match="ResourceVersion"):
        await api.delete(CONFIG_MAP, "one", namespace, version=second["metadata"]["resourceVersion"])
    assert await api.get(CONFIG_MAP, "one", namespace)


async def test_what_is_tried_changes_nothing(api: Api, namespace: str) -> None:
    await api.create(CONFIG_MAP, settings("never"), namespace, dry_run=True)
    await api.apply(CONFIG_MAP, settings("never"), namespace, dry_run=True)
    with pytest.raises(NotFound):
        await api.get(CONFIG_MAP, "never", namespace)
    await api.create(CONFIG_MAP, settings("one"), namespace)
    await api.delete(CONFIG_MAP, "one", namespace, dry_run=True)
    assert await api.get(CONFIG_MAP, "one", namespace)


async def test_a_status_is_written_apart_from_what_is_wanted(api: Api, namespace: str) -> None:
    await api.create(POD, pod("one"), namespace)
    said = {"metadata": {"name": "one"}, "status": {"message": "said"}}
    await api.apply(POD, said, namespace, part="status", force=True)
    assert (await api.get(POD, "one", namespace))["status"]["message"] == "said"


async def test_an_eviction_that_a_budget_holds_is_too_many_with_the_reason_and_is_not_tried_again(
    api: Api, namespace: str, nodes: PlayedNodes
) -> None:
    await api.create(POD, pod("one", labels={"of": "test"}), namespace)
    budget = {
        "metadata": {"name": "floor"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"of": "test"}}},
    }
    await api.create(BUDGET, budget, namespace)
    await nodes.until(lambda: nodes.ready("one"), "the pod runs")
    async with asyncio.timeout(120):
        # Until its controller has counted, the budget says that it is not known yet, which is 429 as well.
        while (await api.get(BUDGET, "floor", namespace)).get("status", {}).get("expectedPods") != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    before = api.connection.calls
    with pytest.raises(TooMany, match="budget"):
        await api.evict("one", namespace)
    assert api.connection.calls - before == 1
    assert nodes.named("one") is not None
    await api.delete(BUDGET, "floor", namespace)
    with pytest.raises(Conflict):
        await api.evict("one", namespace, uid="00000000-0000-0000-0000-000000000000")
    await api.evict("one", namespace, dry_run=True)
    assert not (await api.get(POD, "one", namespace))["metadata"].get("deletionTimestamp")
    await api.evict("one", namespace)
    await nodes.until(lambda: nodes.named("one") is None, "it is gone")


async def test_who_may_not_is_told_which_verb_of_what_where(plane: ControlPlane, namespace: str) -> None:
    login = from_kubeconfig((plane.user("nobody", "somebody"),))
    async with Connection(login) as connection:
        with pytest.raises(Forbidden, match=f'"somebody" cannot list resource "pods".*"{namespace}"'):
            await Api(connection).list(POD, namespace)


async def test_a_pod_logs_in_with_its_service_account_and_reads_its_token_again_when_it_is_refused(
    plane: ControlPlane, api: Api, namespace: str, tmp_path: Path
) -> None:
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    granted = await api.create(SERVICE_ACCOUNT, wanted, namespace, name="default", part="token")
    (tmp_path / "ca.crt").write_bytes(plane.authority.certificate.read_bytes())
    (tmp_path / "namespace").write_text(namespace)
    (tmp_path / "token").write_text(granted["status"]["token"])
    host, port = "127.0.0.1", str(plane.api_port)
    login = in_cluster(tmp_path, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port})
    assert login.namespace == namespace
    async with Connection(login) as connection:
        with pytest.raises(Forbidden, match=f"system:serviceaccount:{namespace}:default"):
            await Api(connection).list(POD, namespace)
        (tmp_path / "token").write_text("worthless")
        await login.token(anew=True)
        with pytest.raises(Unauthorized):
            await Api(connection).list(POD, namespace)
        await login.token(anew=True)
        (tmp_path / "token").write_text(granted["status"]["token"])
        # It still has the worthless one, is refused, and looks again.
        with pytest.raises(Forbidden):
            await Api(connection).list(POD, namespace)


async def test_a_login_program_is_asked_once_for_many_calls(
    plane: ControlPlane, api: Api, namespace: str, tmp_path: Path
) -> None:
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    granted = await api.create(SERVICE_ACCOUNT, wanted, namespace, name="default", part="token")
    program = tmp_path / "login"
    program.write_text(
        f"#!/bin/sh\necho asked >> {tmp_path}/asked\n"
        'echo "{\\"apiVersion\\": \\"client.authentication.k8s.io/v1\\", \\"kind\\": \\"ExecCredential\\", '
        f'\\"status\\": {{\\"token\\": \\"{granted["status"]["token"]}\\"}}}}"\n'
    )
    program.chmod(0o700)
    config = tmp_path / "config"
    config.write_text(
        f"""
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: me, namespace: {namespace}}}}}]
clusters: [{{name: test, cluster: {{server: "{plane.server}", certificate-authority: {plane.authority.certificate}}}}}]
users: [{{name: me, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: ./login}}}}}}]
"""
    )
    login = from_kubeconfig((config,))
    async with Connection(login) as connection:

        async def refused() -> None:
            with pytest.raises(Forbidden, match="serviceaccount"):
                await Api(connection).list(POD, login.namespace)

        await asyncio.gather(*(refused() for _ in range(5)))
    assert (tmp_path / "asked").read_text() == "asked\n"


async def test_the_kubeconfig_of_kubectl_is_found(
    plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{plane.kubeconfig()}")
    async with Connection(find()) as connection:
        assert (await Api(connection).get(NAMESPACE, namespace))["metadata"]["name"] == namespace


async def test_nobody_at_the_address_is_no_answer(plane: ControlPlane, namespace: str) -> None:
    login = from_kubeconfig((plane.kubeconfig(),))
    nowhere = type(login)("https://127.0.0.1:1", login.trust, login.token)
    async with Connection(nowhere) as connection:
        with pytest.raises(Unreachable, match="does not answer"):
            await Api(connection).list(POD, namespace)
