"""Who may give a secret to a service: nobody hands out what is another's without an admin."""

from collections.abc import Iterator

import pytest
from served_master import Answer, Server

OPERATOR = "an-operator"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With ``log``, which made ``log.admin`` and was given ``login``."""
    found = Server(tmp_path_factory.mktemp("master") / "data")
    body = {"name": OPERATOR, "role": "operator", "valid_s": 3600}
    found.tokens[OPERATOR] = found.call("POST", "/v1/access", body).json()["token"]
    package = {"name": "log", "version": "1", "actions": [{"name": "copy"}]}
    assert found.call("PUT", "/v1/packages/log/1", package, principal="host").status == 200
    for secret in ("log.admin", "login", "free"):
        assert found.call("PUT", f"/v1/secrets/{secret}", {"value": "x"}).status == 200
    assert install(found, "log", ["login"], "operator").status == 200
    yield found
    found.stop()


def install(server: Server, name: str, secrets: list[str], who: str = OPERATOR) -> Answer:
    return server.call("POST", "/v1/services", {"package": "log", "name": name, "secrets": secrets}, principal=who)


@pytest.mark.parametrize(
    ("secret", "said"), [("log.admin", "a secret of log's own"), ("login", "a secret that was given to log")]
)
def test_what_is_anothers_takes_an_admin(server: Server, secret: str, said: str) -> None:
    refused = install(server, "taker", [secret])
    assert refused.status == 403
    assert said in refused.json()["message"]
    assert f"upcall secret grant {secret} taker" in refused.json()["expected"]
    assert all(one["name"] != "taker" for one in server.call("GET", "/v1/services").json())
    name = f"admins-{secret.replace('.', '-')}"
    assert install(server, name, [secret], "operator").status == 200


def test_what_nobody_has_an_operator_gives_and_a_service_keeps_what_it_has(server: Server) -> None:
    assert install(server, "first", ["free"]).status == 200
    more = {"secrets": ["free", "first.own"], "reason": "more"}
    assert server.call("POST", "/v1/services/first/update", more, principal=OPERATOR).status != 403
    assert install(server, "second", ["free"]).status == 403, "it is first's by now"


def test_an_update_gives_no_more_than_an_install(server: Server) -> None:
    assert install(server, "updated", []).status == 200
    for secret in ("log.admin", "login"):
        body = {"secrets": [secret]}
        assert server.call("POST", "/v1/services/updated/update", body, principal=OPERATOR).status == 403
    assert server.call("POST", "/v1/services/updated/update", {"secrets": ["login"]}).status != 403


def test_nor_does_an_action_that_names_one(server: Server) -> None:
    for call in ("", "/begin"):
        path = f"/v1/services/log/actions/copy{call}"
        assert server.call("POST", path, {"secret": "login"}, principal=OPERATOR).status != 403, "it has it"
    assert install(server, "acting", []).status == 200
    for call in ("", "/begin"):
        path = f"/v1/services/acting/actions/copy{call}"
        assert server.call("POST", path, {"secret": "login"}, principal=OPERATOR).status == 403
        assert server.call("POST", path, {"secret": "login"}).status != 403


def test_an_admins_word_for_one_service_is_enough_until_it_is_taken_back(server: Server) -> None:
    grant = "/v1/secrets/log.admin/grant"
    assert server.call("POST", grant, {"service": "trusted"}, principal=OPERATOR).status == 403
    assert server.call("POST", "/v1/secrets/none/grant", {"service": "trusted"}).status == 404
    assert server.call("POST", grant, {"service": "trusted"}).json() == ["trusted"]
    assert install(server, "another", ["log.admin"]).status == 403
    assert install(server, "trusted", ["log.admin"]).status == 200
    there = {one["name"]: one["granted"] for one in server.call("GET", "/v1/secrets").json()}
    assert there["log.admin"] == ["trusted"]
    assert there["login"] == []
    assert not any("grants" in name for name in there)
    assert server.call("POST", grant, {"service": "later"}).json() == ["later", "trusted"]
    assert server.call("POST", grant, {"service": "later", "stands": False}).json() == ["trusted"]
    assert install(server, "later", ["log.admin"]).status == 403


@pytest.mark.parametrize(
    ("secret", "service", "message", "expected"),
    [
        ("log.admin", "trustde", "'log.admin' was not granted to 'trustde', did you mean 'trusted'?", "trusted"),
        ("login", "taker", "'login' was not granted to 'taker'", "nothing: nobody was granted login"),
        (
            "log.adnim",
            "trusted",
            "no secret 'log.adnim', did you mean 'log.admin'?",
            "log.admin or login; `upcall secret set log.adnim` makes it",
        ),
    ],
)
def test_what_nobody_was_granted_is_not_taken_back(
    server: Server, secret: str, service: str, message: str, expected: str
) -> None:
    assert server.call("POST", "/v1/secrets/log.admin/grant", {"service": "trusted"}).json() == ["trusted"]
    refused = server.call("POST", f"/v1/secrets/{secret}/grant", {"service": service, "stands": False})
    assert (refused.status, refused.json()["message"], refused.json()["expected"]) == (404, message, expected)


@pytest.mark.parametrize("path", ["/v1/secrets/login/grant", "/v1/secrets/Not%20One/grant"])
def test_what_a_name_may_hold_is_said_in_words(server: Server, path: str) -> None:
    refused = server.call("POST", path, {"service": "Not One" if "login" in path else "fine"}).json()
    assert "lower-case letters, digits and" in refused["expected"]
    assert "[" not in f"{refused['message']} {refused['expected']}"
