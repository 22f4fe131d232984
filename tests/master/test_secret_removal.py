"""Secrets that are not there are given to nobody, and one that somebody uses is not removed."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from served_master import Answer, Server

from upcall.master import secret_uses
from upcall.protocol.errors import Conflict

OPERATOR = "an-operator"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("master") / "data")
    body = {"name": OPERATOR, "role": "operator", "valid_s": 3600}
    found.tokens[OPERATOR] = found.call("POST", "/v1/access", body).json()["token"]
    package = {"name": "log", "version": "1", "actions": [{"name": "copy", "checks": True}]}
    assert found.call("PUT", "/v1/packages/log/1", package, principal="host").status == 200
    for secret in ("mail", "mail-old", "free"):
        assert put(found, secret).status == 200
    yield found
    found.stop()


def put(server: Server, name: str) -> Answer:
    return server.call("PUT", f"/v1/secrets/{name}", {"value": "x"})


def install(server: Server, name: str, secrets: list[str], who: str = "operator") -> Answer:
    return server.call("POST", "/v1/services", {"package": "log", "name": name, "secrets": secrets}, principal=who)


def names(server: Server, what: str) -> set[str]:
    return {one["name"] for one in server.call("GET", f"/v1/{what}").json()}


def used(server: Server) -> dict[str, list[str]]:
    return {one["name"]: one["used_by"] for one in server.call("GET", "/v1/secrets").json()}


@pytest.mark.parametrize("who", ["operator", OPERATOR])
def test_what_nobody_has_set_is_given_to_nobody(server: Server, who: str) -> None:
    refused = install(server, "taker", ["mial"], who)
    assert (refused.status, refused.json()["message"]) == (404, "no secret 'mial', did you mean 'mail'?")
    assert refused.json()["expected"] == "mail or mail-old; `upcall secret set mial` makes it"
    assert refused.json()["where"] == "secrets"
    assert "taker" not in names(server, "services")
    asked = {"package": "log", "name": "taker", "secrets": ["mial"]}
    preview = server.call("POST", "/v1/services/preview", asked, principal=who)
    assert (preview.status, preview.json()) == (404, refused.json())


def test_nor_by_an_update_its_preview_or_an_action(server: Server) -> None:
    assert install(server, "changed", ["mail"]).status == 200
    for path, body in (
        ("update", {"secrets": ["mail", "mial"]}),
        ("update/preview", {"secrets": ["mail", "mial"]}),
        ("actions/copy", {"secret": "mial"}),
        ("actions/copy/begin", {"secret": "mial"}),
        ("actions/copy/check", {"arguments": {"secret": "mial"}}),
    ):
        refused = server.call("POST", f"/v1/services/changed/{path}", body)
        assert (refused.status, refused.json()["message"]) == (404, "no secret 'mial', did you mean 'mail'?"), path


def test_its_own_is_made_at_its_first_use_and_may_be_named_before(server: Server) -> None:
    assert install(server, "own", ["own.password"]).status == 200
    assert install(server, "other", ["own.password"]).status == 404


def test_what_can_be_no_name_is_said_to_be_none(server: Server) -> None:
    refused = install(server, "taker", ["../mail"]).json()
    assert refused["message"] == "not a name of a secret: '../mail'"
    assert "lower-case letters" in refused["expected"]


def test_a_service_of_a_secrets_name_does_not_own_it(server: Server) -> None:
    assert put(server, "shared").status == 200
    assert install(server, "first", ["shared"]).status == 200
    refused = install(server, "shared", ["shared"], OPERATOR)
    assert refused.status == 403
    assert "a secret that was given to first" in refused.json()["message"]


def test_one_that_nobody_uses_is_removed_with_its_grants_and_that_is_on_record(server: Server) -> None:
    assert server.call("POST", "/v1/secrets/free/grant", {"service": "later"}).status == 200
    assert server.call("DELETE", "/v1/secrets/free", principal=OPERATOR).status == 403, "an admin's to do"
    gone = server.call("DELETE", "/v1/secrets/free")
    assert (gone.status, gone.json()) == (200, {"name": "free", "granted": ["later"], "used_by": []})
    assert "free" not in names(server, "secrets")
    assert not (server.folder.secret_values / "free").exists()
    events = server.call("GET", "/v1/events?limit=50").json()
    assert any(one["subject"] == "free" and one["text"].startswith("removed by ") for one in events)
    again = server.call("DELETE", "/v1/secrets/free").json()
    assert again["message"].startswith("no secret 'free'")
    assert put(server, "free").status == 200
    assert next(one for one in server.call("GET", "/v1/secrets").json() if one["name"] == "free")["granted"] == []


def test_one_that_is_used_names_by_whom_and_what_ends_that(server: Server) -> None:
    assert put(server, "key").status == put(server, "web.login").status == 200
    for service in ("web", "zoo"):
        assert install(server, service, ["key"]).status == 200
    assert used(server)["key"] == ["web", "zoo"]
    assert used(server)["web.login"] == ["web"]
    refused = server.call("DELETE", "/v1/secrets/key")
    assert (refused.status, refused.json()["message"]) == (409, "key is used by web, zoo")
    assert refused.json()["expected"] == "`upcall update web --no-secret key` and so on first"
    own = server.call("DELETE", "/v1/secrets/web.login").json()
    assert own["message"] == "web.login is web's own secret"
    assert own["expected"] == "`upcall uninstall web` first"


def test_a_change_that_is_under_way_uses_what_it_brings(server: Server) -> None:
    assert put(server, "brought").status == 200
    assert install(server, "pending", []).status == 200
    assert server.call("POST", "/v1/services/pending/update", {"secrets": ["brought"]}).status == 200
    assert server.call("DELETE", "/v1/secrets/brought").json()["message"] == "brought is used by pending"


@pytest.mark.parametrize(
    ("name", "running", "left", "message"),
    [
        ("key", "key", "", "key is used by act-1: copy of log"),
        ("key", "other", "", ""),
        ("log.admin", "", "log", "log.admin is the own secret of log, whose volumes are kept"),
        ("log.admin", "", "", ""),
    ],
)
def test_an_action_and_volumes_that_are_kept_use_one_too(name: str, running: str, left: str, message: str) -> None:
    action = SimpleNamespace(id="act-1", name="copy", service="log", state="running", arguments={"secret": running})
    ledger = SimpleNamespace(left_by=lambda service: left)
    core: Any = SimpleNamespace(state=SimpleNamespace(services={}, actions={"act-1": action}, ledger=ledger))
    if not message:
        secret_uses.must_be_unused(core, name)
        return
    with pytest.raises(Conflict, match=message):
        secret_uses.must_be_unused(core, name)
