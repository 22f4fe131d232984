"""Several nodes, or a zone, drained and given back as one over the operator API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import third_substrate
from served_master import Server

from upcall.substrate.interface import Node, NodeObserved

ZONES = {"there-1": "a", "there-2": "b", "there-3": "a"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data", third_substrate.make)
    for name, zone in ZONES.items():
        node = Node(name=name, cpus=8, memory_mib=8192, disk_mib=8192, attributes={"zone": zone})
        seen = NodeObserved(node=name, state="up", description=node)
        found.in_loop(lambda seen=seen: found.master.core.post(lambda tx: tx.observe(seen)))
    yield found
    found.stop()


def ask(server: Server, path: str, **body: Any) -> Any:
    return server.call("POST", path, body)


def states(server: Server) -> dict[str, str]:
    return {one["name"]: one["state"] for one in server.call("GET", "/v1/nodes").json()}


def test_a_zone_is_drained_as_one_and_lifted_as_one(server: Server) -> None:
    drained = ask(server, "/v1/maintenance", zone="a", reason="new fans").json()
    assert (drained["kind"], drained["target"]) == ("maintenance", "zone a (there-1, there-3)")
    assert drained["nodes"] == ["there-1", "there-3"]
    assert states(server) == {"there-1": "drained", "there-2": "up", "there-3": "drained"}
    over = ask(server, "/v1/maintenance/over", zone="a").json()
    assert [(one["id"], one["state"]) for one in over] == [(drained["id"], "lifted")]
    assert set(states(server).values()) == {"up"}


def test_one_of_them_is_given_back_by_its_name_and_the_rest_with_its_zone(server: Server) -> None:
    drained = ask(server, "/v1/maintenance", nodes=["there-1", "there-2", "there-3"]).json()
    assert ask(server, "/v1/nodes/there-2/undrain").json()["nodes"] == ["there-1", "there-3"]
    assert states(server) == {"there-1": "drained", "there-2": "up", "there-3": "drained"}
    over = ask(server, "/v1/maintenance/over", zone="a").json()
    assert [(one["id"], one["state"]) for one in over] == [(drained["id"], "lifted")]


def test_nodes_of_several_drains_are_given_back_by_one_call(server: Server) -> None:
    first, second = (ask(server, f"/v1/nodes/{node}/drain").json()["id"] for node in ("there-1", "there-2"))
    over = ask(server, "/v1/maintenance/over", nodes=["there-1", "there-2"]).json()
    assert [(one["id"], one["state"]) for one in over] == [(first, "lifted"), (second, "lifted")]


@pytest.mark.parametrize(
    ("path", "body", "message", "expected"),
    [
        ("/v1/maintenance", {"zone": "c"}, "no node is in a zone 'c'", "a or b"),
        ("/v1/maintenance", {}, "neither nodes nor a zone", "names of nodes, or a zone"),
        ("/v1/maintenance", {"zone": "a", "nodes": ["there-1"]}, "nodes and a zone", "names of nodes, or a zone"),
        ("/v1/maintenance", {"nodes": ["there-1", "x"]}, "no node 'x'", "one of there-1, there-2, there-3"),
        ("/v1/maintenance/over", {"zone": "b"}, "no node of zone b is in maintenance", "a zone that is drained"),
        ("/v1/maintenance/over", {"nodes": ["there-2"]}, "there-2 is not in maintenance", "nodes that are drained"),
        ("/v1/maintenance/over", {"zone": "q"}, "no node is in a zone 'q'", "a or b"),
    ],
)
def test_what_there_is_not_is_one_clear_error_and_nothing_begins(
    server: Server, path: str, body: dict[str, Any], message: str, expected: str
) -> None:
    refused = server.call("POST", path, body)
    assert refused.status in (404, 422)
    assert (refused.json()["message"], refused.json()["expected"]) == (message, expected)
    assert set(states(server).values()) == {"up"}


def test_a_node_that_is_anothers_already_is_named_with_whose_it_is(server: Server) -> None:
    first = ask(server, "/v1/nodes/there-3/drain", reason="its disk").json()["id"]
    refused = ask(server, "/v1/maintenance", zone="a")
    assert refused.status == 409
    assert f"there-3 is in maintenance already: {first}, asked by " in refused.json()["message"]
    assert refused.json()["expected"] == "undrain it first, or ask for there-1 alone"
    assert states(server)["there-1"] == "up"
    assert ask(server, "/v1/maintenance/over", nodes=["there-3", "there-1"]).status == 404
    assert states(server)["there-3"] == "drained", "nothing is given back when one of them cannot be"
