"""Writes to Kafka until it is told to end, then reads all of it back: a client that knows its brokers by their names.

``python kafka_load.py SETTINGS TOPIC A_SECOND [DEADLINE_S]``: settings of librdkafka as JSON, in a file. What is not
acknowledged within the deadline, which counts from when it was due, has failed. Says one line of JSON.
"""

import json
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer

DEADLINE_S = 20.0
READ_S = 120.0


def main(settings: dict[str, Any], topic: str, a_second: float, deadline_s: float = DEADLINE_S) -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    acknowledged: set[int] = set()
    errors: Counter[str] = Counter()
    slowest_s, sent, began_s = 0.0, 0, time.monotonic()
    more = {"acks": "all", "enable.idempotence": True, "delivery.timeout.ms": int(deadline_s * 1000)}
    producer = Producer({**settings, **more})
    print("begins", flush=True)
    while not stopping.is_set():
        number, due_s = sent, began_s + sent / a_second

        def told(error: KafkaError | None, _: Any, number: int = number, due_s: float = due_s) -> None:
            nonlocal slowest_s
            took_s = time.monotonic() - due_s
            slowest_s = max(slowest_s, took_s)
            if error is None:
                acknowledged.add(number)
                if took_s > deadline_s:
                    errors["late"] += 1
            else:
                errors[str(error)] += 1

        producer.produce(topic, str(number).encode(), on_delivery=told)
        sent += 1
        producer.poll(max(0.0, due_s + 1 / a_second - time.monotonic()))
    errors["not answered"] += producer.flush(deadline_s + 5)
    read = Counter(_read(settings, topic))
    lost = acknowledged - read.keys()
    said = {
        "sent": sent, "failed": sum(errors.values()), "errors": errors, "lost": len(lost),
        "twice": sum(count > 1 for count in read.values()), "slowest_s": round(slowest_s, 2),
    }  # fmt: skip
    print(json.dumps(said), flush=True)


def _read(settings: dict[str, Any], topic: str) -> list[int]:
    more = {"group.id": "reads-back", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**settings, **more, "enable.partition.eof": True})
    left = set(consumer.list_topics(topic, READ_S).topics[topic].partitions)
    consumer.subscribe([topic])
    found, until_s = [], time.monotonic() + READ_S
    while left and time.monotonic() < until_s:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if (error := message.error()) is None:
            found.append(int(message.value() or b"-1"))
        elif error.code() == KafkaError._PARTITION_EOF:
            left.discard(message.partition())
    consumer.close()
    return found


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], *map(float, sys.argv[3:]))
