"""The chart in the hands of Helm itself, of both majors that people have, on the real API server. The nodes are played:
what runs in the pods is not, so what a control plane writes is written here."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from evicting import LIMIT_S
from lab.building import Missing
from lab.building_helm import MAJORS, built, version
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes
from test_chart import IMAGE, as_applied, key

from upcall.kubernetes.control_plane.folder import webhook_name
from upcall.kubernetes.installing import chart
from upcall.kubernetes.installing.installing import MANAGER, Installing
from upcall.kubernetes.installing.objects import NAME, Wish, definitions
from upcall.kubernetes.kinds_there import WATCHED, KindsThere
from upcall.kubernetes.records.objects import RECORD
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import (
    DEFINITION,
    DEPLOYMENT,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
    WEBHOOK,
    Kind,
    Object,
)
from upcall.substrate.kubernetes.client.login import from_kubeconfig
from upcall.substrate.kubernetes.evictions.objects import DEFINED, by_service, of_namespace
from upcall.substrate.kubernetes.evictions.serving import telling

RELEASE = "upcall"
BUNDLE = b"-----BEGIN CERTIFICATE-----\nof this control plane\n-----END CERTIFICATE-----\n"


class Helm:
    """The command, with a home of its own."""

    def __init__(self, major: str, program: Path, folder: Path, kubeconfig: Path) -> None:
        self.major, self.program, self.kubeconfig = major, program, kubeconfig
        self.chart = folder / "chart"
        chart.write(self.chart)
        homes = {f"HELM_{each}_HOME": str(folder / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
        self._environment = os.environ | homes | {"KUBECONFIG": str(kubeconfig)}

    async def said(self, *words: str, code: int = 0) -> str:
        """Output and errors, on one line."""
        ended, said, errors = await _ran(str(self.program), *words, environment=self._environment)
        said = " ".join((said + errors).split())
        assert ended == code, f"helm {' '.join(words)}: {ended}: {said}"
        return said

    async def objects(self, namespace: str, *words: str) -> list[Object]:
        """What it would install."""
        command = [str(self.program), "template", RELEASE, str(self.chart), "--namespace", namespace, *words]
        ended, said, errors = await _ran(*command, environment=self._environment)
        assert ended == 0, errors
        return [one for one in yaml.safe_load_all(said) if one]


async def _ran(*command: str, environment: Mapping[str, str]) -> tuple[int | None, str, str]:
    """Beside what is played here meanwhile."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environment)
    async with asyncio.timeout(2 * LIMIT_S):
        said, errors = await process.communicate()
    return process.returncode, said.decode(), errors.decode()


@pytest.fixture(params=MAJORS)
def helm(request: pytest.FixtureRequest, plane: ControlPlane, tmp_path: Path) -> Helm:
    try:
        program = built(request.param)
    except Missing as missing:
        if os.environ.get("UPCALL_KUBERNETES"):
            raise
        pytest.skip(str(missing))
    return Helm(request.param, program, tmp_path, plane.kubeconfig())


@pytest.fixture
async def clean(api: Api, namespace: str) -> AsyncIterator[None]:
    """What is the whole cluster's is gone before and after; a namespace takes the rest with it."""
    await _without_kinds(api)
    yield
    await _gone(api, WEBHOOK, webhook_name(namespace))


async def _gone(api: Api, kind: Kind, name: str) -> None:
    with contextlib.suppress(NotFound):
        await api.delete(kind, name)


async def _without_kinds(api: Api) -> None:
    for kind, one in definitions():
        await _gone(api, kind, one["metadata"]["name"])
    async with asyncio.timeout(LIMIT_S):
        while (await api.list(DEFINITION, fields=f"metadata.name={WATCHED}")).objects:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_it_is_the_release_that_go_mod_names(helm: Helm) -> None:
    assert f"v{version(helm.major)}" in await helm.said("version", "--short")


async def test_it_finds_nothing_to_say_of_the_chart(helm: Helm) -> None:
    assert "0 chart(s) failed" in await helm.said("lint", "--strict", str(helm.chart))
    said = await helm.said("lint", "--strict", str(helm.chart), "--set", f"image={IMAGE}", "--set", "parts=rights")
    assert "0 chart(s) failed" in said


