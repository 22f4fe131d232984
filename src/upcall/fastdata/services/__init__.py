"""The fast-data path as services like any other: what the demo's composition installs beside the data systems."""

from typing import Final

LINK_TOKEN: Final = "generated:flight-link"  # noqa: S105 - a reference, not a value
"""The secret that an aircraft and its ingest share; made at its first use."""
