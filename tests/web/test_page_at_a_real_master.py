"""The real page process at a real master: what the flight's tab asks for, it is given, and no more than that.

A fake master gives whatever is asked for, so no test of it finds a call that the real one forbids to the page's token.
The packages are the real ones; their services' code and their node are played, and so is what the store answers.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from played_node import PlayedNode
from practice import practice_rows
from served_master import Server
from stored_flight import Stored, started

from served_page import TIMEOUT_MS, Opens, page_address, page_process, visitors
from upcall.fastdata.flights import load_flight
from upcall.protocol.service import Package
from upcall.service import package as packages

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser
expect = playwright.expect
expect.set_options(timeout=TIMEOUT_MS)

ENDPOINT = {"port": "cql", "members": ["node-0"], "protocol": "cql"}
MEMBER = {
    "declaration": {"command": ["sleep", "1000"], "ports": [{"name": "cql", "number": 9042}]},
    "start": True,
}
INSTALLED = ("cassandra", "kafka", "spark", "ingest", "windows", "aircraft")


class Served:
    """A page, its master, and what the store holds."""

    def __init__(self, url: str, server: Server, state: Path, stored: Stored) -> None:
        self.url, self.server, self.state, self.stored = url, server, state, stored

    def login_url(self) -> str:
        return f"{self.url}/login?code={self.server.call('POST', '/v1/login-codes').json()['code']}"

    def hold(self, **changes: Any) -> None:
        self.stored = replace(self.stored, **changes)
        self.stored.write(self.state)


def register(server: Server, package: Package, blobs: dict[str, bytes]) -> None:
    for digest, data in blobs.items():
        assert server.call("PUT", f"/v1/blobs/{digest}", data, principal="host").status == 200
    answer = server.call(
        "PUT", f"/v1/packages/{package.name}/{package.version}", msgspec.json.encode(package), principal="host"
    )
    assert answer.status == 200, answer.body


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    url = page_address()
    server = Server(folder / "data", page_url=url)
    server.in_loop(lambda: PlayedNode("node-1").join(server.master.core))
    for entry in packages.installed():
        if set(entry.split(".")) & set(INSTALLED):
            built = packages.build_installed(entry)
            register(server, built.package, built.blobs)
    for name in INSTALLED:
        answer = server.call("POST", "/v1/services", {"package": name})
        assert answer.status == 200, answer.body
    stream = server.stream("/v1/service/cassandra/stream", principal="host")
    own = {"principal": "host", "Upcall-Stream": stream.until("subscribed")["stream"]}
    ends = [
        {**ENDPOINT, "name": "cql", "user": "client", "secret": "generated:cassandra.client"},
        {**ENDPOINT, "name": "admin", "user": "admin", "secret": "generated:cassandra.admin"},
        {**ENDPOINT, "name": "reader", "user": "reader", "secret": "generated:cassandra.reader"},
    ]
    for what, said in (
        ("members", {"members": {"node-0": MEMBER}, "policy": {"minimum": 0}}),
        ("endpoints", {"endpoints": ends}),
    ):
        answer = server.call("PUT", f"/v1/service/cassandra/{what}", said, **own)
        assert answer.status == 200, answer.body
    recording, state = folder / "recording.json", folder / "store.json"
    recording.write_text(json.dumps(practice_rows(2_400)))
    known = server.call("GET", "/v1/endpoints/cassandra/reader/credentials").json()
    stored = Stored(run=started(load_flight(recording), 600), from_s=510, **known)
    stored.write(state)
    program = [str(Path(__file__).parent / "stored_flight.py"), str(state), str(recording)]
    try:
        with page_process(folder / "data", url, program, PYTHONPATH=str(Path(__file__).parents[1])):
            yield Served(url, server, state, stored)
    finally:
        stream.close()
        server.stop()


@pytest.fixture
def open_tab(browser: Any, served: Served) -> Iterator[Opens]:
    with visitors(browser, served) as opened:

        def tab() -> Any:
            page = opened()
            page.get_by_role("tab", name="Flight").click()
            return page

        yield tab


def test_a_page_that_is_refused_says_so_and_one_that_is_let_in_shows_the_flight(
    served: Served, open_tab: Opens
) -> None:
    windows = served.server.master.core.state.packages.find("windows")
    closed = tuple(msgspec.structs.replace(one, page=False) for one in windows.needs)
    register(served.server, msgspec.structs.replace(windows, needs=closed), {})
    page = open_tab()
    told = page.locator(".u-flight .u-reason")
    expect(told).to_contain_text("The page is refused, and cannot look into the store")
    expect(told).to_contain_text("the page may not log in to cassandra.reader")
    expect(page.locator(".u-flight")).not_to_contain_text("has not sent anything")
    expect(page.locator(".u-flight")).not_to_contain_text("No flight yet")
    register(served.server, windows, {})
    expect(page.locator(".f-head h2")).to_have_text("TEST1")
    expect(told).to_have_count(0)
    expect(page.locator("[data-sum=readings]")).to_have_text(re.compile(r"^[123]\.\d\d M$"))


def test_of_the_same_store_it_is_told_no_password_of_a_role_that_may_write(served: Served) -> None:
    for endpoint, status in (("reader", 200), ("cql", 403), ("admin", 403)):
        path = f"/v1/endpoints/cassandra/{endpoint}/credentials"
        assert served.server.call("GET", path, principal="page").status == status
