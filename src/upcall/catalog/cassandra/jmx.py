"""What a running node takes: settings that Cassandra can set by JMX, and read back. Pure.

``live.json`` names for each its bean and attribute, the unit that the attribute counts in, and the value that a file
without the setting means. An attribute counts in whole units: a value between two of them (a throughput of 1,500 KiB/s
where MiB/s are counted) takes a restart instead. So do all settings that have no attribute, or none that can be read.
"""

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec

BEANS: Final = {
    "StreamManager": "org.apache.cassandra.net:type=StreamManager",
    "FailureDetector": "org.apache.cassandra.net:type=FailureDetector",
}
"""Those that lie elsewhere than most."""
SCALE: Final = {
    "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000,
    "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
    "B/s": 1, "KiB/s": 1 << 10, "MiB/s": 1 << 20,
}  # fmt: skip
_AMOUNT: Final = re.compile(r"(\d+)(\D+)")


class Attribute(msgspec.Struct, frozen=True):
    bean: str
    attribute: str
    unit: str = ""
    default: Any = None
    """None: the value that the package makes."""

    def value(self, setting: Any) -> str | None:
        """As the attribute counts it; None: it cannot have this value."""
        if not self.unit:
            return str(setting).lower() if isinstance(setting, bool) else str(setting)
        found = _AMOUNT.fullmatch(str(setting))
        if found is None or found[2] not in SCALE:
            return None
        number, rest = divmod(int(found[1]) * SCALE[found[2]], SCALE[self.unit])
        return None if rest else str(number)


class _Table(msgspec.Struct):
    version: str
    live: dict[str, Attribute]


def table(version: str) -> dict[str, Attribute]:
    file = files(__package__) / "versions" / version / "live.json"
    return msgspec.json.decode(file.read_bytes(), type=_Table).live


def takes(version: str, setting: str, wanted: Any) -> bool:
    """Whether a running node can be given it. ``wanted`` None: what it is without being set."""
    known = table(version).get(setting)
    return known is not None and (wanted is None or known.value(wanted) is not None)


def lines(version: str, settings: Iterable[str], file: Mapping[str, Any]) -> str:
    """For the tool that sets them: each as it stands in the node's file. One that this version knows none of is of
    another one's time."""
    found, attributes = [], table(version)
    for name in settings:
        if name not in attributes:
            continue
        known = attributes[name]
        value = known.value(known.default if file.get(name) is None else file[name])
        bean = BEANS.get(known.bean, f"org.apache.cassandra.db:type={known.bean}")
        found.append(f"{name}\t{bean}\t{known.attribute}\t{value}\n")
    return "".join(found)
