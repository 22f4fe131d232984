"""A frame log in memory: with a thread that reports deliveries as Kafka's client does, and breaks on demand."""

import queue
import threading
from collections.abc import Callable

from upcall.fastdata.frame_log import Delivered, Failed
from upcall.fastdata.frames import inspect
from upcall.fastdata.runs import Run


class Disk:
    """What survives the process: partitions, records of runs, what was set aside."""

    def __init__(self, partitions: int = 3) -> None:
        self.partitions: list[list[bytes]] = [[] for _ in range(partitions)]
        self.due_us: list[int] = []
        self.runs: list[Run] = []
        self.aside: list[tuple[bytes, str]] = []

    def frames(self) -> list[bytes]:
        return [frame for partition in self.partitions for frame in partition]


class MemoryLog:
    """Stores and reports `answers` frames (None: all), then stores `unreported` more, and loses the rest."""

    def __init__(self, disk: Disk, answers: int | None = None, unreported: int = 0) -> None:
        self.disk = disk
        self.answers = answers
        self.unreported = unreported
        self.gate = threading.Event()
        self.gate.set()
        self.danger = ""
        self.announcing: Callable[[], None] = lambda: None
        self.failed: Failed = lambda reason: None
        self._handed: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._store, daemon=True)

    def open(self, failed: Failed) -> None:
        self.failed = failed
        self._thread.start()

    def is_announced(self, run: Run) -> bool:
        return run in self.disk.runs

    def announce(self, run: Run) -> None:
        self.announcing()
        self.disk.runs.append(run)

    def last_samples(self, run: Run) -> dict[int, int]:
        last: dict[int, int] = {}
        for frame in self.disk.frames():
            header = inspect(frame)
            if header.run_id == run.run_id:
                last[header.block] = max(last.get(header.block, -1), header.last_sample)
        return last

    def append(self, block: int, frame: bytes, due_us: int, delivered: Delivered) -> None:
        def store() -> None:
            self.disk.partitions[block % len(self.disk.partitions)].append(frame)
            self.disk.due_us.append(due_us)
            if self.answers != 0:
                delivered()

        self._handed.put(store)

    def set_aside(self, frame: bytes, reason: str, delivered: Delivered) -> None:
        def store() -> None:
            self.disk.aside.append((frame, reason))
            delivered()

        self._handed.put(store)

    def reader_in_danger(self, *, held: bool) -> str:
        return self.danger

    def trouble(self) -> str:
        return ""

    def close(self, timeout_s: float) -> None:
        self._handed.put(None)
        self._thread.join(timeout_s)

    def _store(self) -> None:
        while (store := self._handed.get()) is not None:
            self.gate.wait()
            if self.answers == 0:
                if self.unreported == 0:
                    continue  # lost with this process: never stored
                self.unreported -= 1
            store()
            if self.answers:
                self.answers -= 1