async def test_what_it_makes_of_the_chart_is_what_the_command_applies(helm: Helm) -> None:
    of_chart = await helm.objects("data", "--set", f"image={IMAGE}", "--include-crds")
    applied = [*as_applied("data"), *(kind.of(one) for kind, one in definitions())]
    assert sorted(of_chart, key=key) == sorted(applied, key=key)

    other = ("--set", "replicas=3", "--set", "storageClass=fast", "--set", "volumesBoundToNode=true")
    wish = Wish(namespace="data", image=IMAGE, replicas=3, storage_class="fast", volumes_bound_to_node="true")
    of_chart = await helm.objects("data", "--set", f"image={IMAGE}", *other)
    assert sorted(of_chart, key=key) == sorted(as_applied("data", wish), key=key)

    parts = [
        *await helm.objects("data", "--set", "parts=rights"),
        *await helm.objects("data", "--set", f"image={IMAGE}", "--set", "parts=rest"),
    ]
    assert sorted(parts, key=key) == sorted(as_applied("data"), key=key)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("replicas=0",), ("replicas", "minimum")),
        (("replicas=many",), ("replicas", "integer")),
        (("volumesBoundToNode=perhaps",), ("volumesBoundToNode", "boolean")),
        (("parts=some",), ("parts", "'all', 'rights', 'rest'")),
        (("imag=x",), ("imag", "dditional propert")),
        (("image=a b",), ("image", "pattern")),
        (("replicas=2",), ("image: what `upcall image build` has pushed",)),
    ],
)
async def test_values_that_mean_nothing_are_refused_by_name_before_anything_is_made(
    helm: Helm, words: tuple[str, ...], named: tuple[str, ...]
) -> None:
    sets = [part for word in words for part in ("--set", word)]
    said = await helm.said("install", RELEASE, str(helm.chart), "--namespace", "nowhere", *sets, code=1)
    for word in named:
        assert word in said, said


async def _replicas(api: Api, namespace: str) -> int:
    return int((await api.get(DEPLOYMENT, NAME, namespace))["spec"]["replicas"])


async def _bundle(api: Api, namespace: str) -> str:
    webhook = await api.get(WEBHOOK, webhook_name(namespace))
    return str(webhook["webhooks"][0]["clientConfig"].get("caBundle", ""))


async def test_a_release_lives(helm: Helm, api: Api, namespace: str, nodes: PlayedNodes, clean: None) -> None:
    """Installed, changed, taken back, taken away, and installed again over what was kept."""
    where = ("--namespace", namespace)
    # Until its replicas are ready is waited for once: each wait is as long as the Deployment's own.
    ready = (*where, "--wait", "--timeout", f"{LIMIT_S:.0f}s")
    said = await helm.said("install", RELEASE, str(helm.chart), *ready, "--set", f"image={IMAGE}")
    assert f"kubectl upcall status -n {namespace}" in said
    assert await _replicas(api, namespace) == 2

    # What a control plane writes into what was installed: whom to trust, and its records.
    service = {"service": by_service(namespace, NAME)}
    await telling(api, service, of_namespace(namespace), webhook_name(namespace))(BUNDLE)
    trusted = await _bundle(api, namespace)
    assert trusted
    await api.create(SECRET, {"metadata": {"name": "upcall-cluster"}, "data": {}}, namespace)
    record = {"metadata": {"name": "kept"}, "spec": {"kind": "x", "key": "y", "start": 1, "write": 1}}
    await api.create(RECORD, record, namespace)

    await helm.said("upgrade", RELEASE, str(helm.chart), *where, "--set", f"image={IMAGE}", "--set", "replicas=3")
    assert await _replicas(api, namespace) == 3
    assert await _bundle(api, namespace) == trusted, "what the control plane wrote stays"
    await helm.said("rollback", RELEASE, "1", *where)
    assert await _replicas(api, namespace) == 2
    assert await _bundle(api, namespace) == trusted

    # Who has the command line changes one thing, and what Helm said of the others stays; Helm goes on afterwards.
    changed = ("--set", f"image={IMAGE}", "--set", "storageClass=fast", "--set", "replicas=3")
    await helm.said("upgrade", RELEASE, str(helm.chart), *where, *changed)
    async with Connection(from_kubeconfig((helm.kubeconfig,))) as connection:
        installing = Installing(Api(connection, manager=MANAGER), namespace)
        there = await installing.standing()
        assert there == Wish(namespace=namespace, image=IMAGE, replicas=3, storage_class="fast")
        await installing.apply(msgspec.structs.replace(there, replicas=1), print)
    assert await _replicas(api, namespace) == 1
    again = ("upgrade", RELEASE, str(helm.chart), *where, "--set", f"image={IMAGE}", "--set", "replicas=3")
    if helm.major == "4":
        assert "conflict" in await helm.said(*again, code=1)
        await helm.said(*again, "--force-conflicts")
    else:
        await helm.said(*again)
    assert await _replicas(api, namespace) == 3
    assert await _bundle(api, namespace) == trusted

    await helm.said("uninstall", RELEASE, *where)
    for kind, name in ((DEPLOYMENT, NAME), (SERVICE_ACCOUNT, NAME)):
        with pytest.raises(NotFound):
            await api.get(kind, name, namespace)
    assert (await api.get(RECORD, "kept", namespace))["spec"]["key"] == "y", "kinds stay, and what is of them"
    assert await api.get(SECRET, "upcall-cluster", namespace)
    await helm.said("install", RELEASE, str(helm.chart), *where, "--set", f"image={IMAGE}")
    assert (await api.get(RECORD, "kept", namespace))["spec"]["key"] == "y"
    await helm.said("uninstall", RELEASE, *where)


