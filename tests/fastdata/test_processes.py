"""Aircraft and ingest as programs: bad input is one clear error, a signal is an orderly end, imports stay light."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from one_broker import Lines
from practice import START_US, practice_flight, practice_rows, practice_run

from upcall.fastdata import aircraft, ingest
from upcall.fastdata.aircraft import Aircraft, Settings, parse_addresses
from upcall.fastdata.frame_log import LogClosed
from upcall.fastdata.kafka_log import KafkaLog, KafkaSettings

HOST = f"127.85.{os.getpid() % 250}.{os.getppid() % 250 + 1}"
PATIENCE_S = 180.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flight.json").write_text(json.dumps(practice_rows(60)))
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "empty").write_text("\n")
    return tmp_path


def fly(folder: Path, **changes: str) -> list[str]:
    said = {"flight": str(folder / "flight.json"), "ingest": f"{HOST}:7", "token-file": str(folder / "token")}
    return [part for name, value in (said | changes).items() for part in (f"--{name}", value)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"flight": "/nowhere/flight.json"}, "/nowhere/flight.json: not a recorded flight"),
        ({"ingest": "nowhere"}, "'nowhere' is no address: host:port is"),
        ({"token-file": "/nowhere/token"}, "/nowhere/token"),
        ({"blocks": "21"}, "21 blocks: 1 to 20"),
        ({"begin-s": "60"}, "nothing of the flight is left after second 60"),
        ({"seed": "-1"}, "seed -1"),
        ({"buffer-s": "0"}, "a buffer of 0 s"),
    ],
)
def test_an_aircraft_that_cannot_fly_says_why(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], says: str
) -> None:
    assert aircraft.main(fly(folder, **changes)) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"listen": "7001"}, "'7001' is no address to listen at"),
        ({"listen": f"{HOST}:99999"}, "no address to listen at"),
        ({"token-file": "/nowhere/token"}, "/nowhere/token"),
        ({"token-file": "empty"}, "the token is empty"),
        ({"client-option": "linger.ms"}, "'linger.ms' is no option"),
    ],
)
def test_an_ingest_that_cannot_serve_says_why(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], says: str
) -> None:
    said = {"bootstrap-servers": f"{HOST}:9", "listen": f"{HOST}:7", "token-file": "token"} | changes
    said["token-file"] = str(folder / said["token-file"])
    assert ingest.main([part for name, value in said.items() for part in (f"--{name}", value)]) == 2
    words = capsys.readouterr().err
    assert says in words
    assert words.count("\n") == 1


def test_ingest_takes_its_options_from_the_environment_too(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPCALL_INGEST_BOOTSTRAP_SERVERS", f"{HOST}:9")
    monkeypatch.setenv("UPCALL_INGEST_LISTEN", "nowhere")
    monkeypatch.setenv("UPCALL_INGEST_TOKEN_FILE", str(folder / "token"))
    assert ingest.main([]) == 2
    assert "'nowhere' is no address to listen at" in capsys.readouterr().err


def test_addresses_are_dialled_in_turn() -> None:
    assert parse_addresses("127.0.0.1:7, other:65535") == (("127.0.0.1", 7), ("other", 65_535))
    for bad in ("", ":7", "host:", "host:0", "host:65536", "host:x", "a:1,"):
        with pytest.raises(ValueError, match="is no address"):
            parse_addresses(bad)


async def test_an_aircraft_that_is_told_to_stop_waits_for_its_grace_and_says_what_it_still_had() -> None:
    flight = practice_flight(60)
    settings = Settings(addresses=((HOST, 7),), token="t", grace_s=0.05)
    flying = Aircraft(practice_run(flight, blocks=1), flight, settings, lambda: START_US + 2_000_000)
    said: list[dict[str, object]] = []
    task = asyncio.create_task(flying.fly(said.append))
    async with asyncio.timeout(PATIENCE_S):
        while flying.sampler.second < 2:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
    flying.stop()
    await asyncio.wait_for(task, PATIENCE_S)
    assert (said[-1]["event"], said[-1]["buffered_s"], said[-1]["connected"]) == ("ended", 2.0, False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_both_programs_in_order(folder: Path, number: signal.Signals) -> None:
    """Also while Kafka is away: ingest waits for it, and must not wait for ever."""
    flight = Lines(sys.executable, "-m", "upcall.fastdata.aircraft", *fly(folder), "--grace-s", "0.1")
    kafka = ("--bootstrap-servers", f"{HOST}:9", "--listen", f"{HOST}:0", "--token-file", str(folder / "token"))
    taking = Lines(sys.executable, "-m", "upcall.fastdata.ingest", *kafka)
    try:
        for process in (flight, taking):
            while not process.lines and process.process.poll() is None:
                time.sleep(0.05)
            process.process.send_signal(number)
        assert flight.process.wait(PATIENCE_S) == 0
        assert taking.process.wait(PATIENCE_S) == 0
        assert json.loads(flight.lines[-1])["event"] == "ended"
        assert json.loads(taking.lines[-1])["event"] == "ended"
    finally:
        flight.kill()
        taking.kill()


def test_a_log_may_be_closed_at_any_moment_of_its_opening() -> None:
    def opens(log: KafkaLog) -> None:
        with contextlib.suppress(LogClosed):
            log.open(lambda _reason: None)

    opened: list[threading.Thread] = []
    for moment in range(0, 2_000, 100):
        log = KafkaLog(KafkaSettings(bootstrap_servers=f"{HOST}:9"))
        opened.append(threading.Thread(target=opens, args=(log,)))
        opened[-1].start()
        while log._producer is None:
            pass
        for _ in range(moment):
            pass
        log.close(0.0)
    for thread in opened:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "it was closed, and tries on"


def test_imports_pull_no_more_than_they_need() -> None:
    code = """
import sys
import upcall.fastdata, upcall.fastdata.recordings, upcall.fastdata.retention
assert "numpy" not in sys.modules
import upcall.fastdata.aircraft, upcall.fastdata.ingest, upcall.fastdata.generator
heavy = {"confluent_kafka", "cassandra", "pyarrow", "pandas", "pyspark"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
