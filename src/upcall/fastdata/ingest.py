"""The ingest task: `receiving.py` on Kafka (`kafka_log.py`), as a process.

Options may be given as arguments or in the environment (UPCALL_INGEST_...), so that a task's declaration can set
either. On SIGTERM it takes nothing more, waits for Kafka to store what was handed over, acknowledges that, and ends
with 0. If Kafka's client gives up it ends with 1, to be started again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from upcall.fastdata.login import kafka_client, read_login
from upcall.fastdata.receiving import Ingest, LogFailed


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    from upcall.fastdata.kafka_log import KafkaLog, KafkaSettings  # heavy, and not needed for --help

    try:
        host, _, port = options.listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError(f"{options.listen!r} is no address to listen at: host:port is")
        log = KafkaLog(
            KafkaSettings(
                bootstrap_servers=options.bootstrap_servers,
                topic=options.topic,
                runs_topic=options.runs_topic,
                dead_topic=options.dead_topic,
                reader_group=options.reader_group,
                client={
                    **kafka_client(read_login(options.kafka_login_file)),
                    **_client_options(options.client_option),
                },
            )
        )
        ingest = Ingest(log, Path(options.token_file).read_text().strip(), _say)
    except (ValueError, OSError) as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(ingest, host, int(port)))
    except (LogFailed, OSError) as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(ingest: Ingest, host: str, port: int) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await ingest.serve(host, port, stopping)


def _say(said: dict[str, object]) -> None:
    print(json.dumps(said), flush=True)


def _client_options(given: list[str]) -> dict[str, str]:
    options = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise ValueError(f"{each!r} is no option of the Kafka client: name=value is")
        options[name] = value
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m upcall.fastdata.ingest",
        description="Take frames from the aircraft, store them in Kafka, acknowledge what is stored.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )

    def option(name: str, default: str | None, text: str) -> None:
        variable = "UPCALL_INGEST_" + name.upper().replace("-", "_")
        value = os.environ.get(variable, default)
        parser.add_argument(f"--{name}", default=value, required=value is None, help=f"{text} ({variable})")

    option("bootstrap-servers", None, "Kafka's addresses, host:port separated by commas")
    option("kafka-login-file", "", "file with the line user:password of Kafka's user; none: it asks nobody")
    option("listen", None, "host:port for aircraft to connect to")
    option("token-file", None, "file with the token that aircraft must know")
    option("topic", "frames", "topic of the frames")
    option("runs-topic", "runs", "compacted topic of the runs' records")
    option("dead-topic", "frames-dead", "topic of what could not be read")
    option("reader-group", "upcall-windows", "consumer group whose committed offsets say what was stored downstream")
    parser.add_argument(
        "--client-option", action="append", default=[], metavar="NAME=VALUE", help="of the Kafka client"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
