"""Services as custom resources on a real API server, with real ``kubectl``: what a person who keeps everything in Git
does, and reads."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from evicting import LIMIT_S
from installed import Installed, installed
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes
from test_rights import BINDING, ROLE, may

from upcall.kubernetes.installing import deleted
from upcall.kubernetes.installing.objects import Wish, definitions, objects
from upcall.kubernetes.resources.kinds import OPERATION, OTHER
from upcall.kubernetes.resources.operator import Operator
from upcall.kubernetes.resources.reading import FINALIZER
from upcall.kubernetes.resources.speaking import Resources
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEFINITION, NAMESPACE, POD, WEBHOOK
from upcall.substrate.kubernetes.client.kinds import ROLE as OF_NAMESPACE
from upcall.substrate.kubernetes.client.login import from_kubeconfig
from upcall.substrate.kubernetes.evictions.objects import NAME

KEPT = Path(__file__).with_name("kept.py")
REASON = "6 parts would have a single copy"


class Person:
    """With a kubeconfig and files."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path) -> None:
        self._plane, self._namespace, self._folder = plane, namespace, folder

    async def said(self, *words: str, limit_s: float = LIMIT_S) -> tuple[int | None, str]:
        command = self._plane.kubectl("--namespace", self._namespace, *words)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        async with asyncio.timeout(limit_s):
            text, _ = await process.communicate()
        return process.returncode, text.decode()

    async def kubectl(self, *words: str, code: int = 0, limit_s: float = LIMIT_S) -> str:
        ended, text = await self.said(*words, limit_s=limit_s)
        assert ended == code, f"kubectl {' '.join(words)}: {ended}: {text}"
        return text

    async def apply(self, kind: str, name: str, code: int = 0, server_side: bool = True, **spec: Any) -> str:
        file = self._folder / f"{name}.yaml"
        said = {"apiVersion": "upcall.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        file.write_text(yaml.safe_dump(said))
        return await self.kubectl("apply", *(("--server-side",) if server_side else ()), "-f", str(file), code=code)

    async def until(
        self, what: str, name: str, holds: Callable[[Any], bool], why: str, limit_s: float = LIMIT_S
    ) -> Any:
        found: Any = None
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    code, text = await self.said("get", what, name, "-o", "json")
                    if code == 0:
                        found = json.loads(text)
                        if holds(found):
                            return found
                    await asyncio.sleep(0.3)
        except TimeoutError:
            raise AssertionError(f"{what} {name}: {why}: never; {json.dumps(found, indent=1)}") from None


def condition(obj: Any, kind: str) -> tuple[str, str, str]:
    for one in (obj.get("status") or {}).get("conditions") or ():
        if one["type"] == kind:
            return one["status"], one["reason"], one["message"]
    return "", "", ""


def stalled(obj: Any) -> bool:
    return condition(obj, "Stalled")[0] == "True"


@pytest.fixture
async def defined(api: Api) -> None:
    for kind, one in definitions():
        await api.apply(kind, one, force=True)
    async with asyncio.timeout(LIMIT_S):
        for _, one in definitions():
            while not is_established(await api.get(DEFINITION, one["metadata"]["name"])):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


def is_established(definition: Any) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


@pytest.fixture
def person(plane: ControlPlane, namespace: str, tmp_path: Path) -> Person:
    return Person(plane, namespace, tmp_path)


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, defined: None
) -> AsyncIterator[Installed]:
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace) as one:
        yield one
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for kind in (POD, OTHER):
        for each in (await api.list(kind, namespace)).objects:
            with contextlib.suppress(NotFound):
                await api.merge(kind, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


@contextlib.asynccontextmanager
async def served(plane: ControlPlane, api: Api, namespace: str, upcall: Installed) -> AsyncIterator[Connection]:
    """What a control plane in the cluster has beside its master, with the rights that it has there, and no others."""
    rules = next(one["rules"] for kind, one in objects(Wish(namespace=namespace, image="-")) if kind is OF_NAMESPACE)
    await may(api, namespace, *rules)
    token = upcall.folder.token_file("operator").read_text().strip()
    try:
        async with (
            Connection(from_kubeconfig((plane.user(namespace, namespace),))) as connection,
            Operator(upcall.folder.master_socket, token) as operator,
        ):
            running = asyncio.create_task(Resources(Api(connection), namespace, operator).run())
            try:
                yield connection
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
    finally:
        for kind in (BINDING, ROLE):
            await api.delete(kind, namespace)


async def test_a_service_lives_as_a_resource(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, person: Person, tmp_path: Path
) -> None:
    busy = tmp_path / "busy"
    await upcall.upcall("install", str(KEPT), "--name", "first", "--set", "count=1")
    options = {"count": 2, "busy": str(busy)}
    async with served(plane, api, namespace, upcall):
        said = await person.apply("DataService", "second", package="kept", options=options)
        assert "serverside-applied" in said
        await person.kubectl("wait", "--for=condition=Ready", "dataservice/second", f"--timeout={LIMIT_S:.0f}s")
        table = await person.kubectl("get", "dsvc")
        assert table.split()[:7] == ["NAME", "PACKAGE", "VERSION", "READY", "REVISION", "HEALTH", "AGE"]
        assert "2/2" in table
        assert "running" in table
        assert "second" in await person.kubectl("get", "upcall")

        # What a resource made is changed there alone.
        for verb, words in (
            ("edit", ("scale", "second", "3")),
            ("edit", ("update", "second", "--set", "count=3")),
            ("delete", ("uninstall", "second")),
        ):
            refused = await upcall.upcall(*words, code=1)
            assert f"second is what dataservice/second in namespace {namespace} says" in refused
            assert f"kubectl -n {namespace} {verb} dataservices.upcall.dev second" in refused

        # A change of its spec is asked about: the service's own reason stands in the status, and in the operation.
        busy.touch()
        await person.apply("DataService", "second", package="kept", options=options | {"label": "b"})
        waits = await person.until("dsvc", "second", lambda one: REASON in str(one.get("status")), "it is deferred")
        assert condition(waits, "Progressing")[:2] == ("True", "Updating")
        operation = waits["status"]["operation"]
        shown = await person.until("operation", operation, lambda one: REASON in str(one), "it says why")
        assert (shown["spec"]["kind"], shown["spec"]["service"]) == ("update", "second")
        assert REASON in await person.kubectl("get", "operations")
        busy.unlink()
        done = await person.until(
            "dsvc",
            "second",
            lambda one: condition(one, "Ready")[0] == "True" and one["status"]["revision"] == 2,
            "done",
        )
        assert done["status"]["ready"] == "2/2"
        await person.until("operation", operation, lambda one: one["status"]["state"] == "done", "its end is shown")

        # A refusal is the command line's sentence, and what stands stands.
        await person.apply("DataService", "second", package="kept", options=options | {"count": 99})
        refusal = await person.until("dsvc", "second", stalled, "it is refused")
        assert condition(refusal, "Stalled")[1] == "Refused"
        assert "options.count" in condition(refusal, "Stalled")[2]
        assert refusal["status"]["ready"] == "2/2"
        assert refusal["status"]["observedGeneration"] == refusal["metadata"]["generation"] == 3

    # Edited while nobody is there.
    await person.apply("DataService", "second", package="kept", options=options | {"count": 1})
    async with served(plane, api, namespace, upcall):
        again = await person.until(
            "dsvc",
            "second",
            lambda one: condition(one, "Ready")[0] == "True" and one["status"]["ready"] == "1/1",
            "one",
        )
        assert not stalled(again)

        # Deleted while it is busy, in the middle of a change.
        busy.touch()
        await person.apply("DataService", "second", package="kept", options=options | {"count": 1, "label": "c"})
        await person.until("dsvc", "second", lambda one: REASON in str(one.get("status")), "the change is deferred")
        await person.kubectl("delete", "dsvc", "second", "--wait=false")
        going = await person.until(
            "dsvc",
            "second",
            lambda one: (
                condition(one, "Progressing")[1] == "Uninstalling" and REASON in condition(one, "Progressing")[2]
            ),
            "its service is asked",
        )
        assert going["metadata"]["deletionTimestamp"]
        assert [one.name for one in upcall.client.status().services] == ["first", "second"]
    # Another leader, in the middle of it.
    async with served(plane, api, namespace, upcall):
        await asyncio.sleep(1)
        live = [one.kind for one in upcall.client.status().operations if one.service == "second" and not one.parent]
        assert live.count("uninstall") == 1
        busy.unlink()
        await person.kubectl("wait", "--for=delete", "dsvc/second", f"--timeout={LIMIT_S:.0f}s")
        assert [one.name for one in upcall.client.status().services] == ["first"]


async def test_a_kind_of_a_package_judges_and_explains_its_options(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, person: Person
) -> None:
    explained = await person.kubectl("explain", "kafka.spec")
    assert all(word in explained for word in ("options", "version", "bindings", "finalize"))
    explained = await person.kubectl("explain", "kafka.spec.options.brokers")
    assert "<integer>" in explained
    assert "Default: 3." in explained
    assert "log.retention.ms" in await person.kubectl("explain", "kafka.spec.options.settings")
    for server_side in (True, False):
        said = await person.apply("Kafka", "events", code=1, server_side=server_side, options={"brokerz": 3})
        assert "brokerz" in said
        said = await person.apply("Kafka", "events", code=1, server_side=server_side, options={"brokers": 10})
        assert "less than or equal to 9" in said
    for name in ("my.events", "e" * 41, "a--b"):
        said = await person.apply("Kafka", name, code=1, options={"brokers": 3})
        assert "is not a name of a service; expected lower-case letters, digits" in said
    await person.apply("DataService", "other", package="kept")
    said = await person.apply("DataService", "other", code=1, package="another")
    assert "a service stays of its package; another one has another name" in said
    await person.kubectl("delete", "dsvc", "other")
    for kind, plural in (("Cassandra", "cassandras"), ("Spark", "sparks"), ("Kafka", "kafkas")):
        assert "No resources found" in await person.kubectl("get", plural), kind
    async with served(plane, api, namespace, upcall):
        await person.apply("Kafka", "events", options={"brokers": 2})
        refused = await person.until("kafka", "events", stalled, "what the schema cannot say is refused by the package")
        assert "two have no majority without each other" in condition(refused, "Stalled")[2]
        assert "refused" in await person.kubectl("get", "kafkas")
        await person.kubectl("delete", "kafka", "events", f"--timeout={LIMIT_S:.0f}s")
        assert not upcall.client.status().services


async def test_while_nothing_happens_nothing_is_asked(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, person: Person
) -> None:
    async with served(plane, api, namespace, upcall) as connection:
        await person.apply("Kafka", "events", options={"brokers": 2})
        await person.until("kafka", "events", stalled, "it is refused")
        await asyncio.sleep(3)
        before = connection.calls
        await asyncio.sleep(30)
        assert connection.calls == before
        await person.kubectl("delete", "kafka", "events", f"--timeout={LIMIT_S:.0f}s")
    assert not (await api.list(OPERATION, namespace)).objects


async def test_a_namespace_that_is_deleted_is_not_kept_by_what_nobody_can_ask(
    api: Api, namespace: str, defined: None
) -> None:
    made = {"metadata": {"name": "left", "finalizers": [FINALIZER]}, "spec": {"package": "kept"}}
    await api.create(OTHER, made, namespace)
    await api.delete(NAMESPACE, namespace)
    await deleted.let_go(api, namespace)
    async with asyncio.timeout(LIMIT_S):
        with contextlib.suppress(NotFound):
            while await api.get(NAMESPACE, namespace):  # noqa: ASYNC110
                await asyncio.sleep(0.3)
