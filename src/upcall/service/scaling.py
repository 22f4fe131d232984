"""How many members a service has: which option says it, and what its expert would make of it.

The size is an option like any other; the option says beside its type that it is the size, and of which pod::

    class Options(ServiceOptions):
        brokers: Annotated[int, size("broker")] = 3

So ``upcall scale SERVICE 5`` knows what to set, and a service that says how many it needs
(:meth:`upcall.service.Service.desired_size`) may scale itself within bounds that a person gives.
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

SCHEMA_KEY: Final = "size_of"
"""In the JSON Schema of the options: the pod whose size the option is."""


@dataclass(frozen=True)
class SizeOf:
    """Marks the option that says how many members a pod has."""

    pod: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), SCHEMA_KEY: self.pod}


def size(pod: str) -> SizeOf:
    """The option is the number of members of this pod: ``brokers: Annotated[int, size("broker")]``."""
    return SizeOf(pod)


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
