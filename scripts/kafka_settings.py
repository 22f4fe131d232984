"""Writes which settings a locked version of Kafka knows, as JSON Schemas, from its own definitions.

    python scripts/kafka_settings.py 4.3.1 > settings.json && mv settings.json src/upcall/catalog/kafka/versions/4.3.1/

Kafka declares each setting of a broker, and of a topic, with its type, its range, the words it takes and its default
(``ConfigDef``), which of a broker's change while it runs, and the levels of each feature that a version can run with.
``KafkaSettings.java`` prints them.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from upcall.artifacts.cache import Cache
from upcall.artifacts.compiled import COMPILER
from upcall.artifacts.fetch import fetch
from upcall.catalog.kafka.service import Kafka

SOURCE = Path(__file__).with_name("KafkaSettings.java")
WIDTHS = {"short": 2**15, "int": 2**31, "long": 2**63}


def printed(version: str) -> list[dict[str, Any]]:
    """One row for each setting."""
    package = Kafka.at(version)
    if package.version != version:
        raise SystemExit(f"no version {version} of Kafka is locked: one of {', '.join(Kafka.versions())}")
    artifacts = [package.artifact(name) for name in ("java", "kafka", "compiler")]
    ready = fetch(artifacts, Cache(), package.blobs().__getitem__)
    java, jars = ready["java"].properties["java"], ready["kafka"].properties["classpath"]
    core = [jar for jar in jars.split(":") if Path(jar).name.startswith(("kafka", "scala"))]
    with tempfile.TemporaryDirectory(prefix="kafka-settings-") as classes:
        compiler = ready["compiler"].properties["classpath"]
        options = ["--release", "17", "-proc:none", "-nowarn", "-cp", ":".join(core), "-d", classes]
        subprocess.run([java, "-cp", compiler, COMPILER, *options, str(SOURCE)], check=True)
        command = [java, "-cp", f"{classes}:{jars}", "KafkaSettings"]
        rows = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return [json.loads(row) for row in rows.splitlines()]


def schema_of(row: dict[str, Any]) -> dict[str, Any]:
    """What the setting's text looks like, and what it is where nobody says."""
    default = {"default": row["default"]} if "default" in row else {}
    return {**_text_of(row), **default}


def _text_of(row: dict[str, Any]) -> dict[str, Any]:
    kind = str(row["type"])
    if kind == "boolean":
        return {"enum": ["true", "false"]}
    if kind in WIDTHS:
        low, high = int(row.get("min", -WIDTHS[kind])), int(row.get("max", WIDTHS[kind] - 1))
        return {"type": "integer", "minimum": low, "maximum": high}
    if kind == "double":
        bounds = {"minimum": row.get("min"), "maximum": row.get("max")}
        return {"type": "number", **{name: value for name, value in bounds.items() if value is not None}}
    words = [] if row.get("any_case") else row.get("among", [])
    if words and kind == "list":
        return {"type": "string", "pattern": f"^({'|'.join(words)})?(,({'|'.join(words)}))*$"}
    return {"enum": words} if words else {"type": "string"}


def main() -> None:
    version = sys.argv[1] if len(sys.argv) > 1 else Kafka.version
    rows = printed(version)
    parts = []
    for of in ("broker", "topic"):
        known = {row["name"]: schema_of(row) for row in rows if row["of"] == of}
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
        parts.append(f'"{of}": {{\n{lines}\n}}')
    live = [row["name"] for row in rows if row.get("live")]
    parts.append('"live": [\n' + ",\n".join(f"  {json.dumps(name)}" for name in sorted(live)) + "\n]")
    features = {row["name"]: [row["min"], row["max"]] for row in rows if row["of"] == "feature"}
    levels = {row["name"]: row["is"] for row in rows if row["of"] == "level"}
    print(f'{{"version": "{version}",')
    print(f'"features": {json.dumps(features)},')
    print(f'"levels": {json.dumps(levels)},')
    print(",\n".join(parts) + "}")


if __name__ == "__main__":
    main()
