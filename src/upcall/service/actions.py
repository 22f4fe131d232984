"""Actions: what a person may ask of a service in one call.

``@action`` on an async method makes it a command (``upcall service queue create-topic --name t``) and an API call. Its
arguments' JSON Schema comes from the signature; what arrives is validated before the method sees it, and what the
method returns goes back as JSON.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict, create_model

from upcall.protocol.errors import NotFound
from upcall.protocol.service import ActionSpec
from upcall.service.options import validated
from upcall.service.versions import annotation_at

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])
_MARK = "__upcall_action__"


@dataclass(frozen=True)
class Action:
    """An action of a service class."""

    name: str
    method: str
    description: str
    arguments: type[BaseModel]
    timeout_s: float

    @property
    def spec(self) -> ActionSpec:
        schema = self.arguments.model_json_schema()
        return ActionSpec(name=self.name, description=self.description, arguments=schema, timeout_s=self.timeout_s)

    async def call(self, service: object, arguments: Mapping[str, Any]) -> Any:
        given = validated(self.arguments, arguments, where=self.name)
        # The fields themselves, not model_dump(): an argument that is a model arrives as that model.
        values = {name: getattr(given, name) for name in self.arguments.model_fields}
        return await getattr(service, self.method)(**values)


@overload
def action(method: F) -> F: ...
@overload
def action(*, timeout_s: float = 60.0) -> Callable[[F], F]: ...
def action(method: F | None = None, *, timeout_s: float = 60.0) -> F | Callable[[F], F]:
    """Makes an async method an action. Its docstring is the description. It may run for ``timeout_s`` seconds (an hour
    is no less right than an instant), say how far it is (``self.progress``), and be cancelled, like any coroutine."""

    def mark(function: F) -> F:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"@action {getattr(function, '__name__', function)!r} must be an async method")
        setattr(function, _MARK, timeout_s)
        return function

    return mark if method is None else mark(method)


def actions_of(service: type[Any]) -> dict[str, Action]:
    """All actions of a service class by name (``create-topic`` for ``create_topic``)."""
    found = {}
    for method, function in inspect.getmembers(service, inspect.isfunction):
        timeout_s = getattr(function, _MARK, None)
        if timeout_s is not None:
            name = method.replace("_", "-")
            description = inspect.getdoc(function) or ""
            found[name] = Action(name, method, description, _arguments(service, method, function), timeout_s)
    return found


def action_named(service: type[Any], name: str) -> Action:
    known = actions_of(service)
    wanted = name.replace("_", "-")
    if wanted not in known:
        raise NotFound(f"no action {name!r}", expected="one of " + (", ".join(sorted(known)) or "none"))
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
    title = "".join(word.capitalize() for word in method.split("_"))
    return create_model(title, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields)
