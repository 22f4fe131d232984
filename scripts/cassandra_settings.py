"""Writes which settings (cassandra.yaml) a locked version of Cassandra knows, as a JSON Schema, from its own classes.

    python scripts/cassandra_settings.py 5.0.9 > settings.json
    mv settings.json src/upcall/catalog/cassandra/versions/5.0.9/

Cassandra reads its file into the public fields of ``org.apache.cassandra.config.Config``; a name that is no field is
an error at the start. Their names and types stand in the class file, and so do the words of an enumeration: the tables
of a class file are read (The Java Virtual Machine Specification, chapter 4). What each is where nobody says,
``CassandraDefaults.java`` prints.
"""

import json
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from upcall.artifacts.cache import Cache
from upcall.artifacts.compiled import COMPILER
from upcall.artifacts.fetch import fetch
from upcall.artifacts.kinds import Realised
from upcall.catalog.cassandra.service import Cassandra

DEFAULTS = Path(__file__).with_name("CassandraDefaults.java")
LARGER = {
    "ms": (1000, "s"), "s": (60, "m"), "m": (60, "h"), "h": (24, "d"), "B": (1024, "KiB"), "KiB": (1024, "MiB"),
    "MiB": (1024, "GiB"),
}  # fmt: skip
PACKAGE = "org/apache/cassandra/config/"
PUBLIC, STATIC, ENUM = 0x0001, 0x0008, 0x4000
UTF8 = 1
SIZES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}
"""Bytes of each kind of constant but text; 5 and 6 count as two."""
INTEGERS = {"I", "J", "Ljava/lang/Integer;", "Ljava/lang/Long;"}
NUMBERS = {"D", "F", "Ljava/lang/Double;"}
UNITS = {
    "Nanoseconds": "d|h|m|s|ms|us|µs|ns", "Microseconds": "d|h|m|s|ms|us|µs", "Milliseconds": "d|h|m|s|ms",
    "Seconds": "d|h|m|s", "Minutes": "d|h|m", "Bytes": "B|KiB|MiB|GiB", "Kibibytes": "KiB|MiB|GiB",
    "Mebibytes": "MiB|GiB",
}  # fmt: skip
"""The smallest unit that a bound of Cassandra's allows, and all above it."""


class ClassFile:
    """The fields of a class."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._text: dict[int, str] = {}
        self._u4(), self._u4()  # magic, version
        self._constants()
        self._u2(), self._u2(), self._u2()  # access, this, super
        for _ in range(self._u2()):
            self._u2()
        self.fields = [self._field() for _ in range(self._u2())]

    def _u2(self) -> int:
        return int(struct.unpack(">H", self._file.read(2))[0])

    def _u4(self) -> int:
        return int(struct.unpack(">I", self._file.read(4))[0])

    def _constants(self) -> None:
        index, count = 1, self._u2()
        while index < count:
            (tag,) = self._file.read(1)
            if tag == UTF8:
                self._text[index] = self._file.read(self._u2()).decode(errors="replace")
            else:
                self._file.read(SIZES[tag])
            index += 2 if tag in (5, 6) else 1

    def _field(self) -> tuple[int, str, str]:
        access, name, kind = self._u2(), self._text[self._u2()], self._text[self._u2()]
        for _ in range(self._u2()):
            self._u2()
            self._file.read(self._u4())
        return access, name, kind


def schema_of(kind: str, jar: zipfile.ZipFile) -> dict[str, Any]:
    """What a value of this type looks like in the file."""
    if kind == "I":
        return {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
    if kind in INTEGERS:
        return {"type": "integer"}
    if kind in NUMBERS:
        return {"type": "number"}
    if kind in ("Z", "Ljava/lang/Boolean;"):
        return {"type": "boolean"}
    if kind == "Ljava/lang/String;":
        return {"type": ["string", "number", "boolean", "null"]}
    name = kind.strip("L;")
    if name.startswith((PACKAGE + "DurationSpec", PACKAGE + "DataStorageSpec")):
        unit = next((word for word in UNITS if word in name), "Nanoseconds" if "Duration" in name else "Bytes")
        return {"type": ["string", "null"], "pattern": rf"^\d+({UNITS[unit]})$"}
    if name.startswith(PACKAGE + "DataRateSpec"):
        return {"type": "string", "pattern": r"^\d+(B/s|KiB/s|MiB/s)$"}
    if name.startswith(PACKAGE) and f"{name}.class" in jar.namelist():
        fields = ClassFile(jar.open(f"{name}.class")).fields  # type: ignore[arg-type]
        if words := [field for access, field, _ in fields if access & ENUM]:
            return {"enum": sorted(words)}
    return {}


def usual(ready: Mapping[str, Realised]) -> dict[str, str]:
    """What the class itself has, as text."""
    java, jars = ready["java"].properties["java"], ready["cassandra"].properties["classpath"]
    with tempfile.TemporaryDirectory(prefix="cassandra-settings-") as classes:
        command = [java, "-cp", ready["compiler"].properties["classpath"], COMPILER]
        options = ["-source", "11", "-target", "11", "-proc:none", "-nowarn", "-d", classes]
        subprocess.run([*command, *options, str(DEFAULTS)], check=True)
        command = [java, "-cp", f"{classes}:{jars}", DEFAULTS.stem]
        rows = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return dict(row.split("\t", 1) for row in rows.splitlines() if "\t" in row)


def default_of(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    """As the file has it, in its largest whole unit: versions print the same in different ones."""
    found: Any = text
    if text == "NaN":
        return {}  # It has none.
    if schema.get("type") in ("integer", "number", "boolean"):
        found = json.loads(text)
    elif (amount := re.fullmatch(r"(\d+)(ms|s|m|h|KiB|MiB|B)", text)) and "pattern" in schema:
        number, unit = int(amount[1]), amount[2]
        while number and unit in LARGER and number % LARGER[unit][0] == 0:
            number, unit = number // LARGER[unit][0], LARGER[unit][1]
        found = f"{number}{unit}"
    elif not ("enum" in schema or "pattern" in schema):
        return {}
    return {"default": found}


def main() -> None:
    package = Cassandra.at(sys.argv[1])
    if package.version != sys.argv[1]:
        raise SystemExit(f"no version {sys.argv[1]} of Cassandra is locked: one of {', '.join(Cassandra.versions())}")
    artifacts = [package.artifact(name) for name in ("java", "cassandra", "compiler")]
    ready = fetch(artifacts, Cache(), package.blobs().__getitem__)
    defaults = usual(ready)
    paths = ready["cassandra"].properties["classpath"].split(":")
    path = next(path for path in paths if Path(path).name.startswith("cassandra-all-"))
    with zipfile.ZipFile(path) as jar:
        fields = ClassFile(jar.open(PACKAGE + "Config.class")).fields  # type: ignore[arg-type]
        known = {name: schema_of(kind, jar) for access, name, kind in fields if access & PUBLIC and not access & STATIC}
    known |= {
        name: {**known[name], **default_of(defaults[name], known[name])} for name in known.keys() & defaults.keys()
    }
    found = {"version": Path(path).stem.removeprefix("cassandra-all-"), "settings": known}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(known[name], ensure_ascii=False)}" for name in sorted(known))
    sys.stdout.write(f'{{"version": "{found["version"]}", "settings": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
