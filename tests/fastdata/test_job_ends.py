"""The stream job ends at once, with its reason, when what it needs cannot be had."""

import threading

import pytest

from upcall.fastdata import job

TIMEOUT_S = 180.0


def test_a_session_of_spark_that_fails_ends_the_job_although_the_store_is_still_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, never = threading.Event(), threading.Event()

    def connect(*_: object) -> None:
        asked.set()
        never.wait()

    def fail(_: object) -> None:
        assert asked.wait(TIMEOUT_S)
        raise RuntimeError("no worker has room")

    monkeypatch.setattr(job, "connect", connect)
    monkeypatch.setattr(job, "_spark", fail)
    said: list[BaseException] = []

    def main() -> None:
        try:
            job.main(["--kafka", "127.0.0.1:1", "--cassandra", "127.0.0.1"])
        except RuntimeError as error:
            said.append(error)

    running = threading.Thread(target=main, daemon=True)
    running.start()
    running.join(TIMEOUT_S)
    try:
        assert [str(error) for error in said] == ["no worker has room"]
    finally:
        never.set()
