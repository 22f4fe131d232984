"""What differs between a platform file and what runs: looked at without a cluster."""

from typing import Any

import pytest

from upcall.cli.applicable import check_against
from upcall.cli.composition import parse
from upcall.cli.difference import of_contents, of_services
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import PackageView, ServiceView

SCHEMA = {
    "properties": {
        "brokers": {"type": "integer", "default": 3},
        "settings": {"type": "object", "default": {}},
        "mode": {"type": "string"},
    }
}
PACKAGES = [
    PackageView(name="log", version=version, options_schema=SCHEMA, needs=[{"name": "store", "optional": True}])
    for version in ("1.0", "2.0")
]
ARGUMENTS = {
    "properties": {
        "name": {"type": "string"},
        "partitions": {"type": "integer", "default": 3},
        "replication": {"type": "integer", "default": 0},
        "config": {"type": "object", "default": {}},
    }
}


def runs(**more: Any) -> ServiceView:
    known: dict[str, Any] = {"name": "log", "package": "log", "version": "1.0", "revision": 4, "options": {}}
    return ServiceView(**{**known, **more})


def difference(file: str, there: ServiceView | None) -> Any:
    composition = parse(f"services:\n  - {file}\n", "my.yaml")
    present = [there] if there else []
    (found,) = of_services(
        composition, present, check_against(composition, PACKAGES, [*present, runs(name="new")], ["b"])
    )
    return found


def test_what_is_not_there_is_installed() -> None:
    assert difference("{package: log}", None).how == "install"


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("{package: log}", {}),
        ("{package: log, options: {brokers: 3}}", {}),  # its default, said
        ("{package: log}", {"brokers": 3}),
        ("{package: log, options: {settings: {}}}", {}),
        ("{package: log, version: '1.0'}", {}),
        ("{package: log, version: '1'}", {}),
        ("{package: log, options: {settings: {a.b: 1}}}", {"settings": {"a.b": 1}}),
    ],
)
def test_what_means_the_same_is_left_alone(file: str, options: dict[str, Any]) -> None:
    assert difference(file, runs(options=options)).how == "same"


def test_options_differ_one_by_one_and_what_the_file_no_more_says_has_its_default_again() -> None:
    file = "{package: log, options: {brokers: 5, settings: {a.b: 2}}}"
    found = difference(file, runs(options={"brokers": 4, "settings": {"a.b": 1, "c.d": 1}, "mode": "x"}))
    assert found.how == "update"
    assert found.changed == {
        "brokers": (4, 5), "settings.a.b": (1, 2), "settings.c.d": (1, None), "mode": ("x", None),
    }  # fmt: skip
    assert found.update.options == {"brokers": 5, "settings": {"a.b": 2}}
    assert found.update.made_from == 4, "two people at once: the second is told"


def test_version_bindings_and_secrets_are_compared_too() -> None:
    there = runs(bindings={"store": "old"}, secrets=["a"])
    found = difference("{package: log, version: '2', bindings: {store: new}, secrets: [b]}", there)
    assert found.changed == {"binding store": ("old", "new"), "version": ("1.0", "2.0"), "secrets": (["a"], ["b"])}
    assert (found.update.version, found.update.bindings, found.update.secrets) == ("2.0", {"store": "new"}, ["b"])


def test_another_package_under_that_name_is_a_mistake_with_its_line() -> None:
    with pytest.raises(Conflict, match="log is there already, made from package other") as error:
        difference("{package: log}", runs(package="other"))
    assert error.value.problem.where == "my.yaml line 2"


def held(wanted: dict[str, Any], shown: dict[str, Any]) -> Any:
    (found,) = of_contents("topics", {"t": wanted}, {"t": shown} if shown else {}, ARGUMENTS)
    return found


def test_what_is_not_held_is_made_with_all_that_the_file_says() -> None:
    found = held({"partitions": 4}, {})
    assert (found.how, found.arguments) == ("make", {"partitions": 4})


def test_only_what_differs_is_handed_to_the_change() -> None:
    found = held({"partitions": 6, "config": {"a": 1, "b": True}}, {"partitions": 4, "config": {"a": "1", "b": "true"}})
    assert (found.how, found.arguments, found.changed) == ("change", {"partitions": 6}, {"partitions": (4, 6)})


def test_entries_of_a_map_are_compared_one_by_one_and_those_of_others_are_left_alone() -> None:
    found = held({"config": {"a": 2}}, {"config": {"a": "1", "theirs": "7"}})
    assert (found.how, found.changed) == ("change", {"config.a": ("1", 2)})
    assert held({"config": {"a": 1}}, {"config": {"a": "1", "theirs": "7"}}).how == "same"


def test_what_is_left_to_the_service_and_what_it_does_not_show_is_not_compared() -> None:
    assert held({"replication": 0}, {"replication": 3}).how == "same"
    assert held({"replication": 2}, {"replication": 3}).how == "change"
    assert held({"partitions": 4}, {"replication": 3}).how == "same"
