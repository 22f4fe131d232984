"""A forced restart is told outside, once, although the other side and the process that tells were away."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_cluster import Cluster

HELLO = str(Path(__file__).parents[2] / "examples" / "hello.py")


class Receiver(http.server.ThreadingHTTPServer):
    """What a chat system is to us."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.away = False
        self.refused = 0
        self.got: list[dict[str, Any]] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.away:
            self.server.refused += 1
        else:
            self.server.got += body["alerts"]
        self.send_response(503 if self.server.away else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()


def shown(cluster: Cluster) -> dict[str, Any]:
    return dict(json.loads(cluster.upcall("alerts", "list", "-o", "json").stdout)[0])


def test_told_once_over_an_absence_and_a_kill(cluster: Cluster, receiver: Receiver, tmp_path: Path) -> None:
    address = tmp_path / "address"
    address.write_text(f"http://127.0.0.1:{receiver.server_port}/key\n")
    cluster.upcall("install", HELLO)
    cluster.until_ready("hello.web-0", "hello.web-1")
    assert "alerts" not in cluster.processes()  # Nobody is told: nothing runs for it.
    said = cluster.upcall("alerts", "add", "ops", "--webhook", "--file", str(address)).stdout
    assert "/key" not in said
    cluster.upcall("alerts", "test", "ops")
    assert [one["what"] for one in receiver.got] == ["test"]
    cluster.until("it reads the journal", lambda: "alerts" in cluster.processes() and begun(cluster))

    receiver.away = True
    cluster.upcall("task", "restart", "hello.web-0", "--force")
    cluster.until("it is tried", lambda: receiver.refused > 0)
    cluster.until("its failure is said", lambda: "it answered 503" in shown(cluster)["error"])
    cluster.until_restarted("alerts", cluster.kill("alerts"))
    receiver.away = False
    cluster.until("it is taken", lambda: shown(cluster)["waiting"] == 0 and shown(cluster)["told"] == 1)
    told = [(one["what"], one["service"]) for one in receiver.got[1:]]
    assert told == [("forced", "hello")]
    assert "hello.web-0" in receiver.got[1]["member"]

    cluster.upcall("alerts", "remove", "ops", "--yes")
    cluster.until("nothing runs for it", lambda: "alerts" not in cluster.processes())
    assert not list((cluster.data / "alerts").glob("*"))


def begun(cluster: Cluster) -> bool:
    state = cluster.data / "alerts" / "ops.json"
    return state.exists() and json.loads(state.read_bytes()).get("seen", -1) >= 0
