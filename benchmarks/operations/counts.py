"""The job that Spark runs while it is operated: it counts what it reads from Kafka, each record once.

    counts.py SERVERS TOPIC VOLUME

Which records a micro-batch has stands in the checkpoint before it is begun, so one that is done again has the same, and
writes the same file again.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

EVERY = "500 milliseconds"


def main() -> None:
    servers, topic, volume = sys.argv[1:]
    out = Path(volume) / "out"
    out.mkdir(exist_ok=True)

    def store(batch: Any, number: int) -> None:
        numbers = [int.from_bytes(row.key, "big") for row in batch.collect()]
        new = out / f".{number}"
        new.write_text(json.dumps(numbers))
        new.replace(out / str(number))

    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    spark = SparkSession.builder.appName("counts").getOrCreate()
    source = spark.readStream.format("kafka").option("kafka.bootstrap.servers", servers).option("subscribe", topic)
    keys = source.option("startingOffsets", "earliest").load().select("key")
    writer = keys.writeStream.foreachBatch(store).option("checkpointLocation", str(Path(volume) / "at"))
    query = writer.trigger(processingTime=EVERY).start()
    print("counting", flush=True)
    while query.isActive and not stop:
        query.awaitTermination(0.5)
    query.stop()
    spark.stop()
    if error := query.exception():
        raise error


if __name__ == "__main__":
    main()
