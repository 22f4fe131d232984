"""Goals: what a person wants of a service, in his words; its expert's code makes options of them ::

    class QueueGoals(ServiceGoals):
        survive: Literal["1-node"] | None = Field(None, description="what may be gone with nothing lost")
        write_mb_s: float | None = Field(None, gt=0, description="so much is written in a second")

    class Queue(Service):
        Goals = QueueGoals

        def from_goals(self, goals, machine):
            if goals.survive and len(machine.nodes) < 3:
                raise unmet("survive", goals.survive, f"needs 3 nodes, there are {len(machine.nodes)}")
            return {"brokers": Derived(3, "a majority of three agrees when one is gone", goal="survive", at_least=True)}

They are an option (``goals``), so a revision shows them, a rollback brings them back and a file states them. What is
made of them is made once, when the revision is asked for, and recorded with it: a machine that comes later changes no
service behind anybody's back. What a person says himself he has said, unless it contradicts a goal: then it is refused.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from upcall.protocol import schema
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.options import flattened, merged
from upcall.service.context import Context
from upcall.service.options import validated

if TYPE_CHECKING:
    from upcall.service.service import Service

M = TypeVar("M", bound=BaseModel)

OPTION: Final = "goals"
"""That the SDK gives to a service with goals."""


class ServiceGoals(BaseModel):
    """Base of every service's goals. Each field may be left out (``None``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Derived:
    """An option's value that follows from a goal, or from the machine."""

    value: Any
    why: str
    """With its numbers: a person reads it in ``upcall explain``."""
    goal: str = ""
    """Which one; several: ``write_mb_s, keep_hours``. Empty: the machine alone."""
    at_least: bool = False
    """A person who says more does not contradict the goal."""


@dataclass(frozen=True)
class Machine:
    """What there is to run on, when a revision is asked for."""

    nodes: tuple[wire.NodeView, ...]

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(sorted({node.zone for node in self.nodes if node.zone}))

    @property
    def disk_mib(self) -> int:
        """Of the node with the least that says so; 0: nobody does."""
        return min((node.disk_mib for node in self.nodes if node.disk_mib), default=0)

    @property
    def memory_mib(self) -> int:
        return min((node.memory_mib for node in self.nodes if node.memory_mib), default=0)

    def must_survive(self, what: str, *, each: str = "one member") -> None:
        """Refuses ``survive=1-node`` or ``1-zone`` where a majority would not be left without it."""
        if what == "1-node" and len(self.nodes) < SURVIVING:
            needs = f"needs {SURVIVING} nodes ({each} on each of them), there are {len(self.nodes)}"
            raise unmet("survive", what, needs, "`upcall node add`, or a goal that is met")
        if what == "1-zone" and len(self.zones) < SURVIVING:
            needs = f"needs nodes in {SURVIVING} zones ({each} in each of them), there are {len(self.zones)}"
            raise unmet("survive", what, needs, "`upcall node add --zone`, or a goal that is met")

    def must_keep(self, each_mib: int, *, hours: float, write_mb_s: float, each: str) -> None:
        """Refuses ``keep_hours`` where the disk of a node is smaller than what it would take of it. ``each``: of whom,
        in words (``each of 3 brokers``)."""
        if self.disk_mib and each_mib > self.disk_mib:
            fits = hours * self.disk_mib / each_mib
            needs = f"at {write_mb_s:g} MB/s needs {each_mib} MiB of disk on {each}, a node has {self.disk_mib}"
            several = each.rpartition(" ")[2]
            raise unmet(
                "keep_hours", f"{hours:g}", needs, f"keep_hours={fits:.2g} or less, more {several}, larger disks"
            )


def usual(options: BaseModel, name: str) -> Any:
    """What an option is where nobody says."""
    return type(options).model_fields[name].default


SURVIVING: Final = 3
"""So many copies leave a majority when one is gone."""


def unmet(goal: str, wanted: object, needs: str, expected: str = "") -> Invalid:
    """``survive=1-node needs 3 nodes, there are 2``: to be raised by ``from_goals``."""
    return Invalid(f"{goal}={wanted} {needs}", where=f"goals.{goal}", expected=expected or "a goal that is met")


def that_has_goals(model: type[M], goals: type[ServiceGoals]) -> type[M]:
    """The options of a service with goals."""
    if OPTION in model.model_fields:
        return model
    described = "what is wanted of it, from which its options follow (`--goal`, `upcall explain`)"
    field: Any = (goals | None, Field(None, description=described))
    made: type[M] = create_model(model.__name__, __base__=model, __module__=model.__module__, **{OPTION: field})
    made.__doc__, made.__qualname__ = model.__doc__, model.__qualname__
    return made


def derive(
    service: "type[Service]", options: Mapping[str, Any], nodes: tuple[wire.NodeView, ...]
) -> dict[str, wire.Derived]:
    """What follows from the goals among these options, for what they do not say themselves. Raises what refuses a
    goal, or an option that contradicts one."""
    given = {name: value for name, value in options.items() if name != OPTION}
    stated = {name: value for name, value in (options.get(OPTION) or {}).items() if value is not None}
    if not stated or service.Goals is None:
        return {}
    # In the words of the schema, as where no goal is stated: the code below speaks only of what passed it.
    of = f"package {service.package}"
    schema.check(service.Options.model_json_schema(), options, noun="option", of=of, where="options")
    validated(service.Options, options, where="options")
    goals = validated(service.Goals, stated, where=OPTION)
    found = service(Context(options=dict(options))).from_goals(goals, Machine(nodes))
    said = dict(flattened(given))
    kept: dict[str, wire.Derived] = {}
    for name, one in found.items():
        if name in said:
            _must_agree(name, said[name], one, stated)
        else:
            kept[name] = wire.Derived(**dataclasses.asdict(one))
    validated(service.Options, merged(options, {name: one.value for name, one in kept.items()}), where="options")
    return kept


def _must_agree(name: str, said: Any, one: Derived, goals: Mapping[str, Any]) -> None:
    agrees = float(said) >= float(one.value) if one.at_least else str(said) == str(one.value)
    if agrees or not one.goal:
        return
    named = [goal.strip() for goal in one.goal.split(",")]
    wanted = ", ".join(f"{goal}={goals[goal]}" for goal in named if goal in goals)
    needed = f"{name}={one.value}" + (" or more" if one.at_least else "")
    raise Conflict(
        f"{name}={said} contradicts the goal {wanted}: {one.why}",
        where=name,
        expected=f"{needed}, another goal, or {name} left to the goal",
        left_to_goal=name,
    )
