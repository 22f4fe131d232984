"""Somebody else's workload as a service: the careful rule, a responder in another process, and what is no answer."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import jsonschema
import msgspec
import pytest
from aiohttp import web

from upcall.catalog.workload import responder
from upcall.catalog.workload.service import Workload
from upcall.operations import inputs as given
from upcall.substrate.kubernetes import names
from upcall.testing.kubernetes import PlayedKubernetes
from upcall.testing.life import Life, live

WORKLOAD: Final = "statefulset/web"
OPTIONS: Final[dict[str, Any]] = {"workload": WORKLOAD, "members": 3}
QUESTION: Final = responder.Upcall(
    workload=WORKLOAD,
    operation="op-3",
    kind="evict",
    reason="eviction of pod web-1 from node-2",
    asked_by="admin",
    member=responder.Member(name="member-1", ready=True, node="node-2", address="10.0.0.7"),
    members=(responder.Member(name="member-1", ready=True, node="node-2", address="10.0.0.7"),),
)
SCHEMA: Final = Path(__file__).parents[2] / "docs" / "responder.schema.json"
EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "responder.py"


# -- a life on a played cluster --------------------------------------------------------------------------------------


def cluster(life: Life) -> PlayedKubernetes:
    found = life.master.cluster
    assert isinstance(found, PlayedKubernetes)
    return found


def begin(life: Life) -> None:
    labels = {"app": "web"}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
    meta = {"name": "web", "annotations": {names.ASK: "careful"}}
    cluster(life).api.create("StatefulSet", {"metadata": meta, "spec": spec})


def evict(life: Life, pod: str) -> None:
    found = cluster(life).api.find("Pod", pod)
    assert found is not None
    spec = {"verb": "evict", "pod": pod, "podUID": found["metadata"]["uid"], "who": "kubectl", "reason": "drain"}
    cluster(life).api.create("Disruption", {"metadata": {"name": f"evict-{pod}"}, "spec": spec})
    world = life.master.world
    world.observe(cluster(life).heard(world.now_s))


def pods(life: Life) -> dict[str, str]:
    found = cluster(life).api.all("Pod")
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}


def test_one_at_a_time_and_only_while_all_others_are_ready() -> None:
    async def script(life: Life) -> None:
        begin(life)
        await life.until_deployed()
        before = pods(life)
        evict(life, "web-1")
        evict(life, "web-2")
        await life.master.until(lambda: "not ready" in cluster(life).why_held("evict-web-2"))
        await life.master.until(lambda: pods(life).get("web-2", "") not in ("", before["web-2"]))
        assert pods(life)["web-1"] != before["web-1"], "the first was back before the second went"
        assert pods(life)["web-0"] == before["web-0"]

    live(Workload, script, kind="kubernetes", options=OPTIONS)


def test_a_drain_of_ours_takes_a_pod_away_and_its_owner_brings_it_up_elsewhere() -> None:
    async def script(life: Life) -> None:
        begin(life)
        await life.until_deployed()
        before = pods(life)
        node = cluster(life).api.find("Pod", "web-1")["spec"]["nodeName"]  # type: ignore[index]
        life.master.drain(node)
        await life.master.until(lambda: pods(life).get("web-1", "") not in ("", before["web-1"]))
        await life.master.until(lambda: life.master.members["member-1"].state == "ready")
        assert cluster(life).api.find("Pod", "web-1")["spec"]["nodeName"] != node  # type: ignore[index]

    live(Workload, script, kind="kubernetes", options=OPTIONS)


def test_an_uninstall_takes_nothing_away() -> None:
    async def script(life: Life) -> None:
        begin(life)
        await life.until_deployed()
        before = pods(life)
        cluster(life).api.merge("StatefulSet", "web", {"metadata": {"annotations": {names.ASK: None}}})
        life.master.propose("uninstall")
        await life.master.until(
            lambda: not any(names.GUEST in one["metadata"]["labels"] for one in cluster(life).api.all("Pod"))
        )
        assert pods(life) == before

    live(Workload, script, kind="kubernetes", options=OPTIONS)


def test_while_all_of_ours_is_down_theirs_runs_on_and_is_found_again() -> None:
    async def script(life: Life) -> None:
        begin(life)
        await life.until_deployed()
        before, world = pods(life), life.master.world
        world.send(given.Propose(kind="shutdown", asked_by="ann"))
        await life.master.until(lambda: not _followed(life))
        assert pods(life) == before
        world.send(given.Up(who="ann"))
        await life.master.until(lambda: len(_followed(life)) == 3)
        assert pods(life) == before

    live(Workload, script, kind="kubernetes", options=OPTIONS)


def _followed(life: Life) -> list[str]:
    return [one["metadata"]["name"] for one in cluster(life).api.all("Pod") if names.GUEST in one["metadata"]["labels"]]


@pytest.mark.parametrize("least", [None, 2])
def test_it_grows_and_shrinks_with_its_owners_word(least: int | None) -> None:
    async def script(life: Life) -> None:
        begin(life)
        await life.until_deployed()

        async def becomes(count: int) -> None:
            cluster(life).api.merge("StatefulSet", "web", {"spec": {"replicas": count}})
            world = life.master.world
            world.observe(cluster(life).heard(world.now_s))
            life.master.change(members=count, instead=True)
            wanted = {f"member-{number}": "ready" for number in range(count)}
            await life.master.until(lambda: {name: one.state for name, one in life.master.members.items()} == wanted)

        await becomes(5)
        await becomes(2)
        await becomes(3)
        assert sorted(pods(life)) == ["web-0", "web-1", "web-2"]

    options = OPTIONS if least is None else OPTIONS | {"minimum": least}
    live(Workload, script, kind="kubernetes", options=options)


# -- a responder -----------------------------------------------------------------------------------------------------


Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(answer: Answering) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/upcall", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/upcall"
    await runner.cleanup()


async def test_a_responder_is_asked_in_json_and_its_answer_is_the_verdict() -> None:
    heard: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append(await request.json())
        said = {"verdict": "defer", "reason": "2 shards\nmove", "progress": 0.5, "retry_after_s": 3, "later": "unknown"}
        return web.json_response(said)

    async with answering(answer) as url:
        verdict = await responder.ask(url, QUESTION)
    assert (verdict.word, verdict.reason, verdict.progress, verdict.retry_after_s) == ("defer", "2 shards move", 0.5, 3)
    assert heard == [json.loads(msgspec.json.encode(QUESTION))]


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"yes", "something that is no answer"),
        (200, b'{"verdict": "perhaps"}', "something that is no answer"),
        (200, b'{"verdict": "accept", "progress": 7}', "something that is no answer"),
        (200, b"\xff\xfe", "something that is no answer"),
        (200, b" " * (responder.ANSWER_BYTES_MAX + 1), "more than 64 KiB"),
        (500, b'{"verdict": "accept"}', "status 500"),
        (302, b'{"verdict": "accept"}', "status 302"),
    ],
)
async def test_what_is_no_answer_is_never_taken_for_a_yes(status: int, body: bytes, says: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    async with answering(answer) as url:
        with pytest.raises(responder.NoAnswer, match=says):
            await responder.ask(url, QUESTION)


async def test_one_that_is_away_or_hangs_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "TIMEOUT_S", 0.2)

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(responder.NoAnswer, match="cannot be asked"):
        await responder.ask("http://127.0.0.1:1/upcall", QUESTION)
    async with answering(answer) as url:
        with pytest.raises(responder.NoAnswer, match="has not answered within"):
            await responder.ask(url, QUESTION)


@pytest.mark.parametrize(("away", "word"), [("hold", "defer"), ("careful", "accept")])
def test_while_it_is_away_it_is_held_or_the_careful_rule_holds_as_its_owner_said(away: str, word: str) -> None:
    async def script(life: Life) -> None:
        begin(life)
        await life.until_deployed()
        before = pods(life)
        evict(life, "web-1")
        if word == "defer":
            await life.master.until(lambda: "cannot be asked" in cluster(life).why_held("evict-web-1"))
            assert "so it is held" in cluster(life).why_held("evict-web-1")
            assert pods(life) == before
        else:
            await life.master.until(lambda: pods(life).get("web-1", "") not in ("", before["web-1"]))

    async def away_now(url: str, question: responder.Upcall) -> Any:
        raise responder.NoAnswer("its responder cannot be asked (nobody is there)")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(responder, "ask", away_now)
        live(
            Workload,
            script,
            kind="kubernetes",
            options=OPTIONS | {"responder": "http://web.example/upcall", "away": away},
        )


async def test_the_example_of_a_responder_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "busy").touch()
    process = await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLE), str(port), cwd=tmp_path)
    url = f"http://127.0.0.1:{port}/upcall"
    try:
        async with asyncio.timeout(300):
            while True:
                with contextlib.suppress(responder.NoAnswer):
                    verdict = await responder.ask(url, QUESTION)
                    break
                await asyncio.sleep(0.1)
        assert (verdict.word, verdict.reason, verdict.progress) == ("defer", "it is busy", 0.5)
        (tmp_path / "busy").unlink()
        assert (await responder.ask(url, QUESTION)).word == "accept"
        ill = responder.Member(name="member-2", ready=False, node="", address="")
        more = msgspec.structs.replace(QUESTION, members=(*QUESTION.members, ill))
        assert (await responder.ask(url, more)).reason == "member-2 not ready"
    finally:
        process.kill()
        await process.wait()


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads(SCHEMA.read_text())
    assert published == responder.schemas(), "write it anew: python -m upcall.catalog.workload.responder > docs/..."
    asked = {**published, "$ref": "#/$defs/Upcall"}
    answers = {**published, "$ref": "#/$defs/Answer"}
    jsonschema.validate(json.loads(msgspec.json.encode(QUESTION)), asked)
    jsonschema.validate({"verdict": "defer", "reason": "2 shards move", "progress": 0.5}, answers)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"verdict": "perhaps"}, answers)
