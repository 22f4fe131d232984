"""What is asked while the master is being started again is asked once it listens."""

import threading
from pathlib import Path

import pytest

from fake_master import TOKEN, FakeMaster
from upcall.cli.session import Session
from upcall.client import blocking
from upcall.client.blocking import Client, Unreachable

FAR_S = 60.0


def asked(master: FakeMaster) -> int:
    return sum(method == "POST" for method, *_ in master.calls)


def test_a_command_waits_for_who_listens_and_is_said_once(master: FakeMaster) -> None:
    aside = master.socket.with_name("aside")
    master.socket.rename(aside)
    threading.Timer(0.5, lambda: aside.rename(master.socket)).start()
    Client(master.socket, TOKEN, patience_s=FAR_S).post(
        "/v1/services", {"package": "greeter", "name": "greeter", "options": {}}
    )
    assert "greeter" in master.services
    assert asked(master) == 1


def test_a_command_to_a_cluster_that_is_down_fails_at_once(master: FakeMaster) -> None:
    master.socket.unlink()
    client = Client(master.socket, TOKEN, patience_s=FAR_S)
    client.gone = lambda: "no cluster is up"
    with pytest.raises(Unreachable, match="no cluster is up"):
        client.post("/v1/services", {"package": "greeter", "name": "greeter", "options": {}})


def test_who_waits_for_a_master_that_is_kept_is_told_once(master: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "TOLD_AFTER_S", 0.0)
    monkeypatch.setattr(blocking, "RETRY_S", 0.01)
    master.not_now = 5
    told: list[str] = []
    client = Client(master.socket, TOKEN, patience_s=FAR_S)
    client.waits = told.append
    assert client.services() == []
    assert told == ["the master recovers"]


def test_a_cluster_that_somebody_keeps_is_waited_for_longer(folder: Path) -> None:
    assert Session(folder).client.patience_s > blocking.PATIENCE_S
