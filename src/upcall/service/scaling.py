"""How many members a service has: which option says it, and what its expert would make of it.

The size is an option like any other; the option says beside its type that it is the size, and of which pod::

    class Options(ServiceOptions):
        brokers: Annotated[int, size("broker")] = 3

So ``upcall scale SERVICE 5`` knows what to set, and a service that says how many it needs
(:meth:`upcall.service.Service.desired_size`) may scale itself within bounds that a person gives.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, create_model, model_validator
from pydantic_core import CoreSchema

from upcall.protocol.options import AMOUNT, SIZE

M = TypeVar("M", bound=BaseModel)

OPTION: Final = "autoscale"
"""That the SDK gives to a service that says how many members it needs."""


@dataclass(frozen=True)
class SizeOf:
    """Marks the option that says how many members a pod has."""

    pod: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), SIZE: self.pod}


def size(pod: str) -> SizeOf:
    """The option is the number of members of this pod: ``brokers: Annotated[int, size("broker")]``."""
    return SizeOf(pod)


@dataclass(frozen=True)
class AmountOf:
    """Marks an option that says how much of the machine each member has."""

    what: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), AMOUNT: self.what}


def amount(what: str) -> AmountOf:
    """The option is how much of this each member has: ``memory_mib: Annotated[int, amount("memory")]``. A change of
    nothing but such options is on record as ``grow`` or ``shrink``; it is carried out as any update."""
    return AmountOf(what)


class Autoscale(BaseModel):
    """A person lets the service scale itself, within these bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: int = Field(ge=1, description="never fewer members by itself")
    max: int = Field(ge=1, description="never more members by itself")
    hold_s: float = Field(60.0, ge=5.0, le=86_400.0, description="so long more are needed before more come")
    hold_in_s: float = Field(600.0, ge=5.0, le=86_400.0, description="so long fewer are enough before some leave")
    cool_down_s: float = Field(300.0, ge=0.0, le=86_400.0, description="after a change: what it does is waited for")

    @model_validator(mode="after")
    def _in_order(self) -> "Autoscale":
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


@dataclass(frozen=True)
class Size:
    """How many members a service needs, as its expert sees it now; given by
    :meth:`upcall.service.Service.desired_size`."""

    count: int
    reason: str
    """What was looked at, with its numbers: ``disk 81 % full, 70 % is the aim``. ``why`` and the history show it."""


def size_option(model: type[BaseModel]) -> tuple[str, str] | None:
    """The option that is the size, and the pod that it is of."""
    for name, field in model.model_fields.items():
        for each in field.metadata:
            if isinstance(each, SizeOf):
                return name, each.pod
    return None


def that_scales_itself(model: type[M]) -> type[M]:
    """The options of a service with a size that says how many members it needs: with ``autoscale``."""
    if size_option(model) is None or OPTION in model.model_fields:
        return model
    described = "how many members it may have when it scales itself; without it, a person says how many"
    field: Any = (Autoscale | None, Field(None, description=described))
    made: type[M] = create_model(model.__name__, __base__=model, __module__=model.__module__, **{OPTION: field})
    made.__doc__, made.__qualname__ = model.__doc__, model.__qualname__
    return made
