"""Whether a composition can be applied to this cluster: all that can be known is checked before anything is begun.

The checks are those of the master, in the same words (:mod:`upcall.protocol.schema`); the master makes them again for
each service. What only shows later (whether it fits, whether an action succeeds) takes back what was begun.
"""

from collections.abc import Collection, Sequence
from typing import Any

from upcall.cli import contents
from upcall.cli.composition import ActionItem, Composition, ServiceItem
from upcall.cli.output import nearest
from upcall.protocol import schema, secret_names
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import PackageView, ServiceView
from upcall.protocol.releases import newest


def check_against(
    composition: Composition,
    packages: Sequence[PackageView],
    present: Sequence[ServiceView] = (),
    secrets: Collection[str] = (),
) -> dict[str, PackageView]:
    """All packages, versions, options, bindings, secrets, contents and actions are known, with values that they allow.
    ``present`` are the services that are there already. Gives the package of each service."""
    of_service: dict[str, PackageView] = {}
    there = {one.name for one in present}
    for item in composition.services:
        package = of_service[item.service] = _package_of(composition, item, packages, present)
        _check_options(composition, item, package)
        contents.check(composition, item, package)
        for at, secret in enumerate(item.secrets):
            if secret not in secrets and secret_names.owner(secret) != item.service:
                raise secret_names.missing(secret, secrets, composition.place_of(item.service, "secrets", at))
        where = composition.place_of(item.service, "bindings")
        needs = _known_needs(item, package, where)
        if item.service not in there:
            _check_bindings(item, needs, there, [one.service for one in composition.services], where)
        there.add(item.service)
    for at, action in enumerate(composition.actions):
        where = f"{composition.place('actions', at, 'action')} action {action.service} {action.action}"
        _check_action(action, of_service[action.service], where)
    return of_service


def _package_of(
    composition: Composition, item: ServiceItem, packages: Sequence[PackageView], present: Sequence[ServiceView]
) -> PackageView:
    """In the version that the file names, or that runs; else the newest."""
    known = [one for one in packages if one.name == item.package]
    if not known:
        raise Invalid(
            f"unknown package {item.package!r}",
            where=composition.place_of(item.service, "package"),
            expected=nearest(item.package, {one.name for one in packages}),
        )
    runs = next((one.version for one in present if one.name == item.service and one.package == item.package), "")
    # What runs and is meant stays, also where there is a newer one that is meant as well.
    stays = newest([runs], item.version) if runs and not item.registered_as else ""
    found = item.registered_as or stays or newest([one.version for one in known], item.version)
    for one in known:
        if one.version == found:
            return one
    raise Invalid(
        f"{item.package} has no version {item.version!r}",
        where=composition.place_of(item.service, "version"),
        expected=nearest(item.version, [one.version for one in known]),
    )


def _check_options(composition: Composition, item: ServiceItem, package: PackageView) -> None:
    of = f"package {package.name}"
    try:
        schema.check(package.options_schema, item.options, noun="option", of=of, where="options")
    except Invalid as error:
        problem = error.problem
        option = next((one for one in item.options if f"{one!r}" in problem.message or one in problem.where), "")
        place = composition.place_of(item.service, "options", *([option] if option else []))
        raise Invalid(
            problem.message, where=f"{place} service {item.service} {problem.where}", expected=problem.expected
        ) from None


def _known_needs(item: ServiceItem, package: PackageView, where: str) -> dict[str, dict[str, Any]]:
    """The package's needs; every binding is of one of them."""
    needs: dict[str, dict[str, Any]] = {str(one.get("name", "")): one for one in package.needs}
    for need in item.bindings:
        if need not in needs:
            raise Invalid(
                f"{item.package} has no need {need!r}",
                where=f"{where} {need}",
                expected=nearest(need, needs) if needs else "no bindings",
            )
    return needs


def _check_bindings(
    item: ServiceItem,
    needs: dict[str, dict[str, Any]],
    there: Collection[str],
    all_of_it: Collection[str],
    where: str,
) -> None:
    """Each need has its service, installed before or standing further up in the file."""
    for need, spec in needs.items():
        service = item.bindings.get(need, need)
        if service in there or (spec.get("optional") and need not in item.bindings):
            continue
        below = service in all_of_it and service != item.service
        raise Invalid(
            f"{item.service} needs {need}, and service {service!r} "
            + ("stands below it" if below else "is neither in the file nor installed"),
            where=f"{where} {need}",
            expected=f"{service} above {item.service}" if below else nearest(service, [*there, *all_of_it]),
        )


def _check_action(action: ActionItem, package: PackageView, where: str) -> None:
    known = {str(one.get("name", "")): one for one in package.actions}
    if action.action not in known:
        raise Invalid(
            f"{action.service} ({package.name}) has no action {action.action!r}",
            where=where,
            expected=nearest(action.action, known) if known else "no actions: it has none",
        )
    arguments = known[action.action].get("arguments", {})
    try:
        schema.check(arguments, action.arguments, noun="argument", of=action.action, where="arguments")
    except Invalid as error:
        raise _at(error, where) from None


def _at(error: Invalid, where: str) -> Invalid:
    problem = error.problem
    return Invalid(problem.message, where=f"{where} {problem.where}", expected=problem.expected)
