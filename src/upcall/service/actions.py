"""Actions: what a person may ask of a service in one call.

``@action`` on an async method makes it a command (``upcall service queue create-topic --name t``) and an API call. Its
arguments' JSON Schema comes from the signature; what arrives is validated before the method sees it, and what the
method returns goes back as JSON.

``@checks(create_topic)`` on another async method says beforehand what the action would refuse: it takes those of the
action's arguments that it needs, looks, changes nothing, and raises what the action would. It is asked before the
action whenever that is, in dry runs, and before anything of ``upcall apply`` begins.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict, create_model

from upcall.protocol.errors import NotFound
from upcall.protocol.nearest import choice
from upcall.protocol.service import ActionSpec
from upcall.service import docstrings
from upcall.service.options import validated
from upcall.service.versions import annotation_at

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])
C = TypeVar("C", bound=Callable[..., Coroutine[Any, Any, None]])
_MARK = "__upcall_action__"
_CHECKS = "__upcall_checks__"


@dataclass(frozen=True)
class Action:
    """An action of a service class."""

    name: str
    method: str
    description: str
    arguments: type[BaseModel]
    timeout_s: float
    goes_on: bool = False
    function: Callable[..., Coroutine[Any, Any, Any]] | None = None
    """The SDK's own, which is no method of the class."""
    check: str = ""
    """The method that says what it would refuse, if its expert wrote one."""
    checked: tuple[str, ...] = ()
    """Arguments that the check takes."""

    @property
    def spec(self) -> ActionSpec:
        schema = self.arguments.model_json_schema()
        return ActionSpec(
            name=self.name,
            description=self.description,
            arguments=schema,
            timeout_s=self.timeout_s,
            goes_on=self.goes_on,
            checks=bool(self.check),
        )

    async def call(self, service: object, arguments: Mapping[str, Any]) -> Any:
        values = self._values(arguments)
        await self._look(service, values)
        if self.function is not None:
            return await self.function(service, **values)
        return await getattr(service, self.method)(**values)

    async def judge(self, service: object, arguments: Mapping[str, Any]) -> None:
        """Raises what it would refuse, as far as its expert says so beforehand; does nothing."""
        await self._look(service, self._values(arguments))

    def _values(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        given = validated(self.arguments, arguments, where=self.name)
        # The fields themselves, not model_dump(): an argument that is a model arrives as that model.
        return {name: getattr(given, name) for name in self.arguments.model_fields}

    async def _look(self, service: object, values: Mapping[str, Any]) -> None:
        if self.check:
            await getattr(service, self.check)(**{name: values[name] for name in self.checked})


@overload
def action(method: F) -> F: ...
@overload
def action(*, timeout_s: float = 60.0, goes_on: bool = False) -> Callable[[F], F]: ...
def action(method: F | None = None, *, timeout_s: float = 60.0, goes_on: bool = False) -> F | Callable[[F], F]:
    """Makes an async method an action. Its docstring is the description. It may run for ``timeout_s`` seconds (an hour
    is no less right than an instant), say how far it is (``self.progress``), and be cancelled, like any coroutine.

    ``goes_on``: it finds out by itself how far it came, so when its host dies, the next one calls it again with the
    same arguments (which are kept on record meanwhile: no secrets among them). What breaks it off because an agent, a
    member or the master is away is waited for, and then it is called again, too (:mod:`upcall.service.interrupted`)."""

    def mark(function: F) -> F:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"@action {getattr(function, '__name__', function)!r} must be an async method")
        setattr(function, _MARK, (timeout_s, goes_on))
        return function

    return mark if method is None else mark(method)


def checks(action: Callable[..., Any]) -> Callable[[C], C]:
    """Makes an async method the check of an action: ``@checks(create_topic)``."""
    if not hasattr(action, _MARK):
        raise TypeError(f"@checks({getattr(action, '__name__', action)}): that is no action")

    def mark(function: C) -> C:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"@checks {getattr(function, '__name__', function)!r} must be an async method")
        setattr(function, _CHECKS, action.__name__)
        return function

    return mark


def actions_of(service: type[Any]) -> dict[str, Action]:
    """All actions of a service class by name (``create-topic`` for ``create_topic``)."""
    found = dict(service.sdk_actions() if hasattr(service, "sdk_actions") else {})
    for method, function in inspect.getmembers(service, inspect.isfunction):
        if hasattr(function, _MARK):
            each = _made(service, method, function)
            found[each.name] = each
    for method, function in inspect.getmembers(service, inspect.isfunction):
        if of := getattr(function, _CHECKS, ""):
            known = found[str(of).replace("_", "-")]
            found[known.name] = replace(known, check=method, checked=_checked(service, method, function, known))
    return found


def beside(service: type[Any], functions: Mapping[str, Callable[..., Coroutine[Any, Any, Any]]]) -> dict[str, Action]:
    """Actions whose functions are no methods of the class, by their names."""
    return {name: replace(_made(service, name, function), function=function) for name, function in functions.items()}


def _made(service: type[Any], method: str, function: Callable[..., Coroutine[Any, Any, Any]]) -> Action:
    timeout_s, goes_on = getattr(function, _MARK)
    arguments = _arguments(service, method, function)
    return Action(method.replace("_", "-"), method, docstrings.plain(function), arguments, timeout_s, goes_on)


def _checked(service: type[Any], method: str, function: Callable[..., Any], action: Action) -> tuple[str, ...]:
    """The arguments that a check takes: of those of its action."""
    wanted = tuple(list(inspect.signature(function).parameters)[1:])
    if unknown := [name for name in wanted if name not in action.arguments.model_fields]:
        known = ", ".join(action.arguments.model_fields) or "none"
        raise TypeError(
            f"{service.__name__}.{method} checks {action.name}, which has no argument {unknown[0]!r}; it has {known}"
        )
    return wanted


def action_named(service: type[Any], name: str) -> Action:
    known = actions_of(service)
    wanted = name.replace("_", "-")
    if wanted not in known:
        raise NotFound(f"no action {name!r}", expected=choice(sorted(known), "nothing: it has no actions"))
    return known[wanted]


def _arguments(service: type[Any], method: str, function: Callable[..., Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    signature = inspect.signature(function, eval_str=True)
    for parameter in list(signature.parameters.values())[1:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"@action {service.__name__}.{method}: {parameter} has no name to be given by")
        if parameter.annotation is parameter.empty:
            raise TypeError(f"@action {service.__name__}.{method}: argument {parameter.name!r} has no type")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (annotation_at(parameter.annotation, service.version), default)
    title = "".join(word.capitalize() for word in method.replace("-", "_").split("_"))
    return create_model(title, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields)
