"""A small shell: ``python -m upcall.catalog.kafka.shell FILE``, with the settings of a client of librdkafka in a file.
Kafka has none of its own."""

import cmd
import sys
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

WAIT_S: Final = 15.0
NEWEST: Final = 10


class Shell(cmd.Cmd):
    intro = "topics; read TOPIC [COUNT]; write TOPIC TEXT; help; quit (or Ctrl-D)"
    prompt = "kafka> "

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__()
        self._settings = settings
        self._producer = Producer({**settings, "enable.idempotence": True, "log_level": 0})

    def do_topics(self, _: str) -> None:
        """topics: all of them, with how many partitions each has."""
        for name, topic in sorted(self._producer.list_topics(timeout=WAIT_S).topics.items()):
            if not name.startswith("__"):
                self._say(f"{name}  {len(topic.partitions)}")

    def do_write(self, line: str) -> None:
        """write TOPIC TEXT: one record; it says when the brokers have it."""
        topic, _, text = line.strip().partition(" ")
        if not text:
            self._say("write TOPIC TEXT")
            return
        if not self._is_there(topic):
            return
        refused: list[KafkaError] = []
        self._producer.produce(
            topic, text.encode(), on_delivery=lambda error, _: refused.append(error) if error else None
        )
        if self._producer.flush(WAIT_S):
            self._say(f"no broker has said within {WAIT_S:g} s that it has it")
        else:
            self._say(f"refused: {refused[0].str()}" if refused else "written")

    def do_read(self, line: str) -> None:
        """read TOPIC [COUNT]: the newest records of each partition."""
        topic, _, number = line.strip().partition(" ")
        count = int(number) if number.strip().isdigit() else NEWEST
        if not self._is_there(topic):
            return
        consumer = Consumer(
            {
                **self._settings,
                "group.id": "shell",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "log_level": 0,
            }
        )
        try:
            left = set(self._producer.list_topics(topic, timeout=WAIT_S).topics[topic].partitions)
            ends: dict[int, Any] = {
                one: consumer.get_watermark_offsets(TopicPartition(topic, one), timeout=WAIT_S) for one in left
            }
            consumer.assign([TopicPartition(topic, one, max(low, high - count)) for one, (low, high) in ends.items()])
            while left and (message := consumer.poll(WAIT_S)) is not None:
                if message.error() is None:
                    text = (message.value() or b"").decode(errors="backslashreplace")
                    self._say(f"{message.partition()}:{message.offset()}  {text}")
                else:
                    left.discard(int(message.partition() or 0))
        finally:
            consumer.close()

    def do_quit(self, _: str) -> bool:
        """quit: leave."""
        return True

    do_EOF = do_quit

    def emptyline(self) -> bool:
        return False

    def onecmd(self, line: str) -> bool:
        try:
            return super().onecmd(line)
        except KafkaException as error:
            self._say(f"error: {error.args[0].str()}")
        except KeyboardInterrupt:
            self._say("")
        return False

    def _is_there(self, topic: str) -> bool:
        known = [name for name in self._producer.list_topics(timeout=WAIT_S).topics if not name.startswith("__")]
        if topic not in known:
            self._say(f"no topic {topic!r}; there is {', '.join(sorted(known)) or 'none'}")
        return topic in known

    def _say(self, words: str) -> None:
        self.stdout.write(f"{words}\n")
        self.stdout.flush()


def settings_in(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines() if line)


if __name__ == "__main__":
    Shell(settings_in(Path(sys.argv[1]))).cmdloop()
