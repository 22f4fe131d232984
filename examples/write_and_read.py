"""A client of one's own: writes a record to a topic of the service ``kafka``, and reads all that it holds.

    upcall service do kafka create-topic name=orders partitions=6
    .venv/bin/python examples/write_and_read.py orders "first order"

Where it connects, and as whom, is asked of the cluster; in your own job it comes by a binding, or from a secret.
"""

import json
import subprocess
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

PATIENCE_S = 30.0
KNOWN_S = 10.0  # a topic that was just made is not known to each broker at once


def client(service: str) -> dict[str, str]:
    """Settings of any client that is built on librdkafka."""
    said = subprocess.run(
        ["upcall", "endpoints", service, "--passwords", "-o", "json"], check=True, capture_output=True
    )
    (found,) = [one for one in json.loads(said.stdout) if one["name"] == "client"]
    return {
        "bootstrap.servers": ",".join(found["addresses"]),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": found["user"],
        "sasl.password": found["password"],
        "log_level": 2,
    }


def main(topic: str, text: str) -> None:
    settings = client("kafka")
    producer = Producer({**settings, "acks": "all", "enable.idempotence": True})
    until = time.monotonic() + KNOWN_S
    while (unknown := producer.list_topics(topic, PATIENCE_S).topics[topic].error) and time.monotonic() < until:
        time.sleep(0.1)
    if unknown:
        sys.exit(f"{topic}: {unknown.str()}; `upcall kafka topic list` says which topics there are")
    refused: list[KafkaError] = []
    producer.produce(topic, text.encode(), on_delivery=lambda error, _: refused.extend([error] if error else []))
    if producer.flush(PATIENCE_S):
        sys.exit(f"no broker took it within {PATIENCE_S:g} s; `upcall why kafka` says how it is")
    if refused:  # What is given up is not waited for any more: that nothing is left says nothing.
        sys.exit(f"it was not written: {refused[0].str()}")
    from_its_beginning = {"group.id": "write-and-read", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**settings, **from_its_beginning, "enable.partition.eof": True})
    consumer.subscribe([topic])
    left = set(consumer.list_topics(topic, PATIENCE_S).topics[topic].partitions)
    heard_at = time.monotonic()
    while left:
        message = consumer.poll(1.0)
        if message is None:
            if time.monotonic() - heard_at > PATIENCE_S:
                sys.exit(f"no broker said anything for {PATIENCE_S:g} s; `upcall why kafka` says how it is")
            continue
        heard_at = time.monotonic()
        if (error := message.error()) is None:
            print(f"{topic}-{message.partition()} {message.offset()}: {(message.value() or b'').decode()}")
        elif error.code() == KafkaError._PARTITION_EOF:
            left.discard(message.partition())
        else:
            raise KafkaException(error)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
