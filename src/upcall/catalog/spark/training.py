"""What the class archive is trained with: a small application that does what Spark's processes do.

Run by ``spark-submit`` in one process. First it streams in local mode, where driver and executor are one: a Python
function over Arrow batches, results collected. Then it runs a job on a cluster in the same process, which loads the
classes of master and worker. Kafka's classes are loaded by name, because there is no broker to talk to.
"""

import sys
import tempfile
from typing import Any

from pyspark.sql import SparkSession

KAFKA = (
    "org.apache.kafka.clients.consumer.KafkaConsumer",
    "org.apache.kafka.clients.admin.KafkaAdminClient",
    "org.apache.spark.sql.kafka010.KafkaSourceProvider",
    "org.apache.spark.sql.kafka010.KafkaMicroBatchStream",
    "org.apache.spark.sql.kafka010.KafkaOffsetReaderAdmin",
    "org.apache.spark.sql.kafka010.KafkaBatchPartitionReader",
    "org.apache.spark.sql.kafka010.consumer.KafkaDataConsumer",
    "org.apache.spark.executor.CoarseGrainedExecutorBackend",
    "org.apache.spark.deploy.worker.Worker",
    "org.apache.spark.deploy.master.Master",
)


def rows(batches: Any) -> Any:
    yield from batches


def stream(spark: Any, folder: str) -> None:
    def store(frame: Any, _number: int) -> None:
        frame.collect()

    source = spark.readStream.format("rate").option("rowsPerSecond", 100).load()
    mapped = source.selectExpr("cast(value as int) partition", "cast(value as string) value")
    mapped = mapped.mapInArrow(rows, "partition int, value string")
    query = mapped.writeStream.foreachBatch(store).option("checkpointLocation", folder).start()
    while query.isActive and not (query.lastProgress and query.lastProgress["batchId"] >= 2):
        query.awaitTermination(1)
    query.stop()


def talk_to_nobody(spark: Any) -> None:
    """A consumer's start, up to the connection that is refused."""
    jvm = spark.sparkContext._jvm
    for name in KAFKA:
        jvm.java.lang.Class.forName(name)
    settings = jvm.java.util.Properties()
    for name, value in {
        "bootstrap.servers": "127.0.0.1:1",
        "key.deserializer": "org.apache.kafka.common.serialization.ByteArrayDeserializer",
        "value.deserializer": "org.apache.kafka.common.serialization.ByteArrayDeserializer",
        "group.id": "training",
    }.items():
        settings.setProperty(name, value)
    consumer = jvm.org.apache.kafka.clients.consumer.KafkaConsumer(settings)
    consumer.subscribe(jvm.java.util.Collections.singletonList("nothing"))
    consumer.poll(jvm.java.time.Duration.ofMillis(500))
    consumer.close()
    admin = jvm.org.apache.kafka.clients.admin.Admin.create(settings)
    admin.close(jvm.java.time.Duration.ofMillis(100))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        spark = SparkSession.builder.getOrCreate()
        stream(spark, folder)
        talk_to_nobody(spark)
        spark.stop()
    executor_mib = sys.argv[1]
    spark = SparkSession.builder.master(f"local-cluster[1,1,{executor_mib}]").getOrCreate()
    spark.range(10).mapInArrow(rows, "id long").count()
    spark.stop()


main()
