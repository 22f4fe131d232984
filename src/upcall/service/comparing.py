"""What a change of options would do: the service with other options, beside the one that runs.

A shallow copy of the service serves its ``pods()`` and ``task()`` under other options; nothing of it is asked, hears,
or is declared. A member has to restart exactly when what it would be told differs from what it was told, less what is
changed while it runs.
"""

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from upcall.protocol.declaration import Declaration
from upcall.service import wanted
from upcall.service.changing import GIVEN, How, OptionChange, applied, between
from upcall.service.options import ServiceOptions
from upcall.service.service import Service

Declared = Mapping[str, Declaration]


def with_options(service: Service, options: ServiceOptions) -> Service:
    """The same service under other options, to look at."""
    other = copy.copy(service)
    other._context = dataclasses.replace(service._context, pods=None, built=None, made=None)
    other.options = options
    return other


def with_code(service: Service, code: type[Service]) -> Service:
    """The same service in another version of its own class, to look at and to ask."""
    other = with_options(service, service.options)
    other.__class__ = code
    return other


def declarations(service: Service) -> Declared:
    """What each member would be told; raises what the expert's code raises."""
    with service._context.one_look(wanted.checked(service)):
        found = wanted.declared(service)
        wanted.phases(service)
        wanted.endpoints(service)
    return {name: member.declaration for name, member in found.members.items()}


class NobodyKnows(Exception):
    """What the members were told before cannot be said: the code that runs, or the options of before, are broken
    themselves. That is no fault of what is to come."""


@dataclass(frozen=True)
class Comparison:
    """What a change of options does."""

    changes: tuple[OptionChange, ...]
    how: Mapping[str, How]
    """By the name of the change."""
    was: Declared
    wanted: Declared
    differ: tuple[str, ...]
    """Members that have to restart."""

    @property
    def live(self) -> tuple[OptionChange, ...]:
        return tuple(change for change in self.changes if self.how[change.name].word == "live")

    @property
    def refused(self) -> tuple[OptionChange, ...]:
        return tuple(change for change in self.changes if self.how[change.name].word == "never")

    @property
    def come(self) -> tuple[str, ...]:
        return tuple(name for name in self.wanted if name not in self.was)

    @property
    def leave(self) -> tuple[str, ...]:
        return tuple(name for name in self.was if name not in self.wanted)


def compare(
    service: Service,
    was: ServiceOptions,
    wish: ServiceOptions,
    changes: Iterable[OptionChange] | None = None,
    before: Service | None = None,
) -> Comparison:
    """``changes``: all that may differ at the members, where that is more than what differs between the two.
    ``before``: the service in the version that runs, where that is another one. Raises what the expert's code raises
    for what is to come, and :class:`NobodyKnows`."""
    found = between(was, wish) if changes is None else tuple(changes)
    how = {change.name: service.how(change) for change in found}
    after = declarations(with_options(service, wish))
    try:
        told = declarations(with_options(before or service, was))
    except Exception as error:
        raise NobodyKnows from error
    if before is None:
        how |= dict.fromkeys(_given(service, was, found, told), GIVEN)
    live = tuple(change for change in found if how[change.name].word == "live")
    taken = declarations(with_options(service, applied(was, live))) if live and before is None else told
    differ = tuple(name for name, declaration in after.items() if name in taken and taken[name] != declaration)
    return Comparison(found, how, told, after, differ)


def _given(service: Service, was: ServiceOptions, found: tuple[OptionChange, ...], told: Declared) -> list[str]:
    """Names of amounts that members get while they run: where the machines can, and nothing else follows from them."""
    amounts = [change for change in found if service.how(change).in_place]
    if not amounts or not service._context.in_place:
        return []
    with_them = declarations(with_options(service, applied(was, amounts)))
    alike = with_them.keys() == told.keys()
    alike = alike and all(_differ_in_amounts_alone(told[name], with_them[name]) for name in told)
    return [change.name for change in amounts] if alike else []


def _differ_in_amounts_alone(before: Declaration, after: Declaration) -> bool:
    was, now = before.resources, after.resources
    if bool(was.memory_mib) != bool(now.memory_mib):
        return False  # No machine takes a limit away, or begins one, while it runs.
    same = replace(now, cpus=was.cpus, memory_mib=was.memory_mib)
    return replace(after, resources=same) == before


def effects(service: Service, was: ServiceOptions, found: Comparison) -> tuple[dict[str, str], dict[str, str]]:
    """In words: how each option changes, and why each member restarts. Each option is looked at alone."""
    how: dict[str, str] = {}
    causes: dict[str, list[str]] = {name: [] for name in found.differ}
    for change in found.changes:
        said = found.how[change.name]
        if said.word != "restart":
            how[change.name] = str(said)
            continue
        try:
            alone = declarations(with_options(service, applied(was, [change])))
        except Exception:  # One alone need make no sense; all of them together do.
            how[change.name] = "restart"
            continue
        differ = [name for name, declaration in alone.items() if name in found.was and found.was[name] != declaration]
        for name in differ:
            if name in causes:
                causes[name].append(change.name)
        moves = [
            word
            for word, some in (
                ("restart", differ),
                ("new members", alone.keys() - found.was.keys()),
                ("members leave", found.was.keys() - alone.keys()),
            )
            if some
        ]
        how[change.name] = ", ".join(moves) or "at once"
    every = [change.name for change in found.changes if found.how[change.name].word == "restart"]
    return how, {name: ", ".join(names or every) for name, names in causes.items()}
