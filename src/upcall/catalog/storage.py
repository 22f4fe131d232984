"""On what kind of storage the volumes of a service are, where its machines have several."""

from typing import Annotated, Final

from pydantic import Field

from upcall.service import never

STAYS: Final = "a volume stays on what it was made of; install another one beside it, and restore a backup into that"

Storage = Annotated[
    str,
    never(STAYS),
    Field(
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        max_length=253,
        description="kind of storage of each volume: on Kubernetes a storage class, where `disk` is the one that the"
        " control plane was given (`upcall up --storage-class`); nodes of one's own have one kind",
    ),
]
