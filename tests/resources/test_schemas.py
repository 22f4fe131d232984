"""The schema of a kind takes what its package takes, and says what it says."""

from itertools import pairwise
from typing import Any

import pytest

from upcall.kubernetes.definitions import is_newer
from upcall.kubernetes.installing.objects import Wish, definitions, objects
from upcall.kubernetes.resources import kinds
from upcall.kubernetes.resources.catalog import LEFT_OUT, names
from upcall.kubernetes.resources.kinds import OPERATION, OTHER, kind_of
from upcall.kubernetes.resources.offering import offered
from upcall.kubernetes.resources.schemas import of_versions, structural
from upcall.master.guests import PACKAGE as GUESTS
from upcall.substrate.kubernetes.client.kinds import ROLE


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        (
            {"type": "integer", "default": 3, "minimum": 1, "description": "how many", "title": "Count"},
            {"type": "integer", "format": "int64", "minimum": 1, "description": "how many. Default: 3."},
        ),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0, "exclusiveMinimum": True}),
        ({"const": "1-node", "type": "string"}, {"type": "string", "enum": ["1-node"]}),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "description": "x"},
            {"type": "string", "nullable": True, "description": "x."},
        ),
        ({"type": ["integer", "string"], "minimum": 0}, {"x-kubernetes-int-or-string": True, "minimum": 0}),
        ({"type": ["number", "string"]}, {"x-kubernetes-preserve-unknown-fields": True}),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": "string"}},
        ),
        ({"type": "object"}, {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        ({"type": "boolean", "default": True}, {"type": "boolean", "description": "Default: true."}),
    ],
)
def test_a_part_of_a_schema(said: Any, becomes: Any) -> None:
    assert structural(said) == becomes


def test_references_are_followed_and_what_refers_to_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    found = structural({"type": "object", "properties": {"list": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}})
    assert found["properties"]["list"]["properties"]["next"]["type"] == "object"
    assert "$ref" not in str(found)


def test_of_several_versions_it_takes_what_any_of_them_takes() -> None:
    old = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 5}, "gone": {"type": "string"}}}
    new = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 9}, "b": {"type": "boolean"}}}
    found = of_versions([old, new])["properties"]
    assert found == {"a": {"type": "integer", "format": "int64"}, "b": {"type": "boolean"}, "gone": {"type": "string"}}


def walk(part: Any, path: str = "") -> Any:
    if isinstance(part, dict):
        yield path, part
        for key, value in part.items():
            yield from walk(value, f"{path}.{key}")


def test_each_package_of_the_catalog_has_a_kind_and_no_default_is_written_for_a_person() -> None:
    """A default in the schema would be written into each resource, and hold against a goal."""
    kinds = {one["spec"]["names"]["kind"]: one for _, one in definitions()}
    assert {"Kafka", "Cassandra", "Spark", OTHER.name, OPERATION.name} <= kinds.keys()
    for name, one in kinds.items():
        (version,) = one["spec"]["versions"]
        schema = version["schema"]["openAPIV3Schema"]
        for path, part in walk(schema):
            if "properties" not in path.rsplit(".", 1)[-1:]:
                assert "$ref" not in part, f"{name}{path}"
        options = schema["properties"].get("spec", {}).get("properties", {}).get("options", {})
        assert all("default" not in part for part in options.get("properties", {}).values()), name


def test_short_names_and_plurals_are_nobody_elses() -> None:
    names = [one["spec"]["names"] for _, one in definitions()]
    taken = [word for one in names for word in (one["plural"], one["singular"], *one.get("shortNames", ()))]
    assert len(taken) == len(set(taken))
    assert kind_of("time-series").plural == "timeseries"
    assert kind_of("registry").plural == "registries"
    assert kind_of("kafka").name == "Kafka"


def test_the_rights_are_to_read_what_is_wanted_and_to_write_what_there_is() -> None:
    (role,) = [one for kind, one in objects(Wish(namespace="data", image="-")) if kind is ROLE]
    ours = {
        (resource, verb)
        for rule in role["rules"]
        if rule["apiGroups"] == [OPERATION.group]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    for name in names():
        plural = kind_of(name).plural
        assert {verb for resource, verb in ours if resource == plural} == {"get", "list", "watch", "patch"}
        assert {verb for resource, verb in ours if resource == f"{plural}/status"} == {"patch"}
    assert {verb for resource, verb in ours if resource == "operations"} == {"list", "create", "patch", "delete"}


def test_packages_are_named_as_their_folders_are() -> None:
    assert tuple(one.name for one in offered()) == names()
    assert LEFT_OUT == (GUESTS,)


def test_the_kinds_of_a_newer_release_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one digit counts as a number."""
    found = []
    for version in ("0.1.0", "0.9.4", "0.10.0", "1.0.0"):
        monkeypatch.setattr(kinds, "__version__", version)
        found.append(kinds.definitions(())[0])
    for older, newer in pairwise(found):
        assert is_newer(newer, older)
        assert not is_newer(older, newer)
