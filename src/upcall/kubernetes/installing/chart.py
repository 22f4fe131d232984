"""The same objects as a Helm chart: what ``upcall up`` fills in, the chart has its own words for.

Its templates have no conditions and no loops: each is an object as :mod:`objects` makes it.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from upcall import __version__
from upcall.kubernetes.installing.objects import Wish, definitions, objects
from upcall.substrate.kubernetes.client.kinds import Kind, Object

NAMESPACE: Final = "{{ .Release.Namespace }}"
IMAGE: Final = "{{ .Values.image }}"
REPLICAS: Final = "{{ .Values.replicas }}"
STORAGE_CLASS: Final = "{{ .Values.storageClass }}"
VOLUMES_BOUND: Final = "{{ .Values.volumesBoundToNode }}"
VALUES: Final = """\
# What members' pods and the control plane run: `upcall image build PACKAGE... --push` makes it.
image: ""
replicas: 2
# Empty: the cluster's default.
storageClass: ""
# Whether its storage is on the nodes.
volumesBoundToNode: false
"""


def files() -> dict[str, str]:
    """Of the chart, by their paths in it; the same for the same release."""
    about = {
        "apiVersion": "v2",
        "name": "upcall",
        "type": "application",
        "description": "The control plane of upcall, a datacenter operating system for data services",
        "version": __version__,
        "appVersion": __version__,
    }
    wish = Wish(
        namespace=NAMESPACE,
        image=IMAGE,
        replicas=REPLICAS,
        storage_class=STORAGE_CLASS,
        volumes_bound_to_node=VOLUMES_BOUND,
    )
    found = {"Chart.yaml": _dumped(about), "values.yaml": VALUES}
    # What lies in this folder Helm makes first, never changes and never removes, and no template is looked for in it.
    found |= {f"crds/{one['metadata']['name']}.yaml": _dumped(kind.of(one)) for kind, one in definitions()}
    for kind, one in objects(wish):
        name = one["metadata"]["name"].replace(f"-{NAMESPACE}", "").replace(f"{NAMESPACE}.", "")
        found[f"templates/{kind.name.lower()}-{name}.yaml"] = _template(kind, one)
    return found


def write(folder: Path) -> list[Path]:
    """Into a folder that is not there yet, or is empty."""
    found = []
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        found.append(path)
    return found


def _template(kind: Kind, obj: Object) -> str:
    if kind.namespaced:
        obj = obj | {"metadata": obj["metadata"] | {"namespace": NAMESPACE}}
    # A number must not stand in quotation marks; everything else of ours may.
    text = _dumped(kind.of(obj)).replace(f"'{REPLICAS}'", REPLICAS)
    return text.replace(
        f"'{IMAGE}'", '{{ required "image: what `upcall image build` has pushed" .Values.image | quote }}'
    )


class _Plain(yaml.SafeDumper):
    """Without names for parts that are the same."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumped(value: Object) -> str:
    return str(yaml.dump(value, Dumper=_Plain, sort_keys=False, width=10_000))
