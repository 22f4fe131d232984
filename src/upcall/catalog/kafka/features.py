"""The levels of Kafka's features: in which form a cluster writes, and so which versions can read it.

All brokers may run a newer version while the levels are those of the one before: then each of them still writes what
that one reads, and an upgrade can be gone back from. Raising them is the point of no return. Clients have no call for
it; Kafka's own tool runs beside a member.
"""

import re
from collections.abc import Mapping
from typing import Final

from upcall.catalog.kafka.config import PROPERTIES, tool_command
from upcall.catalog.kafka.settings import facts
from upcall.service import Member

TOOL: Final = "org.apache.kafka.tools.FeatureCommand"
TIMEOUT_S: Final = 60.0
METADATA: Final = "metadata.version"
"""The level of the cluster's own records; of each version the highest one belongs to its release."""
_LINE: Final = re.compile(r"^Feature:\s*(\S+)\s.*FinalizedVersionLevel:\s*(\S+)", re.MULTILINE)


def parsed(described: str) -> dict[str, str]:
    """Feature -> its level as the tool prints it, from ``describe``."""
    found = dict(_LINE.findall(described))
    if METADATA not in found:
        raise ValueError(f"no level of {METADATA} in: {described[:200]!r}")
    return found


async def levels(beside: Member) -> dict[str, str]:
    return parsed((await beside.run(_tool("describe"), timeout_s=TIMEOUT_S)).output)


def unreadable(version: str, now: Mapping[str, str]) -> str:
    """Why this version cannot read what a cluster with these levels writes; empty: it can."""
    known = facts(version)
    for name, level in now.items():
        lowest, highest = known.features.get(name, (0, 0))
        number = _number(level, known.levels)
        if number is None or number > highest:
            return f"{name} is at {level}, and Kafka {version} reads up to {_named(highest, name, version)}"
        if number and number < lowest:
            begins = _named(lowest, name, version)
            return f"{name} is at {level}, and Kafka {version} begins at {begins}: finalize one between them first"
    return ""


def behind(version: str, now: Mapping[str, str]) -> list[str]:
    """What this version would raise: ``metadata.version from 4.1-IV1 to 4.3-IV0``."""
    known = facts(version)
    number = _number(now[METADATA], known.levels)
    highest = known.features[METADATA][1]
    if number is None or number >= highest:
        return []
    return [f"{METADATA} from {now[METADATA]} to {_named(highest, METADATA, version)}"]


def raise_command(version: str) -> tuple[str, ...]:
    """All features to what this version's release has."""
    return _tool("upgrade", "--release-version", _named(facts(version).features[METADATA][1], METADATA, version))


def _number(level: str, names: Mapping[str, int]) -> int | None:
    """None: a name that this version does not know, so it is newer."""
    return int(level) if level.isdigit() else names.get(level)


def _named(level: int, feature: str, version: str) -> str:
    names = {number: name for name, number in facts(version).levels.items()}
    return names.get(level, str(level)) if feature == METADATA else str(level)


def _tool(*words: str) -> tuple[str, ...]:
    return tool_command(
        TOOL, "--bootstrap-server", "{{address}}:{{port.client}}", "--command-config", PROPERTIES, *words
    )
