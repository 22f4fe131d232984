"""How a process of the path logs in: one line ``user:password`` of a file that only it can read."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

KAFKA_MECHANISM: Final = "SCRAM-SHA-256"


class Login(NamedTuple):
    user: str
    password: str


SOON_AGAIN: Final = {"reconnect.backoff.max.ms": "1000", "retry.backoff.ms": "20"}
"""A broker that comes back is talked to at once, as Java's clients do (the usual here is 10 s), and a partition whose
leader moved is asked for at the new one, whom the refusal names (KIP-951), after 20 ms instead of 100. Where there is
none yet, this wait doubles each time, up to a second."""


def kafka_client(login: Login | None) -> dict[str, str]:
    """Settings of a client built on librdkafka: how it waits, and as whom it comes."""
    if login is None:
        return dict(SOON_AGAIN)
    return SOON_AGAIN | {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": KAFKA_MECHANISM,
        "sasl.username": login.user,
        "sasl.password": login.password,
    }


def kafka_source(login: Login | None) -> dict[str, str]:
    """Options of Spark's Kafka source, whose client is Java's."""
    if login is None:
        return {}
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return {
        "kafka.security.protocol": "SASL_PLAINTEXT",
        "kafka.sasl.mechanism": KAFKA_MECHANISM,
        "kafka.sasl.jaas.config": f'{module} required username="{login.user}" password="{login.password}";',
    }


def read_login(path: str | Path) -> Login | None:
    """`None`: no file is named, or it is empty, because nobody is asked who he is."""
    text = Path(path).read_text().strip() if path else ""
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise ValueError(f"{path} is not a login: one line user:password is expected")
    return Login(user, password)
