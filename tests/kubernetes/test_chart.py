"""The Helm chart is what `upcall up` applies, and the API server takes each object of it."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from upcall import __version__
from upcall.kubernetes.installing import chart
from upcall.kubernetes.installing.objects import Wish, definitions, objects
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import Forbidden, Invalid
from upcall.substrate.kubernetes.client.kinds import DEFINITION, DEPLOYMENT, NAMESPACE, POD, Kind, Object

IMAGE = "registry.example.com/data/platform:1"
VALUES = yaml.safe_load(chart.VALUES) | {"image": IMAGE}


def rendered(text: str, namespace: str) -> Object:
    """As Helm does it with these words; with any other the YAML would not be what was meant, and that is looked for."""

    def word(found: re.Match[str]) -> str:
        named = found.group(1).strip()
        if named == ".Release.Namespace":
            return namespace
        if said := re.fullmatch(r'(required "[^"]*" )?\.Values\.(\w+)( \| quote)?', named):
            value: Any = VALUES[said.group(2)]
            value = str(value).lower() if isinstance(value, bool) else str(value)
            return f'"{value}"' if said.group(3) else value
        raise AssertionError(f"a word that this chart does not have: {named}")

    begin, end = text.splitlines()[0], text.splitlines()[-1]
    assert re.fullmatch(r'\{\{- if ne \.Values\.parts "(rest|rights)" \}\}', begin)
    assert end == "{{- end }}"
    text = text.removeprefix(begin).removesuffix(f"{end}\n")
    found = yaml.safe_load(re.sub(r"\{\{(.*?)\}\}", word, text))
    assert isinstance(found, dict)
    return found


def of_chart(namespace: str) -> list[Object]:
    return [rendered(text, namespace) for name, text in chart.files().items() if _is_object(name)]


def _is_object(name: str) -> bool:
    return name.startswith("templates/") and name.endswith(".yaml")


def as_applied(namespace: str, wish: Wish | None = None) -> list[Object]:
    """In the chart each says its namespace too."""
    found = []
    for kind, one in objects(wish or Wish(namespace=namespace, image=IMAGE)):
        meta = one["metadata"] | ({"namespace": namespace} if kind.namespaced else {})
        found.append(kind.of(one | {"metadata": meta}))
    return found


def key(obj: Object) -> tuple[str, str]:
    return obj["kind"], obj["metadata"]["name"]


def test_the_chart_is_what_the_command_applies() -> None:
    assert sorted(of_chart("data"), key=key) == sorted(as_applied("data"), key=key)
    kinds = [yaml.safe_load(text) for name, text in chart.files().items() if name.startswith("crds/")]
    assert sorted(kinds, key=key) == sorted((kind.of(one) for kind, one in definitions()), key=key)
    about = yaml.safe_load(chart.files()["Chart.yaml"])
    assert (about["name"], about["version"]) == ("upcall", __version__)


def test_it_is_the_same_each_time_and_is_written_whole(tmp_path: Path) -> None:
    assert chart.files() == chart.files()
    written = chart.write(tmp_path / "chart")
    assert {str(path.relative_to(tmp_path / "chart")): path.read_text() for path in written} == chart.files()


@pytest.fixture
async def defined(api: Api) -> None:
    for kind, one in definitions():
        await api.apply(kind, one, force=True)
        async with asyncio.timeout(120):
            while not (await api.get(kind, one["metadata"]["name"])).get("status", {}).get("conditions"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def test_a_real_api_server_takes_each_object_of_it(api: Api, namespace: str, defined: None) -> None:
    """A dry run goes through validation, admission and the schema; nothing is stored."""
    for obj in of_chart(namespace):
        kind = next(each for each, one in objects(Wish(namespace="x", image="x")) if each.name == obj["kind"])
        await api.apply(kind, obj, namespace if kind.namespaced else "", force=True, dry_run=True)
    for text in (text for name, text in chart.files().items() if name.startswith("crds/")):
        await api.apply(DEFINITION, yaml.safe_load(text), force=True, dry_run=True)


async def test_its_pods_are_of_the_restricted_level(api: Api, namespace: str) -> None:
    level = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await api.merge(NAMESPACE, namespace, level)
    for kind, one in objects(Wish(namespace=namespace, image=IMAGE)):
        if kind is not DEPLOYMENT:
            continue
        pod = _pod_of(kind, one)
        # Its service account is not there: that is asked about later, the level before.
        await _admitted(api, pod, namespace)
        loose = pod | {"spec": pod["spec"] | {"securityContext": {}}}
        with pytest.raises(Forbidden, match="restricted"):
            await api.create(POD, loose, namespace, dry_run=True)


def _pod_of(kind: Kind, deployment: Object) -> Object:
    template = deployment["spec"]["template"]
    spec = template["spec"] | {"serviceAccountName": "default"}
    return {"metadata": template["metadata"] | {"name": "probe"}, "spec": spec}


async def _admitted(api: Api, pod: Object, namespace: str) -> None:
    try:
        await api.create(POD, pod, namespace, dry_run=True)
    except Invalid as error:
        raise AssertionError(error.message) from None
