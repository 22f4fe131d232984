"""The same objects as a Helm chart: what ``upcall up`` fills in, the chart has its own words for.

Its templates have no loops and one condition: each is an object as :mod:`objects` makes it, and is left out where the
other part is meant (``parts``), for whoever may make rights is not always who installs.
"""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from upcall import __version__
from upcall.kubernetes.installing.objects import NAME, REPLICAS_MAX, Wish, definitions, objects
from upcall.substrate.kubernetes.client.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    ROLE,
    ROLE_BINDING,
    WEBHOOK,
    Kind,
    Object,
)

NAMESPACE: Final = "{{ .Release.Namespace }}"
IMAGE: Final = "{{ .Values.image }}"
REPLICAS: Final = "{{ .Values.replicas }}"
STORAGE_CLASS: Final = "{{ .Values.storageClass }}"
VOLUMES_BOUND: Final = "{{ .Values.volumesBoundToNode }}"
RIGHTS: Final = (CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING, WEBHOOK)
"""What an admin of the cluster alone may make: objects of the whole cluster, and rights."""
VALUES: Final = """\
# What members' pods and the control plane run: `upcall image build PACKAGE... --push` makes it.
image: ""
replicas: 2
# Empty: the cluster's default.
storageClass: ""
# Whether its storage is on the nodes.
volumesBoundToNode: false
# all; or, in two releases, what only an admin of the cluster may make (rights), and what anybody may who has the usual
# role `admin` in the namespace (rest).
parts: all
"""
SCHEMA: Final = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "image": {
            "description": "What members' pods and the control plane run; `upcall image build ... --push` makes it.",
            "type": "string",
            "pattern": r"^\S*$",
        },
        "replicas": {
            "description": "Of the control plane; one of them leads.",
            "type": "integer",
            "minimum": 1,
            "maximum": REPLICAS_MAX,
        },
        "storageClass": {
            "description": "Of volumes; empty: the cluster's default.",
            "type": "string",
            "pattern": r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$",
        },
        "volumesBoundToNode": {"description": "Whether that storage is on the nodes.", "type": "boolean"},
        "parts": {"description": "What is installed.", "enum": ["all", "rights", "rest"]},
        "global": {"description": "Helm's own, of a chart that has this one in it.", "type": "object"},
    },
}
NOTES: Final = """\
{{- if ne .Values.parts "rights" -}}
The control plane of upcall comes up in namespace {{ .Release.Namespace }}:

  kubectl -n {{ .Release.Namespace }} rollout status deployment/%(name)s
  kubectl upcall status -n {{ .Release.Namespace }}

Before `helm uninstall` end each service (`kubectl upcall uninstall SERVICE -n {{ .Release.Namespace }}`): else its
pods run on, and nobody looks after them.
{{- else -}}
What a control plane of upcall in namespace {{ .Release.Namespace }} needs of the cluster is there. The rest is
installed by who has the role `admin` in that namespace: the same chart with `--set parts=rest --skip-crds`.
{{- end }}
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
    schema = json.dumps(SCHEMA, indent=2) + "\n"
    found = {"Chart.yaml": _dumped(about), "values.yaml": VALUES, "values.schema.json": schema}
    found["templates/NOTES.txt"] = NOTES % {"name": NAME}
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
    text = text.replace(
        f"'{IMAGE}'", '{{ required "image: what `upcall image build` has pushed" .Values.image | quote }}'
    )
    other = "rest" if kind in RIGHTS else "rights"
    return f'{{{{- if ne .Values.parts "{other}" }}}}\n{text}{{{{- end }}}}\n'


class _Plain(yaml.SafeDumper):
    """Without names for parts that are the same."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumped(value: Object) -> str:
    return str(yaml.dump(value, Dumper=_Plain, sort_keys=False, width=10_000))
