"""Rights that are missing are named, each verb of each kind; asked of an API server that only answers that question."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from upcall.kubernetes import rights
from upcall.kubernetes.control_plane.living import rights_needed
from upcall.kubernetes.installing import permissions
from upcall.kubernetes.installing.objects import Wish, definitions, objects
from upcall.kubernetes.installing.objects import rights as of_control_plane
from upcall.kubernetes.rights import Own, Right
from upcall.protocol.errors import Forbidden
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import JSON, Connection
from upcall.substrate.kubernetes.client.errors import Unreachable
from upcall.substrate.kubernetes.client.login import Login
from upcall.substrate.kubernetes.client.tokens import NoToken

May = Callable[[Right], bool]


class Asked(Connection):
    """``may``: what its user is allowed to; it can be exchanged."""

    def __init__(self, may: May) -> None:
        super().__init__(Login("http://played", None, NoToken()))
        self.may, self.away = may, False
        self.looks = 0

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        form: str = JSON,
        throttled: bool = False,
    ) -> Any:
        assert path.endswith("/selfsubjectaccessreviews")
        self.looks += 1
        if self.away:
            raise Unreachable("nobody answers")
        asked = body["spec"]["resourceAttributes"]
        part = f"/{asked['subresource']}" if "subresource" in asked else ""
        one = Right(
            asked["verb"],
            asked["group"],
            asked["resource"] + part,
            asked.get("namespace", ""),
            asked.get("name", ""),
        )
        return {"metadata": {}, "status": {"allowed": self.may(one)}}


def all_of(right: Right) -> bool:
    return True


INSTALLS = [*definitions(), *objects(Wish(namespace="data", image="i"))]


async def check(may: May) -> str:
    """What is said; empty: nothing is missing."""
    try:
        await permissions.check_installing(Api(Asked(may)), INSTALLS, "data", "install")
    except Forbidden as refused:
        return refused.problem.message
    return ""


async def test_who_may_all_is_not_refused() -> None:
    assert await check(all_of) == ""


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        (Right("patch", "apps", "deployments", "data"), "missing are patch deployments.apps in data"),
        (Right("create", "", "pods/portforward", "data"), "missing are create pods/portforward in data"),
        (
            Right("create", "rbac.authorization.k8s.io", "clusterroles"),
            "missing are create clusterroles.rbac.authorization.k8s.io",
        ),
    ],
    ids=lambda one: "" if isinstance(one, str) else f"{one.verb} {one.resource}",
)
async def test_one_right_that_is_missing_to_install_is_named_alone(lacks: Right, words: str) -> None:
    assert (await check(lambda right: right != lacks)).endswith(words)


async def test_who_may_make_roles_but_not_give_what_is_in_them_is_told_what() -> None:
    """Kubernetes lets nobody give away what he has not."""

    def may(right: Right) -> bool:
        return right.verb not in ("escalate", "bind") and right.resource not in ("pods/eviction", "tokenreviews")

    said = await check(may)
    assert said.endswith("missing are create pods/eviction in data; create tokenreviews.authentication.k8s.io"), (
        "and nothing else"
    )
    assert await check(lambda right: right.resource not in ("pods/eviction", "tokenreviews")) == "", "or may escalate"


def test_each_verb_of_a_rule_is_a_right_and_a_name_holds() -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch"], "resourceNames": ["a", "b"]}
    found = rights.of_rules([rule], "data")
    assert len(found) == 4
    assert rights.in_words(found) == "get, patch secrets a in data; get, patch secrets b in data"


def test_what_a_control_plane_needs_is_what_its_roles_give() -> None:
    needed = of_control_plane("data")
    assert Right("delete", "", "pods", "data") in needed
    assert Right("patch", "", "nodes") in needed
    assert Right("patch", "", "secrets", "data", "upcall-cluster") in needed
    (hook,) = {one.name for one in needed if one.resource == "validatingwebhookconfigurations"}
    assert hook.startswith("data.")


async def test_a_control_plane_that_may_not_keep_its_records_ends_with_what_it_lacks() -> None:
    def may(right: Right) -> bool:
        return right.resource not in ("records", "nodes")

    with pytest.raises(
        Forbidden, match=r"may not keep its records: missing are .*create, update, patch, delete records"
    ):
        await rights_needed(Api(Asked(may)), "data")
    await rights_needed(Api(Asked(lambda right: right.resource != "nodes")), "data")


class Told:
    def __init__(self, asked: Asked) -> None:
        self.alerts: list[str] = []
        self.mended = 0
        self.own = Own(Api(asked), of_control_plane("data"), self.alerts.append, self.again)

    def again(self) -> None:
        self.mended += 1


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_what_is_missing_while_it_runs_is_said_once_and_that_it_is_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rights, "PAUSE_S", 0.0)
    asked = Asked(all_of)
    told = Told(asked)
    running = asyncio.create_task(told.own.run())
    await until(lambda: asked.looks == len(set(of_control_plane("data"))))
    for _ in range(100):
        await asyncio.sleep(0)
    assert asked.looks == len(set(of_control_plane("data"))), "nobody looks again unless something is refused"

    asked.may = lambda right: (right.verb, right.resource) != ("delete", "pods")
    told.own.was_refused()
    await until(lambda: bool(told.alerts))
    assert "missing are delete pods in data; expected its Role" in told.alerts[0]
    monkeypatch.setattr(rights, "LOOK_S", 0.0)
    told.own.was_refused()
    looks = asked.looks
    await until(lambda: asked.looks > looks + 200)
    assert len(told.alerts) == 1

    asked.away = True
    looks = asked.looks
    await until(lambda: asked.looks > looks + 20)
    assert (len(told.alerts), told.mended) == (1, 0), "who does not answer says nothing of rights"
    asked.away, asked.may = False, all_of
    await until(lambda: told.mended == 1)
    running.cancel()
