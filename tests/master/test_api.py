"""The operator API as a whole: nothing that is sent breaks it, the stream resumes, the documentation is local."""

import asyncio
import re
from collections import deque
from typing import Any

import aiohttp
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from prometheus_client.parser import text_string_to_metric_families
from served_master import Server, register

from upcall.protocol import agent as wire

ENDLESS = r"stream$"
EXAMPLES = 6
"""Of each call: the bound of this test's time."""


def test_whatever_is_sent_is_answered_and_nothing_breaks(server: Server) -> None:
    described = schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=server.headers()).exclude(
        path_regex=ENDLESS
    )
    operations = [found.ok() for found in described.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) > 35
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def answers(case: Any) -> None:
            if "follow" in (case.query or {}):
                case.query["follow"] = "false"
            response = case.call(headers={"Authorization": f"Bearer {server.tokens['operator']}"}, timeout=60)
            # There is no keeper here, so no node can be added.
            not_now = response.status_code == 503 and response.json()["code"] == "not_now"
            assert response.status_code < 500 or not_now, f"{case.method} {case.path}: {response.text}"
            if response.status_code >= 400:
                assert response.json()["message"]

        answers()
    assert server.call("GET", "/v1/status").status == 200


# -- events ---------------------------------------------------------------------------------------------------------


def happen(server: Server, count: int) -> None:
    for number in range(count):
        assert server.call("PUT", f"/v1/secrets/s{number}", {"value": "x"}).status == 200


def test_the_stream_resumes_where_its_reader_was(server: Server) -> None:
    happen(server, 3)
    start = server.call("GET", "/v1/status").json()["event_sequence"]
    stream = server.stream(f"/v1/events?since={start - 3}")
    assert [event["sequence"] for event in stream.take(3)] == [start - 2, start - 1, start]
    happen(server, 2)
    assert [event["sequence"] for event in stream.take(2)] == [start + 1, start + 2]
    stream.close()
    again = server.stream("/v1/events?since=0", Last_Event_ID=str(start + 1))
    assert [event["sequence"] for event in again.take(1)] == [start + 2]
    again.close()


def test_who_resumes_too_late_gets_a_gap_that_says_how_much_is_missing(server: Server) -> None:
    happen(server, 30)
    journal = server.master.core.journal

    def forget() -> None:
        journal._events = deque(journal._events, maxlen=10)

    server.in_loop(forget)
    gap, first, *_ = server.call("GET", "/v1/events?since=0").json()
    assert (gap["kind"], gap["data"]["missing"]) == ("gap", first["sequence"] - 1)
    assert gap["sequence"] == first["sequence"] - 1
    stream = server.stream("/v1/events?since=2")
    gap, first = stream.take(2)
    assert (gap["kind"], gap["data"]["missing"], first["kind"]) == ("gap", first["sequence"] - 3, "secret")
    stream.close()


def test_a_reader_of_a_cluster_that_began_anew_starts_at_its_beginning(server: Server) -> None:
    stream = server.stream("/v1/events?since=999999999")
    assert stream.take(1)[0]["sequence"] <= server.master.core.journal.last
    stream.close()


def test_many_readers_that_do_not_read_stop_nobody(server: Server) -> None:
    idle = [server.stream("/v1/events?since=0") for _ in range(30)]
    happen(server, 20)
    stream = server.stream("/v1/events?limit=1")
    assert stream.take(1)
    for each in (*idle, stream):
        each.close()


# -- metrics, documentation, login ----------------------------------------------------------------------------------


