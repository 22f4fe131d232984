"""What differs between a platform file and what runs. Pure: what is there is given."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from upcall.cli.composition import Composition, ServiceItem
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import PackageView, ServiceView, Update
from upcall.protocol.options import flattened

Changed = dict[str, tuple[Any, Any]]
"""What -> what it is, and what is wanted; None: it is not set."""
NOTHING: Final = object()


@dataclass(frozen=True)
class ServiceDifference:
    """One service of the file."""

    item: ServiceItem
    how: Literal["install", "update", "same"]
    changed: Changed = field(default_factory=dict)
    update: Update | None = None


@dataclass(frozen=True)
class ContentDifference:
    """One thing that a service holds, or is to hold."""

    kind: str
    name: str
    how: Literal["make", "change", "drop", "same"]
    arguments: dict[str, Any] = field(default_factory=dict)
    """For the action that does it, its name among them."""
    changed: Changed = field(default_factory=dict)


def of_services(
    composition: Composition, present: Iterable[ServiceView], packages: Mapping[str, PackageView]
) -> list[ServiceDifference]:
    """In the file's order; ``packages``: of each service the one that is meant. Raises ``Conflict`` where a service of
    that name is made from another package."""
    there = {one.name: one for one in present}
    found = []
    for item in composition.services:
        view = there.get(item.service)
        if view is None:
            found.append(ServiceDifference(item, "install"))
            continue
        if view.package != item.package:
            raise Conflict(
                f"{view.name} is there already, made from package {view.package}",
                where=composition.place_of(item.service, "package"),
                expected=f"another name for this {item.package}, or `upcall uninstall {view.name}` first",
            )
        found.append(_of_service(item, view, packages[item.service]))
    return found


def _of_service(item: ServiceItem, view: ServiceView, package: PackageView) -> ServiceDifference:
    schema = package.options_schema
    changed = _changed(_effective(view.options, schema), _effective(item.options, schema))
    bindings = {need: service for need, service in item.bindings.items() if view.bindings.get(need) != service}
    changed |= {f"binding {need}": (view.bindings.get(need), service) for need, service in bindings.items()}
    if package.version != view.version:
        changed["version"] = (view.version, package.version)
    if sorted(item.secrets) != sorted(view.secrets):
        changed["secrets"] = (sorted(view.secrets), sorted(item.secrets))
    if not changed:
        return ServiceDifference(item, "same")
    update = Update(
        options=item.options,
        version=package.version if "version" in changed else "",
        bindings=bindings,
        secrets=item.secrets if "secrets" in changed else None,
        made_from=view.revision,
    )
    return ServiceDifference(item, "update", changed, update)


def of_contents(
    kind: str,
    wanted: Mapping[str, Mapping[str, Any]],
    shown: Mapping[str, Mapping[str, Any]],
    arguments: Mapping[str, Any],
) -> list[ContentDifference]:
    """``shown``: name -> what is there; ``arguments``: JSON Schema of those of the action that makes one, the first of
    which is the name."""
    found = []
    for name, given in wanted.items():
        if name not in shown:
            found.append(ContentDifference(kind, name, "make", dict(given)))
            continue
        changed = _content_changed(given, shown[name], arguments)
        differing = {argument.partition(".")[0] for argument in changed}
        found.append(
            ContentDifference(
                kind, name, "change" if changed else "same", {key: given[key] for key in differing}, changed
            )
        )
    return found


def _content_changed(given: Mapping[str, Any], shown: Mapping[str, Any], arguments: Mapping[str, Any]) -> Changed:
    changed: Changed = {}
    for argument, wanted in given.items():
        default = arguments.get("properties", {}).get(argument, {}).get("default", NOTHING)
        left_to_it = not wanted and wanted == default
        if left_to_it or argument not in shown:
            continue
        is_there = shown[argument]
        if isinstance(wanted, Mapping) and isinstance(is_there, Mapping):
            # Entries that the file does not name are left alone: there may be others who set them.
            for key, value in wanted.items():
                if _text(is_there.get(key)) != _text(value):
                    changed[f"{argument}.{key}"] = (is_there.get(key), value)
        elif _text(is_there) != _text(wanted):
            changed[argument] = (is_there, wanted)
    return changed


def _effective(options: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {key: one["default"] for key, one in properties.items() if "default" in one} | dict(options)


def _changed(was: Mapping[str, Any], wanted: Mapping[str, Any]) -> Changed:
    before, after = _set(was), _set(wanted)
    found = {name: (before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])}
    return {name: (one, other) for name, (one, other) in found.items() if one != other}


def _set(options: Mapping[str, Any]) -> dict[str, Any]:
    """One by one, those that say something: a map without entries is as good as none."""
    return {name: value for name, value in flattened(options) if value not in ({}, [], None)}


def _text(value: Any) -> Any:
    """Systems give many of their values as text; numbers and truth are compared as they are written."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float | str) else value
