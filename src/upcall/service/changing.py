"""Changes of a service's options: what differs between two sets of them, and how each difference is brought about.

An option says beside its type how it is changed; one that says nothing takes a restart of exactly the members whose
declarations differ::

    class Options(ServiceOptions):
        log_level: Annotated[Literal["info", "debug"], live] = "info"
        tokens: Annotated[int, never("a ring keeps its tokens; install another one beside it")] = 16

A map (``settings: dict[str, str]``) changes entry by entry; how each of them does is the service's to say
(:meth:`upcall.service.Service.how`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from upcall.service.options import ServiceOptions


@dataclass(frozen=True)
class How:
    """How a difference is brought about."""

    word: Literal["live", "restart", "never"]
    reason: str = ""
    """Of ``never``: why, and what to do instead. Of a change that is live at once everywhere: why."""
    at_once: bool = False
    """Live, and no member has a value of its own: all have it at the same time, so none goes first."""
    in_place: bool = False
    """It is an amount that the machines can give a member while that runs, where they can at all."""

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}" if self.reason else self.word


live: Final = How("live")
"""While the members run: by the service's ``apply_live_at``, at one first; by ``apply_live`` where it has none."""


def live_at_once(reason: str) -> How:
    """While the members run, by the service's ``apply_live``, at all of them at the same time. ``reason`` says why no
    member can go first: a person reads it before he agrees."""
    return How("live", reason, at_once=True)


by_restart: Final = How("restart")
"""Of the members whose declarations differ."""

in_place: Final = How("restart", in_place=True)
"""Of an amount (cores, memory) of which the system takes more or less as it runs, and of which nothing else in its
declaration follows. Where the machines can give it to a task that runs they do, at one member first; elsewhere by a
restart."""
GIVEN: Final = How("live", "given by the machines, while it runs", in_place=True)
"""What :data:`in_place` is where they can."""


def never(reason: str) -> How:
    """Not at all. ``reason`` says why, and what to do instead."""
    if not reason:
        raise ValueError("never() needs a reason: a person reads it when the change is refused")
    return How("never", reason)


@dataclass(frozen=True)
class OptionChange:
    """One option that differs; of a map, one entry."""

    option: str
    key: str
    """Of the entry; empty: the option as a whole."""
    was: Any
    wanted: Any
    """None: the entry is not there any more, so what it was set to has its default again."""

    @property
    def name(self) -> str:
        """As ``--set`` names it."""
        return f"{self.option}.{self.key}" if self.key else self.option


@dataclass(frozen=True)
class Update:
    """What an update (or an upgrade) brings."""

    revision: int
    version: str
    """Of the package."""
    upgrade: bool
    """It brings another version of the package, or other files of it."""
    options: ServiceOptions
    """As they would be. Of an upgrade to code that is not here: as they are."""
    changes: tuple[OptionChange, ...]
    came_from: str = ""
    """The version that runs now."""

    def get(self, name: str) -> OptionChange | None:
        """The change of this option, if it changes."""
        return next((change for change in self.changes if change.name == name), None)


def between(was: BaseModel, wanted: BaseModel) -> tuple[OptionChange, ...]:
    """All that differs, entries of maps one by one."""
    return tuple(_between(was, wanted))


def _between(was: BaseModel, wanted: BaseModel) -> Iterator[OptionChange]:
    for option in type(wanted).model_fields:
        before, after = getattr(was, option, None), getattr(wanted, option)
        if before == after or (type(was) is not type(wanted) and _said_alike(before, after)):
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            for key in dict.fromkeys([*before, *after]):
                if before.get(key) != after.get(key):
                    yield OptionChange(option, str(key), before.get(key), after.get(key))
        else:
            yield OptionChange(option, "", before, after)


def _said_alike(before: Any, after: Any) -> bool:
    """Of models of other code: what is said in a class of that code (an enum) equals nothing of this one."""
    said, wanted = (to_jsonable_python(one, fallback=repr) for one in (before, after))
    return bool(said == wanted)


def applied(options: ServiceOptions, changes: Iterable[OptionChange]) -> ServiceOptions:
    """``options`` with these changes and no others. Not validated: between two that are, a mixture need not be."""
    values: dict[str, Any] = {}
    for change in changes:
        if not change.key:
            values[change.option] = change.wanted
            continue
        entries = dict(values.get(change.option, getattr(options, change.option)))
        if change.wanted is None:
            entries.pop(change.key, None)
        else:
            entries[change.key] = change.wanted
        values[change.option] = entries
    return options.model_copy(update=values)


def named(was: ServiceOptions, wanted: ServiceOptions, names: Iterable[str]) -> tuple[OptionChange, ...]:
    """The changes of these options, also of those that have the same value on both sides."""
    found = {change.name: change for change in between(was, wanted)}
    return tuple(found.get(name) or _same(wanted, name) for name in dict.fromkeys([*names, *found]))


def _same(options: ServiceOptions, name: str) -> OptionChange:
    option, _, key = name.partition(".")
    value = getattr(options, option, None)
    value = value.get(key) if key and isinstance(value, Mapping) else value
    return OptionChange(option, key, value, value)


def before(options: Mapping[str, Any], changed: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The options before a revision, from those that it brings and what it says that it changes."""
    found = dict(options)
    for name, (was, _) in changed.items():
        option, dot, key = name.partition(".")
        if not dot:
            found[option] = was
            if was is None:
                del found[option]
            continue
        entries = dict(found.get(option) or {})
        entries[key] = was
        if was is None:
            del entries[key]
        found[option] = entries
    return found


def marked(model: type[BaseModel], option: str) -> How | None:
    """What the option's own type says of how it is changed."""
    field = model.model_fields.get(option)
    return next((each for each in (field.metadata if field else ()) if isinstance(each, How)), None)
