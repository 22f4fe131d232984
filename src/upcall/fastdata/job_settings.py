"""What the stream job is told: from the command line, or else from the environment."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass

from upcall.fastdata.keyspace import KEYSPACE
from upcall.fastdata.schema import KEEP_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    kafka: str
    """Bootstrap servers."""
    kafka_login_file: str = ""
    cassandra: tuple[str, ...]
    cassandra_port: int = 9042
    cassandra_login_file: str = ""
    """See :mod:`upcall.fastdata.login`."""
    spark: str = ""
    """host:port of a master that may start later than we do: Spark itself tries it a second time only after 20 s."""
    frames_topic: str = "frames"
    runs_topic: str = "runs"
    keyspace: str = KEYSPACE
    keep_s: int = KEEP_S
    max_frames: int = 1_200
    """Of one micro-batch: bounds what is collected and how long a stop takes. 15 s at full rate in quarter seconds."""
    trigger_ms: int = 1_000
    checkpoint: str = ""


def settings(arguments: Sequence[str] | None = None) -> Settings:
    """From the command line; what is not there from the environment (UPCALL_KAFKA, UPCALL_CASSANDRA, ...)."""
    parser = argparse.ArgumentParser(prog="upcall-windows", description="Frames from Kafka into seconds in Cassandra.")
    defaults = {name: field.default for name, field in Settings.__dataclass_fields__.items()}
    texts = ("kafka", "kafka_login_file", "cassandra", "cassandra_login_file")
    for name in (*texts, "spark", "frames_topic", "runs_topic", "keyspace", "checkpoint"):
        fallback = defaults[name] if isinstance(defaults[name], str) else None
        value = os.environ.get(f"UPCALL_{name.upper()}", fallback)
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, required=value is None)
    for name in ("cassandra_port", "keep_s", "max_frames", "trigger_ms"):
        value = os.environ.get(f"UPCALL_{name.upper()}", defaults[name])
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    said = vars(parser.parse_args(arguments))
    said["cassandra"] = tuple(host.strip() for host in said["cassandra"].split(",") if host.strip())
    return Settings(**said)
