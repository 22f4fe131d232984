"""Runs in Spark: its configuration entries, and which kind of text each takes. See ``spark_settings.py``."""

import json
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

HOLDERS = (
    "package$", "Deploy$", "History$", "Kryo$", "Network$", "Python$", "R$", "Status$", "Streaming$", "UI$", "Worker$",
)  # fmt: skip
"""Objects of ``org.apache.spark.internal.config`` whose loading registers their entries."""


def the(jvm: Any, name: str) -> Any:
    """A Scala object."""
    return jvm.java.lang.Class.forName(f"{name}$").getField("MODULE$").get(None)


def takes(entry: Any, text: str) -> bool:
    try:
        entry.valueConverter().apply(text)
    except Exception:
        return False
    return True


def kind_of(entry: Any) -> str:
    if takes(entry, "banana"):
        return "text"
    if takes(entry, "7s"):
        return "duration"
    if takes(entry, "7k"):
        return "size"
    if takes(entry, "0.5"):
        return "number"
    if takes(entry, "7"):
        return "integer"
    return "boolean" if takes(entry, "true") else "text"


def main() -> None:
    spark = SparkSession.builder.getOrCreate()
    jvm: Any = spark._jvm  # type: ignore[attr-defined]
    for name in HOLDERS:
        jvm.java.lang.Class.forName(f"org.apache.spark.internal.config.{name}")
    spark.range(1).count()
    found: dict[str, str] = {}
    for entry in the(jvm, "org.apache.spark.internal.config.ConfigEntry").knownConfigs().values():
        found[entry.key()] = kind_of(entry)
        for other in jvm.scala.jdk.javaapi.CollectionConverters.asJava(entry.alternatives()):
            found.setdefault(other, found[entry.key()])
    Path(sys.argv[1]).write_text(json.dumps({"version": spark.version, "settings": found}))
    spark.stop()


main()
