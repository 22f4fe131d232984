"""Our kinds: one for each package of the catalog, one for every other package, and operations.

A kind is made from its package, so what ``kubectl explain`` prints is what the package says. Who installs us makes them
(``upcall up --on kubernetes``, the chart); the control plane makes none.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from upcall import __version__
from upcall.kubernetes.resources.schemas import ANYTHING, Schema, of_versions
from upcall.substrate.kubernetes.client.kinds import Kind, Object
from upcall.substrate.kubernetes.evictions.objects import DEFINED, GROUP

VERSION: Final = "v1alpha1"
OTHER: Final = Kind(GROUP, VERSION, "DataService", "dataservices")
"""A service of a package that has no kind of its own."""
OPERATION: Final = Kind(GROUP, VERSION, "Operation", "operations")
SHORT: Final[Mapping[str, tuple[str, ...]]] = {OTHER.name: ("dsvc",), OPERATION.name: ("op", "ops")}
SHORT_CHARS: Final = 3
CATEGORY: Final = "upcall"
"""``kubectl get upcall``: all services, of whatever kind."""

NAME_CHARS_MAX: Final = 40
"""Of a service."""
TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer", "format": "int64"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}


@dataclass(frozen=True)
class Offered:
    """A package, as it is made into a kind."""

    name: str
    description: str
    schemas: tuple[Mapping[str, Any], ...]
    """Of its options, of each of its versions, the oldest first."""
    versions: tuple[str, ...]


def kind_of(package: str) -> Kind:
    """``time-series`` is ``TimeSeries``, and several are ``timeseries``."""
    name = "".join(word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", package) if word)
    return Kind(GROUP, VERSION, name, _plural(name.lower()))


def _plural(word: str) -> str:
    if word.endswith("series"):
        return word
    if re.search(r"(s|x|z|ch|sh)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search(r"[^aeiou]y$", word) else f"{word}s"


def served(packages: Iterable[str]) -> dict[Kind, str]:
    """Kinds of services, and the package that each is of; empty: its spec says which."""
    return {**{kind_of(name): name for name in packages}, OTHER: ""}


def definitions(packages: Sequence[Offered]) -> list[Object]:
    return [*(_of_package(one) for one in packages), _of_other(), _of_operations()]


# -- services ---------------------------------------------------------------------------------------------------------


def _of_package(one: Offered) -> Object:
    kind = kind_of(one.name)
    options = of_versions(one.schemas) | {"description": f"Options of {one.name} (`upcall catalog show {one.name}`)."}
    spec = {"version": TEXT | {"description": _versions(one)}, "options": options, **_SPEC}
    words = one.description or f"A service of package {one.name}."
    short = (kind.name.lower()[:SHORT_CHARS],) if len(kind.name) > SHORT_CHARS else ()
    return _definition(kind, _service(words, spec), _COLUMNS, short, status=True)


def _versions(one: Offered) -> str:
    return (
        f"Of the package; another one is an upgrade. One of {', '.join(one.versions)}. Left out: the newest when it is"
        " installed, and from then on what it has."
    )


def _of_other() -> Object:
    stays = {"rule": "self == oldSelf", "message": "a service stays of its package; another one has another name"}
    package = TEXT | {
        "minLength": 1,
        "description": "Which is registered (`upcall catalog list`); it stays so.",
        "x-kubernetes-validations": [stays],
    }
    options = {"type": "object", "description": "As its package says.", **ANYTHING}
    version = TEXT | {"description": "Of the package; another one is an upgrade. Left out: the newest."}
    spec = {"package": package, "version": version, "options": options, **_SPEC}
    words = "A service of a package that has no kind of its own."
    columns: list[Object] = [{"name": "Package", "type": "string", "jsonPath": ".spec.package"}, *_COLUMNS]
    return _definition(OTHER, _service(words, spec, required=["package"]), columns, SHORT[OTHER.name], status=True)


_SPEC: Final[Mapping[str, Schema]] = {
    "bindings": {
        "type": "object",
        "additionalProperties": TEXT,
        "description": "What it needs, and by which service it is met. Left out: the service of the need's own name.",
    },
    "secrets": {
        "type": "array",
        "items": TEXT,
        "description": "Names of the secrets that it may have, besides its own (`upcall secret set`).",
    },
    "finalize": {
        "type": "boolean",
        "description": "The point of no return of an upgrade follows by itself. Default: a person says so"
        " (`upcall finalize`).",
    },
}
_CONDITION: Final[Schema] = {
    "type": "object",
    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
    "properties": {
        "type": TEXT,
        "status": TEXT | {"enum": ["True", "False", "Unknown"]},
        "reason": TEXT,
        "message": TEXT,
        "observedGeneration": NUMBER,
        "lastTransitionTime": TIME,
    },
}
_STATUS: Final[Schema] = {
    "type": "object",
    "properties": {
        "observedGeneration": NUMBER | {"description": "Of what was looked at last, taken up or refused."},
        "version": TEXT,
        "revision": NUMBER | {"description": "As `upcall service history` numbers them."},
        "ready": TEXT | {"description": "Members that are ready, of those that are wanted."},
        "health": TEXT | {"description": "The service's state in one word."},
        "reason": TEXT | {"description": "Why, in the words of whoever knows."},
        "operation": TEXT | {"description": "That carries out what is under way (`upcall why`)."},
        "conditions": {
            "type": "array",
            "items": _CONDITION,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    },
}
_COLUMNS: Final[list[Object]] = [
    {"name": "Version", "type": "string", "jsonPath": ".status.version"},
    {"name": "Ready", "type": "string", "jsonPath": ".status.ready"},
    {"name": "Revision", "type": "integer", "jsonPath": ".status.revision"},
    {"name": "Health", "type": "string", "jsonPath": ".status.health"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Reason", "type": "string", "jsonPath": ".status.reason", "priority": 1},
]


def _service(words: str, spec: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    wanted: Schema = {"type": "object", "properties": dict(spec), "description": "What the service is to be."}
    if required:
        wanted["required"] = list(required)
    # Whoever serves kinds has no need of the operator API's types.
    from upcall.protocol.operator.words import NAME, NAME_WORDS

    named = {
        "rule": f"self.metadata.name.size() <= {NAME_CHARS_MAX} && self.metadata.name.matches('{NAME}')",
        "message": f"metadata.name is not a name of a service; expected {NAME_WORDS}",
    }
    schema: Schema = {
        "type": "object",
        "description": words,
        "properties": {"spec": wanted, "status": _STATUS},
        "x-kubernetes-validations": [named],
    }
    return schema | ({"required": ["spec"]} if required else {})


# -- operations -------------------------------------------------------------------------------------------------------


def _of_operations() -> Object:
    spec = {
        "kind": TEXT | {"description": "`upgrade`, `stop`, `maintenance` ..."},
        "service": TEXT,
        "member": TEXT,
        "target": TEXT | {"description": "Node, service or member."},
        "reason": TEXT,
        "askedBy": TEXT,
        "parent": TEXT | {"description": "The operation that it is a part of."},
    }
    status = {
        "state": TEXT,
        "waitsFor": TEXT | {"description": "Who is waited for, and why."},
        "outcome": TEXT,
        "since": TIME,
        "endedAt": TIME,
    }
    schema = {
        "type": "object",
        "description": "An operation of upcall, to be looked at: whatever is done to this object does nothing to it"
        " (`upcall operation ...` does). Gone some time after the operation has ended.",
        "properties": {
            "spec": {"type": "object", "properties": spec},
            "status": {"type": "object", "properties": status},
        },
    }
    columns: list[Object] = [
        {"name": "Kind", "type": "string", "jsonPath": ".spec.kind"},
        {"name": "Service", "type": "string", "jsonPath": ".spec.service"},
        {"name": "Member", "type": "string", "jsonPath": ".spec.member"},
        {"name": "State", "type": "string", "jsonPath": ".status.state"},
        {"name": "Reason", "type": "string", "jsonPath": ".status.waitsFor"},
        {"name": "Since", "type": "date", "jsonPath": ".status.since"},
        {"name": "Target", "type": "string", "jsonPath": ".spec.target", "priority": 1},
        {"name": "Asked by", "type": "string", "jsonPath": ".spec.askedBy", "priority": 1},
    ]
    # One write makes it and one changes it: only we write it, and a status of its own would take two.
    return _definition(OPERATION, schema, columns, SHORT[OPERATION.name], status=False, categories=())


def _definition(
    kind: Kind,
    schema: Schema,
    columns: Sequence[Object],
    short: Sequence[str],
    *,
    status: bool,
    categories: Sequence[str] = (CATEGORY,),
) -> Object:
    names: Object = {"kind": kind.name, "plural": kind.plural, "singular": kind.name.lower()}
    names |= {"shortNames": list(short)} if short else {}
    names |= {"categories": list(categories)} if categories else {}
    version: Object = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": list(columns),
    }
    return {
        "metadata": {"name": f"{kind.plural}.{kind.group}", "annotations": {DEFINED: released()}},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": names,
            "versions": [version | ({"subresources": {"status": {}}} if status else {})],
        },
    }


def released() -> str:
    """The kinds of a release are its packages': an older one leaves those of a newer one alone."""
    major, minor, patch = (int(part) for part in re.findall(r"\d+", __version__)[:3])
    return str((major * 1000 + minor) * 1000 + patch)


def release_of(said: str) -> str:
    """Whose kinds say this; empty: nobody can tell."""
    if not said.isdigit() or int(said) < 1_000:
        return ""
    rest, patch = divmod(int(said), 1000)
    return ".".join(map(str, (*divmod(rest, 1000), patch)))
