"""What a service wants done again and again, by its expert's word ::

    @every("7 days", within="10 days", takes="2 hours")
    @action(timeout_s=7200)
    async def repair(self): ...

An action that needs no argument, or ``spread`` (the service is asked to ``rebalance``). When it begins is the system's:
within the windows that a person gave the service, one at a time, what was missed once, what failed again. A person may
say another time (``schedules.repair=sun 03:00``), or ``never``.
"""

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from upcall.protocol import recurring
from upcall.protocol.service import ScheduleSpec
from upcall.service import docstrings
from upcall.service.actions import actions_of

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])
_MARK: Final = "__upcall_every__"
OPERATIONS: Final = {"spread": "rebalance"}
"""Hooks that are carried out for an operation -> its kind."""


@dataclass(frozen=True)
class _Again:
    every: str
    within_s: float
    takes_s: float


def every(interval: str, *, within: str = "", takes: str = "") -> Callable[[F], F]:
    """Has this method called again and again: each ``interval`` (``7 days``, ``sun 03:00``, five fields of cron).
    ``within``: from one that went well to the next, at most (later breaks something). ``takes``: how long one takes, so
    that it is not begun in a window that is too short."""
    again = _Again(
        recurring.every(interval, "UTC").text if interval != recurring.NEVER else interval,
        recurring.interval_s(within) if within else 0.0,
        recurring.interval_s(takes) if takes else 0.0,
    )

    def mark(function: F) -> F:
        setattr(function, _MARK, again)
        return function

    return mark


def schedules_of(service: type[Any]) -> tuple[ScheduleSpec, ...]:
    """All schedules of a service class."""
    actions = {action.method: action for action in actions_of(service).values()}
    found = []
    of_the_sdk = [(action.method, action.function) for action in actions.values() if action.function is not None]
    for method, function in (*inspect.getmembers(service, inspect.isfunction), *of_the_sdk):
        again = getattr(function, _MARK, None)
        if again is None:
            continue
        action = actions.get(method)
        name = OPERATIONS.get(method) or (action.name if action else "")
        if not name:
            raise TypeError(f"@every {service.__name__}.{method} must be an action, or one of {', '.join(OPERATIONS)}")
        arguments = action.arguments.model_fields if action else {}
        if needed := [argument for argument, field in arguments.items() if field.is_required()]:
            raise TypeError(f"@every {service.__name__}.{method} needs {', '.join(needed)}, which nobody gives it")
        described = docstrings.first_line(function)
        found.append(
            ScheduleSpec(
                name=name, every=again.every, within_s=again.within_s, takes_s=again.takes_s, description=described
            )
        )
    return tuple(found)
