"""The stream job: frames from Kafka through Spark into Cassandra, once, and only once.

Spark Structured Streaming cuts the log into micro-batches (`streaming`). Of each, the tasks make windows and scores
(`micro_batch`), the driver collects them (26 KB for a second of a block), judges them (`judging`) and stores all of it
in an order in which a crash at any point does no harm (`pipeline`); the next job reads on from the position in the
store (`position`). Only then is the position shown in Kafka as the offsets of a consumer group (`job_log`).

This file puts it together: it waits for the systems, which may start later than we do and in any order, and ends with
SIGTERM between two micro-batches.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Final

from cassandra import RequestValidationException
from confluent_kafka import KafkaException

from upcall.fastdata.job_log import Log
from upcall.fastdata.job_settings import Settings, settings
from upcall.fastdata.login import read_login
from upcall.fastdata.pipeline import Pipeline
from upcall.fastdata.raw import RawKeeper
from upcall.fastdata.schema import NOT_NOW, connect, create
from upcall.fastdata.store import Store
from upcall.fastdata.streaming import Streaming, warm_up

WAIT_FOR_SYSTEMS_S: Final = 300.0
LOOK_AGAIN_S: Final = 0.5
CONNECT_S: Final = 5.0


def _patiently(what: str, call: Any) -> Any:
    """Systems may come later than we do."""
    deadline = time.monotonic() + WAIT_FOR_SYSTEMS_S
    while True:
        try:
            return call()
        except RequestValidationException:
            raise  # what is wrong in itself does not become right by waiting
        except (*NOT_NOW, KafkaException, OSError) as error:
            if time.monotonic() > deadline:
                raise
            print(f"waiting for {what}: {error}", flush=True)
            time.sleep(LOOK_AGAIN_S)


def _session(settings: Settings) -> Any:
    cluster = connect(settings.cassandra, settings.cassandra_port, read_login(settings.cassandra_login_file))
    try:
        session = cluster.connect()
        create(session, settings.keyspace, settings.keep_s)
    except Exception:
        cluster.shutdown()
        raise
    return session


def _stores(settings: Settings) -> tuple[Any, Store, Store]:
    """The session, the batches' statements and those of the raw data, which a thread of its own writes."""
    session = _patiently("Cassandra", lambda: _session(settings))
    return session, Store(session), Store(session)


def _spark(settings: Settings) -> Any:
    """A session whose executors have what they need loaded."""
    from pyspark.sql import SparkSession

    if settings.spark:
        host, _, port = settings.spark.rpartition(":")
        _patiently("Spark's master", lambda: socket.create_connection((host, int(port)), CONNECT_S).close())
    spark = SparkSession.builder.appName("upcall-windows").config(
        "spark.sql.execution.arrow.maxRecordsPerBatch", "64"
    ).getOrCreate()  # fmt: skip
    warm_up(spark)
    return spark


def _beside(settings: Settings) -> Future[tuple[Any, Store, Store]]:
    """The stores, while Spark's session is made. Nobody waits for this thread when that fails: the process ends."""
    coming: Future[tuple[Any, Store, Store]] = Future()

    def work() -> None:
        try:
            coming.set_result(_stores(settings))
        except BaseException as error:
            coming.set_exception(error)

    threading.Thread(target=work, name="stores", daemon=True).start()
    return coming


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = settings(arguments)
    coming = _beside(chosen)
    spark = _spark(chosen)
    session, store, raw_store = coming.result()
    log = Log(chosen)
    _patiently("Kafka's topic of frames", log.bounds)

    def keep(frames: list[Any]) -> None:
        raw_store.write([raw_store.raw(w.run_id, w.block, w.second, first, data) for w, first, data in frames])

    raw = RawKeeper(chosen.kafka, chosen.frames_topic, keep, read_login(chosen.kafka_login_file))
    streaming = Streaming(spark, chosen, Pipeline(chosen, store, log, raw))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: streaming.stop())
    print("reading on", flush=True)
    try:
        streaming.run()
    finally:
        raw.close()
        log.close()
        session.cluster.shutdown()
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