async def test_kinds_of_an_older_chart_stay_and_a_person_is_told_and_applies_them(
    helm: Helm, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, clean: None
) -> None:
    newer = helm.chart.with_name("newer")
    shutil.copytree(helm.chart, newer)
    older = helm.chart / "crds" / f"{WATCHED}.yaml"
    definition = yaml.safe_load(older.read_text())
    definition["metadata"]["annotations"][DEFINED] = "7"
    older.write_text(yaml.safe_dump(definition))
    where = ("--namespace", namespace, "--set", f"image={IMAGE}")
    await helm.said("install", RELEASE, str(helm.chart), *where)
    await helm.said("upgrade", RELEASE, str(newer), *where)
    assert await _defined(api) == "7", "Helm leaves kinds as they were"

    said: list[str] = []
    there = KindsThere(api, lambda text, over: said.append(f"over: {text}" if over else text))
    await there.look()
    assert "what is new in it cannot be said in a resource" in said[0]
    how = "kubectl apply --server-side --force-conflicts -f chart/crds"
    assert how in said[0]
    words = how.replace("kubectl ", "").replace("chart/crds", str(newer / "crds")).split()
    ended, _, errors = await _ran(*plane.kubectl(*words), environment=os.environ)
    assert ended == 0, errors
    await there.look()
    assert said[1].startswith("over: ")
    await helm.said("uninstall", RELEASE, "--namespace", namespace)


async def _defined(api: Api) -> str:
    annotations: dict[str, Any] = (await api.get(DEFINITION, WATCHED))["metadata"]["annotations"]
    return str(annotations[DEFINED])


async def test_who_is_admin_of_a_namespace_alone_installs_the_rest(
    helm: Helm, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, clean: None, tmp_path: Path
) -> None:
    user = f"admin-of-{namespace}"
    role = {"apiGroup": ROLE_BINDING.group, "kind": "ClusterRole", "name": "admin"}
    binding = {"metadata": {"name": user}, "roleRef": role, "subjects": [{"kind": "User", "name": user}]}
    await api.create(ROLE_BINDING, binding, namespace)
    (tmp_path / "theirs").mkdir()
    theirs = Helm(helm.major, helm.program, tmp_path / "theirs", plane.user(user, user))
    where = ("--namespace", namespace)
    rest = ("--set", "parts=rest", "--set", f"image={IMAGE}", "--skip-crds")
    refused = await theirs.said(
        "install", "all", str(theirs.chart), *where, "--set", f"image={IMAGE}", "--skip-crds", code=1
    )
    assert "orbidden" in refused or "cannot" in refused, refused

    await helm.said("install", "upcall-rights", str(helm.chart), *where, "--set", "parts=rights")
    await theirs.said("install", RELEASE, str(theirs.chart), *where, *rest)
    assert await _replicas(api, namespace) == 2
    there = json.loads(await theirs.said("list", *where, "-o", "json"))
    assert {one["name"] for one in there} >= {RELEASE, "upcall-rights"}
    await theirs.said("uninstall", RELEASE, *where)
    await helm.said("uninstall", "upcall-rights", *where)
