"""What a person wants of a control plane that is not on this machine: said on the command line, carried out by whoever
knows that kind of cluster."""

import msgspec


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is not said stays as it is there."""

    context: str = ""
    namespace: str = ""
    image: str = ""
    replicas: int | None = None
    storage_class: str | None = None
    """Empty: the cluster's default."""
    volumes_bound_to_node: bool | None = None
