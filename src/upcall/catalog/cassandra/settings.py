"""Cassandra's own settings, as a person may give them: what each locked version knows, less what is made here.

A name that Cassandra does not know, a duration without its unit, a word that is none of an enumeration: each would end
the node at its start, with a stack trace. So all of it is checked where it is typed in, against the facts that
``scripts/cassandra_settings.py`` reads from each version's own classes.
"""

from importlib.resources import files
from typing import Any, Final

import msgspec

from upcall.catalog.known import checked_as, made_here, settings_object

MADE_HERE: Final = {
    "cluster_name": "the service's name",
    "initial_token": "the tokens of a new ring divide it evenly; `num_tokens` says how many",
    "auto_bootstrap": "follows from whether the ring is new",
    "partitioner": "cannot be changed",
    "listen_address": "the node's own address",
    "rpc_address": "the node's own address",
    "native_transport_port": "the endpoint's port",
    "storage_port": "the endpoint's port",
    "endpoint_snitch": "zones are racks",
    "seed_provider": "the members of the service",
    "data_file_directories": "the node's volume",
    "commitlog_directory": "the node's volume",
    "saved_caches_directory": "the node's volume",
    "hints_directory": "the node's volume",
    "cdc_raw_directory": "the node's volume",
    "authenticator": "the option `client_auth`",
    "authorizer": "the option `client_auth`",
    "role_manager": "the option `client_auth`",
    "storage_compatibility_mode": "`upcall finalize` raises it after an upgrade",
}
"""Name -> where its value comes from. To set one of these would take the node out of the service's hands."""
BOUNDED: Final = {
    "num_tokens": {"type": "integer", "minimum": 1, "maximum": 256},
    "phi_convict_threshold": {"type": "number", "minimum": 5, "maximum": 16},
}
"""Bounds that a node knows at its start alone: a running one would take a value with which it never starts again."""


class _Facts(msgspec.Struct):
    version: str
    settings: dict[str, dict[str, Any]]


def facts(version: str) -> _Facts:
    """What this version says of itself. Read each time: no version that nobody asks about stays in memory."""
    return msgspec.json.decode((files(__package__) / "versions" / version / "settings.json").read_bytes(), type=_Facts)


def settings_schema(version: str) -> dict[str, Any]:
    """JSON Schema of the option ``settings``."""
    return settings_object({**facts(version).settings, **BOUNDED}, made_here(MADE_HERE))


OF_VERSION: Final = checked_as("Cassandra", settings_schema)
"""Of the option that holds them."""
