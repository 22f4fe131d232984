"""What services hold, as a platform file states it: asked of them, compared, and made by their own actions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from upcall.cli.action import judged, run_action
from upcall.cli.composition import Composition, ServiceItem
from upcall.cli.difference import ContentDifference, of_contents
from upcall.cli.output import nearest
from upcall.cli.patience import PATIENCE_S
from upcall.cli.refusals import Refusal
from upcall.cli.session import Session
from upcall.client import paths
from upcall.protocol import schema
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.operator import Made, PackageView, ServiceView, Update

OVER: Final = "over"
"""With each that has had its course, and is only shown."""


@dataclass(frozen=True)
class Kind:
    """One kind of what a package's services hold, and the arguments that its actions take."""

    name: str
    actions: dict[str, str]
    """``show``, ``make``, ``change``, ``drop`` -> action."""
    show_with: dict[str, Any]
    key: str
    arguments: dict[str, dict[str, Any]]
    """Action -> JSON Schema of its arguments."""
    checked: frozenset[str] = frozenset()
    """Actions that say beforehand what they would refuse."""

    def named(self, word: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of an action for one of them."""
        return {self.name_argument(word): name, **arguments}

    def name_argument(self, word: str) -> str:
        return str(next(iter(self.arguments[self.actions[word]]["properties"])))

    @property
    def wanted(self) -> dict[str, Any]:
        """JSON Schema of what a file says of one."""
        whole, name = self.arguments[self.actions["make"]], self.name_argument("make")
        properties = {key: one for key, one in whole["properties"].items() if key != name}
        required = [key for key in whole.get("required", ()) if key != name]
        return {**whole, "properties": properties, "required": required}


def kinds_of(package: PackageView) -> dict[str, Kind]:
    arguments = {str(one["name"]): one.get("arguments", {}) for one in package.actions}
    checked = frozenset(str(one["name"]) for one in package.actions if one.get("checks"))
    return {
        str(one["kind"]): Kind(
            name=str(one["kind"]),
            actions={word: str(one[word]) for word in ("show", "make", "change", "drop") if one.get(word)},
            show_with=one.get("show_with", {}),
            key=str(one["key"]),
            arguments=arguments,
            checked=checked,
        )
        for one in package.contents
    }


def check(composition: Composition, item: ServiceItem, package: PackageView) -> None:
    """Kinds and arguments are known, with values that they allow; a mistake is named with its line."""
    kinds = kinds_of(package)
    for kind, wanted in item.contents.items():
        if kind not in kinds:
            raise Invalid(
                f"unknown key {kind!r} of service {item.service}",
                where=composition.place_of(item.service, kind),
                expected=nearest(kind, [*ServiceItem.model_fields, *kinds]),
            )
        for name, given in wanted.items():
            try:
                schema.check(kinds[kind].wanted, given, noun="argument", of=f"{kind} {name}", where="")
            except Invalid as error:
                problem = error.problem
                argument = next((one for one in given if f"{one!r}" in problem.message or one in problem.where), "")
                place = composition.place_of(item.service, kind, name, *([argument] if argument else []))
                raise Invalid(f"{kind} {name}: {problem.message}", where=place, expected=problem.expected) from None


def held(session: Session, service: str, kind: Kind, patience_s: float = PATIENCE_S) -> dict[str, dict[str, Any]]:
    """All of a kind that a running service holds, by name."""
    found = run_action(session, service, kind.actions["show"], kind.show_with, patience_s=patience_s)
    return {str(one[kind.key]): {key: value for key, value in one.items() if key != kind.key} for one in found or ()}


def differences(
    session: Session, item: ServiceItem, package: PackageView, *, runs: bool, patience_s: float = PATIENCE_S
) -> list[ContentDifference]:
    """Of all that the file wants of a service; one that does not run yet holds nothing."""
    kinds = kinds_of(package)
    found = []
    for name, wanted in item.contents.items():
        kind = kinds[name]
        there = held(session, item.service, kind, patience_s) if runs and wanted else {}
        found += of_contents(name, wanted, there, kind.arguments[kind.actions["make"]])
    for one in found:
        if one.how == "change":
            _must_be_changeable(item.service, kinds[one.kind], one)
    return found


def _must_be_changeable(service: str, kind: Kind, one: ContentDifference) -> None:
    known = kind.arguments[kind.actions["change"]].get("properties", {}) if "change" in kind.actions else {}
    fixed = [key for key in one.changed if key.partition(".")[0] not in known]
    if fixed:
        was, wanted = one.changed[fixed[0]]
        raise Conflict(
            f"{one.kind} {one.name} of {service} has {fixed[0]} {was!r}, not {wanted!r}, which is never changed",
            where=f"{service} {one.kind} {one.name}",
            expected=f"the same, or `upcall service do {service} {kind.actions['drop']}"
            f" {kind.name_argument('drop')}={one.name}` first, then again",
        )


def judge(
    session: Session,
    composition: Composition,
    item: ServiceItem,
    package: PackageView,
    found: Iterable[ContentDifference],
    update: Update | None,
    patience_s: float = PATIENCE_S,
) -> Iterator[Refusal]:
    """What a running service would refuse of this, before anything is begun; ``update``: what it is to become
    first."""
    kinds = kinds_of(package)
    for one in found:
        action = kinds[one.kind].actions.get(one.how, "")
        if action not in kinds[one.kind].checked:
            continue
        arguments = kinds[one.kind].named(one.how, one.name, one.arguments)
        for reason in judged(session, item.service, action, arguments, update, patience_s=patience_s).reasons:
            argument = reason.where.rpartition(".")[2]
            of_it = [argument] if argument in one.arguments else []
            where = composition.place_of(item.service, one.kind, one.name, *of_it)
            yield Refusal(f"{one.kind} {one.name} of {item.service}", reason, where)


def carry_out(
    session: Session,
    service: str,
    package: PackageView,
    found: Iterable[ContentDifference],
    platform: str,
    patience_s: float = PATIENCE_S,
) -> list[str]:
    """What was done, in words. What the file made is on record before the next one is begun."""
    kinds, done = kinds_of(package), []
    for one in found:
        if one.how == "same":
            continue
        kind = kinds[one.kind]
        arguments = kind.named(one.how, one.name, one.arguments)
        run_action(session, service, kind.actions[one.how], arguments, patience_s=patience_s)
        if platform and one.how != "change":
            said = Made(platform=platform, kind=one.kind, **{"made" if one.how == "make" else "dropped": [one.name]})
            session.client.post(paths.of("services", service, "made"), said)
        done.append(f"{one.kind} {one.name} {WORDS[one.how]}")
    return done


WORDS: Final = {"make": "made", "change": "changed", "drop": "dropped"}


def no_longer_wanted(view: ServiceView, item: ServiceItem, platform: str) -> list[ContentDifference]:
    """What an earlier form of the file made in the service, and this one does not name."""
    return [
        ContentDifference(kind, name, "drop")
        for kind, names in view.made.get(platform, {}).items()
        for name in names
        if name not in item.contents.get(kind, {})
    ]
