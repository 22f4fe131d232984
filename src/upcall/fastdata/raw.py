"""Keeps the raw frames around anomalies: reads them from the log once more, by their offsets, and stores them as they
are.

A thread of its own, with a bounded queue: raw frames are worth having, but never worth delaying the seconds. What does
not fit, or cannot be read any more, is counted. A job that begins again asks for what the one before it may not have
kept (`judging`); storing a frame twice changes nothing.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from upcall.fastdata.frames import FrameError, inspect
from upcall.fastdata.judging import Wanted
from upcall.fastdata.login import Login, kafka_client

QUEUE_MAX: Final = 2_000
"""Seconds of blocks: about two minutes of everything being anomalous at once."""
READ_TIMEOUT_S: Final = 10.0
STOP_S: Final = 3.0

Keep = Callable[[list[tuple[Wanted, int, bytes]]], None]
"""Stores frames: (which second, first sample, frame)."""


class RawKeeper:
    def __init__(self, bootstrap_servers: str, topic: str, keep: Keep, login: Login | None = None) -> None:
        self.kept = 0
        self.missed = 0
        self._topic = topic
        self._keep = keep
        self._queue: queue.Queue[Wanted | None] = queue.Queue(QUEUE_MAX)
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "upcall-raw",
                "enable.auto.commit": False,
                "enable.partition.eof": False,
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 8 * 1_024,
                "client.id": "upcall-raw",
                **kafka_client(login),
            }
        )
        self._thread = threading.Thread(target=self._run, name="raw", daemon=True)
        self._thread.start()

    def ask(self, wanted: Iterable[Wanted]) -> None:
        for one in wanted:
            try:
                self._queue.put_nowait(one)
            except queue.Full:
                self.missed += 1

    def close(self) -> None:
        try:
            self._queue.put(None, timeout=STOP_S)
        except queue.Full:
            return  # the thread ends with the process
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while (wanted := self._queue.get()) is not None:
            try:
                frames = list(self._frames(wanted))
                self._keep(frames)
                self.kept += len(frames)
                self.missed += not frames
            except Exception as error:  # a log or store that is away must not end the keeper
                self.missed += 1
                print(f"raw frames of {wanted} were not kept: {error}", flush=True)
        self._consumer.close()

    def _frames(self, wanted: Wanted) -> Iterator[tuple[Wanted, int, bytes]]:
        self._consumer.assign([TopicPartition(self._topic, wanted.partition, wanted.first_offset)])
        try:
            for offset, data in self._read_until(wanted.last_offset):
                if offset < wanted.first_offset:
                    continue
                try:
                    header = inspect(data)
                except FrameError:
                    continue
                if (header.run_id, header.block, header.second) == (wanted.run_id, wanted.block, wanted.second):
                    yield wanted, header.first_sample, data
        finally:
            self._consumer.unassign()

    def _read_until(self, last_offset: int) -> Iterator[tuple[int, Any]]:
        while True:
            messages = self._consumer.consume(64, READ_TIMEOUT_S)
            if not messages:
                return
            for message in messages:
                error = message.error()
                if error is not None:
                    raise KafkaException(error)
                offset = message.offset()
                assert offset is not None
                if offset <= last_offset:
                    yield offset, message.value() or b""
                if offset >= last_offset:
                    return
