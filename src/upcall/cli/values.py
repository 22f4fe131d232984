"""``key=value`` on the command line: dotted keys, and values as YAML reads them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from upcall.protocol.errors import Invalid

FILE_BYTES_MAX: Final = 1 << 20
UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_pairs(pairs: Iterable[str], where: str, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """``brokers=3 config.min.insync.replicas=2``: values as YAML reads them, so numbers and lists are those; a dotted
    key sets one entry of a map. ``key:=text`` stays text; ``key=@file`` is the text of a file. What a
    JSON ``schema`` of the whole says to be text stays text too."""
    import yaml

    kinds = (schema or {}).get("properties", {})

    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        key, literal = key.removesuffix(":").strip(), key.endswith(":")
        literal = literal or (not text.startswith("@") and _is_text(kinds, key))
        if not sign or not key:
            raise Invalid(f"not a setting: {pair!r}", where=where, expected="key=value, for example brokers=3")
        try:
            if text.startswith("@") and not literal:
                value = _text_of(Path(text[1:]), pair, where)
            else:
                value = text if literal else yaml.safe_load(text) if text.strip() else text
        except yaml.YAMLError:
            value = text
        first, dot, rest = key.partition(".")
        if dot:
            # One level only: the rest is the inner key as it is (``config.min.insync.replicas=2``).
            inner = found.setdefault(first, {})
            if not isinstance(inner, dict):
                raise Invalid(f"{first} is set to a value and to a map", where=where, expected="one of the two")
            inner[rest] = value
        else:
            found[key] = value
    return found


def _text_of(path: Path, pair: str, where: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Invalid(f"{pair!r}: {error.strerror}", where=where, expected="@ and the path of a text file") from None
    if len(data) > FILE_BYTES_MAX:
        raise Invalid(f"{path} has {len(data)} bytes", where=where, expected=f"at most {FILE_BYTES_MAX}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not text", where=where, expected="a file in UTF-8") from None


def _is_text(kinds: Mapping[str, Any], key: str) -> bool:
    first, dot, _ = key.partition(".")
    kind = kinds.get(first, {})
    inner = kind.get("additionalProperties") if dot else kind
    return isinstance(inner, dict) and inner.get("type") == "string"


def seconds(text: str, where: str = "--for") -> float:
    """``30s``, ``30m``, ``12h``, ``90d``."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text)
    if found is None:
        raise Invalid(f"{text!r} is no time", where=where, expected="a number and s, m, h or d: 30m, 12h, 90d")
    return int(found.group(1)) * UNITS_S[found.group(2)]
