"""Kafka's own settings, as a person may give them: what each locked version knows, less what is made here.

A name that Kafka does not know is passed over in silence, and a value that it cannot read ends the broker at its start.
So both are checked where they are typed in, against the facts that ``scripts/kafka_settings.py`` asks of each version's
own definitions. Values are numbers and words, or the same as text, as a settings file has them.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final, Literal

import msgspec

from upcall.catalog.known import check_settings, made_here, settings_object
from upcall.service import ByVersion

Of = Literal["broker", "topic"]
Value = str | int | float | bool

MADE_HERE: Final = {
    "process.roles": "every broker is a controller too",
    "node.id": "the member's number",
    "broker.rack": "the zone of its node",
    "listeners": "the member's own address",
    "advertised.listeners": "the member's own address",
    "controller.listener.names": "the member's own address",
    "listener.security.protocol.map": "the option `client_auth`",
    "inter.broker.listener.name": "the option `client_auth`",
    "sasl.mechanism.inter.broker.protocol": "the option `client_auth`",
    "sasl.mechanism.controller.protocol": "the option `client_auth`",
    "controller.quorum.bootstrap.servers": "the members of the service",
    "controller.quorum.voters": "voters are records in Kafka's metadata",
    "log.dirs": "the broker's volume",
    "log.dir": "the broker's volume",
    "metadata.log.dir": "the broker's volume",
}
"""Name -> where its value comes from. To set one of these would take the broker out of the service's hands."""


class _Facts(msgspec.Struct):
    version: str
    features: dict[str, tuple[int, int]]
    """Feature -> the lowest and the highest level that this version can run with."""
    levels: dict[str, int]
    """Of ``metadata.version``, which has a name for each: ``4.1-IV1``."""
    broker: dict[str, dict[str, Any]]
    topic: dict[str, dict[str, Any]]
    live: tuple[str, ...]
    """A broker's that change while it runs."""

    def usual(self) -> dict[str, str | None]:
        """Of what changes live: the value where nobody says."""
        return {name: self.broker[name].get("default") for name in self.live}

    def of(self, of: Of) -> dict[str, dict[str, Any]]:
        return self.broker if of == "broker" else self.topic


def facts(version: str) -> _Facts:
    """What this version says of itself. Read each time: no version that nobody asks about stays in memory."""
    return msgspec.json.decode((files(__package__) / "versions" / version / "settings.json").read_bytes(), type=_Facts)


def settings_schema(version: str, of: Of) -> dict[str, Any]:
    """JSON Schema of a broker's settings, or a topic's."""
    known = {name: _also_as_text(part) for name, part in facts(version).of(of).items()}
    return settings_object(known, made_here(MADE_HERE) if of == "broker" else {})


def checked(version: str, of: Of, given: Mapping[str, Any]) -> dict[str, str]:
    """``given`` as texts, or ``ValueError`` with one clear sentence."""
    if not given:
        return {}
    parts = facts(version).of(of)
    numbers = {name: _as_number(value, parts.get(name, {})) for name, value in given.items()}
    noun = "setting" if of == "broker" else "setting of a topic"
    beside = "unchecked_settings" if of == "broker" else "unchecked_config"
    check_settings(settings_schema(version, of), numbers, of=f"Kafka {version}", noun=noun, beside=beside)
    return as_texts(given)


def settings_of(of: Of) -> ByVersion:
    """Of an option or an argument that holds settings: what each version makes of them."""
    return ByVersion(lambda version, given: checked(version, of, given), lambda version: settings_schema(version, of))


def as_texts(given: Mapping[str, Any]) -> dict[str, str]:
    """As a settings file has them."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def _as_number(value: Any, part: Mapping[str, Any]) -> Any:
    """A text that is a number where one is wanted, as this number: JSON Schema has no bounds for texts."""
    if part.get("type") not in ("integer", "number") or not isinstance(value, str):
        return value
    try:
        return int(value) if part["type"] == "integer" else float(value)
    except ValueError:
        return value


def _also_as_text(part: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds are of numbers, a pattern is of texts: one part has both."""
    if part.get("enum") == ["true", "false"]:
        return {**part, "enum": ["true", "false", True, False]}
    if part.get("type") == "integer":
        low, high = part["minimum"], part["maximum"]
        sign, first = ("-?", "[0-9]") if low < 0 else ("", "[1-9]" if low else "[0-9]")
        pattern = f"^{sign}{first}[0-9]{{0,{len(str(high)) - 1}}}$"
        words = f"a whole number from {low} to {high}"
        return {**part, "type": ["integer", "string"], "pattern": pattern, "description": words}
    if part.get("type") == "number":
        pattern = r"^-?[0-9]+([.][0-9]+)?$"
        return {**part, "type": ["number", "string"], "pattern": pattern, "description": "a number"}
    return dict(part)