async def test_metrics_can_be_scraped(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.tokens['agent-node-1']}"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}/v1/agent", headers=headers) as agent,
    ):
        await agent.send_str(wire.encode(register("node-1")).decode())
        assert (await agent.receive_json(timeout=180))["type"] == "registered"
        answer = await asyncio.to_thread(server.call, "GET", "/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    up = families["upcall_node_up"].samples
    assert [(sample.labels, sample.value) for sample in up] == [({"node": "node-1", "zone": "a"}, 1.0)]
    assert {
        "upcall_service_members_ready",
        "upcall_operations",
        "upcall_operations_waiting",
        "upcall_operations_stuck",
    } <= set(families)


def test_the_documentation_needs_no_network(server: Server) -> None:
    for page in ("/docs", "/redoc"):
        answer = server.call("GET", page)
        assert answer.status == 200
        found = re.findall(r"(?:src|href)=[\"']([^\"']+)", answer.body.decode())
        assets = [one for one in found if one.endswith((".js", ".css", ".png", ".ico"))]
        assert assets
        assert [one for one in found if "//" in one] == []
        assert {server.call("GET", one, principal="").status for one in assets} == {200}


def test_every_call_is_in_the_documentation_with_its_tag(server: Server) -> None:
    described = server.call("GET", "/openapi.json").json()
    calls = [each for path in described["paths"].values() for each in path.values()]
    assert {tag for each in calls for tag in each["tags"]} == {"operator API", "service API", "agent API"}
    assert {tag["name"] for tag in described["tags"]} == {"operator API", "service API", "agent API"}


def references(document: Any) -> set[str]:
    if isinstance(document, dict):
        own = {document["$ref"]} if isinstance(document.get("$ref"), str) else set()
        return own.union(*map(references, document.values()))
    return set().union(*map(references, document)) if isinstance(document, list) else set()


def test_every_call_of_services_and_agents_has_its_schemas(server: Server) -> None:
    described = server.call("GET", "/openapi.json").json()
    missing = []
    for path, calls in described["paths"].items():
        for method, call in calls.items():
            where = f"{method.upper()} {path}"
            assert call["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")
            if "operator API" in call["tags"]:
                continue
            bodies = call.get("requestBody", {}).get("content", {})
            bare = ("/ready", "/confirm/{operation}", "/granted/{action}")
            wants_body = method == "put" or (method == "post" and not path.endswith(bare))
            if wants_body and not any(each.get("schema") for each in bodies.values()):
                missing.append(f"{where}: request")
            answers = call["responses"]["200"]["content"]
            if not any(each.get("schema") for each in answers.values()):
                missing.append(f"{where}: response")
    assert missing == []


def test_what_the_document_refers_to_is_in_it(server: Server) -> None:
    described = server.call("GET", "/openapi.json").json()
    schemas = described["components"]["schemas"]
    found = {each.removeprefix("#/components/schemas/") for each in references(described)}
    assert found - schemas.keys() == set()
    assert {"service.Declare", "service.StreamEvent", "agent.FromAgent", "agent.ToAgent", "Problem"} <= found
    assert {"agent.Register", "agent.Launch", "service.Wanted"} <= schemas.keys()
    assert schemas["service.Policy"]["properties"]["answer_s"]["exclusiveMinimum"] == 0


def test_the_document_says_that_every_call_wants_a_token(server: Server) -> None:
    described = server.call("GET", "/openapi.json").json()
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert described["security"] == [{"bearer": []}]
    calls = [(path, call) for path, calls in described["paths"].items() for call in calls.values()]
    assert [path for path, call in calls if "security" in call] == []


# -- the documentation in a browser ---------------------------------------------------------------------------------

PAGES = ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect")


def test_the_documentation_wants_a_principal_too(server: Server) -> None:
    for page in PAGES:
        refused = server.call("GET", page, principal="")
        assert (refused.status, refused.json()["code"]) == (401, "unauthorised")
        assert server.call("GET", page, principal="agent-node-1").status == 403
        assert server.call("GET", page).status == 200


def test_a_browser_logs_in_to_the_documentation_by_a_code_and_only_there(server: Server) -> None:
    html = {"Accept": "text/html"}
    code = server.call("POST", "/v1/login-codes", {"purpose": "documentation"}).json()["code"]
    asked = server.call("GET", f"/docs?code={code}", principal="", **html)
    assert asked.status == 401
    assert f"value='{code}'" in asked.body.decode(), "to look the link up does not use it up"
    login = server.call("POST", "/docs/login", f"code={code}".encode(), principal="")
    assert (login.status, login.headers["location"]) == (303, "/docs")
    said = login.headers["set-cookie"]
    assert "HttpOnly" in said
    assert "SameSite=strict" in said
    cookie = {"Cookie": said.partition(";")[0]}
    assert [server.call("GET", page, principal="", **cookie).status for page in PAGES] == [200] * len(PAGES)
    assert server.call("GET", "/v1/status", principal="", **cookie).status == 401
    server.tokens["thief"] = said.partition(";")[0].partition("=")[2]
    assert server.call("GET", "/v1/status", principal="thief").status == 401, "a cookie is no token"
    assert server.call("POST", "/docs/login", f"code={code}".encode(), principal="").status == 401
    evil = server.call("GET", "/docs?code='><script>", principal="", **html).body.decode()
    assert "<script>" not in evil


def test_a_browser_logs_in_once_by_a_code(server: Server) -> None:
    code = server.call("POST", "/v1/login-codes").json()["code"]
    assert server.call("POST", "/v1/login", {"code": code}, principal="").status == 401, "the page asks, nobody else"
    token = server.call("POST", "/v1/login", {"code": code}).json()["token"]
    server.tokens["browser"] = token
    assert server.call("GET", "/v1/status", principal="browser").status == 200
    assert server.call("POST", "/v1/login", {"code": code}).status == 401
