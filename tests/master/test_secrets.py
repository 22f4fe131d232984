"""Secrets: read in a turn, made beside it."""

import asyncio
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from served_master import Server

from upcall.master.context import SECRETS, SecretMaker, launch_context
from upcall.master.credentials import allow, check, credentials, resolve
from upcall.master.secrets import NotMade, Secrets
from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration, File, Secret
from upcall.protocol.errors import Forbidden, NotFound
from upcall.substrate.interface import TaskId

TASK = TaskId("log", "m-1", 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("master") / "data")
    yield found
    found.stop()


def test_a_generated_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "values")
    with pytest.raises(NotMade, match="waits for the secret 'jmx' to be made"):
        secrets.resolve("generated:jmx|upcall {}")
    assert not (tmp_path / "values").exists(), "to ask makes nothing"
    secrets.make("jmx")
    value = secrets.resolve("generated:jmx")
    secrets.make("jmx")
    assert secrets.resolve("generated:jmx|upcall {}") == f"upcall {value}"
    assert len(value) > 20
    assert stat.S_IMODE((tmp_path / "values" / "jmx").stat().st_mode) == 0o600


def test_a_secret_that_a_person_has_to_set_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="upcall secret set key"):
        Secrets(tmp_path).resolve("key")


def test_a_turn_writes_no_secret_and_the_launch_waits_until_it_is_made(server: Server, tmp_path: Path) -> None:
    core, secrets = server.master.core, Secrets(tmp_path / "values")
    declaration = Declaration(command=("a",), secrets=(Secret(name="key", ref=f"generated:{TASK.service}.key"),))
    wanted: list[str] = []
    found = server.in_loop(lambda: launch_context(core, secrets, wanted.append, TASK, declaration))
    assert (found.missing, found.waits_on) == (f"waits for the secret '{TASK.service}.key' to be made", {SECRETS})
    assert wanted == [f"{TASK.service}.key"]
    assert not (tmp_path / "values").exists()
    secrets.make(f"{TASK.service}.key")
    found = server.in_loop(lambda: launch_context(core, secrets, wanted.append, TASK, declaration))
    assert (found.missing, found.secrets) == ("", {"key": secrets.get(f"{TASK.service}.key")})


def test_a_file_that_is_written_as_it_is_names_nobody_that_a_launch_would_wait_for(
    server: Server, tmp_path: Path
) -> None:
    core, text = server.master.core, 'print("{{address.nobody}} {{endpoint.nothing.client}}")'
    for verbatim, missing in ((True, ""), (False, "waits for address.nobody, endpoint.nothing.client")):
        declaration = Declaration(command=("a",), files=(File(path="program.py", text=text, verbatim=verbatim),))
        found = server.in_loop(lambda wanted=declaration: launch_context(core, Secrets(tmp_path), print, TASK, wanted))
        assert found.missing == missing


def test_who_waits_for_a_secret_looks_again_when_it_is_made(server: Server, tmp_path: Path) -> None:
    core, secrets = server.master.core, Secrets(tmp_path / "values")
    heard = asyncio.Event()

    def rule(tx: object, changed: object) -> None:
        if SECRETS in changed.names:  # type: ignore[attr-defined]
            heard.set()

    server.in_loop(lambda: core.after_turn.append(rule))
    maker = SecretMaker(lambda: core, secrets)

    async def made(wait: Callable[[], object]) -> None:
        maker.make("key")
        maker.make("key")
        async with asyncio.timeout(180):
            await heard.wait()
        wait()

    asyncio.run_coroutine_threadsafe(made(lambda: None), server.loop).result(180)
    server.in_loop(lambda: core.after_turn.remove(rule))
    assert secrets.get("key")


# -- credentials of endpoints ---------------------------------------------------------------------------------------

CLIENT = wire.Endpoint(name="client", port="client", members=(), user="app", secret="generated:log.client")


class Known:
    """As much of a core as is asked who is bound to what."""

    def __init__(self, bindings: dict[str, dict[str, str]], endpoints: dict[str, tuple[wire.Endpoint, ...]]) -> None:
        needs = (wire.NeedSpec(name="queue", endpoint="client"),)
        self.state = SimpleNamespace(
            services={
                name: SimpleNamespace(
                    record=SimpleNamespace(
                        bindings=bound, secrets=("shared-key",) if name == "reader" else (), package=name, version="1"
                    ),
                    endpoints=endpoints.get(name, ()),
                )
                for name, bound in bindings.items()
            },
            packages=SimpleNamespace(find=lambda name, version: SimpleNamespace(needs=needs)),
        )


@pytest.fixture
def made(tmp_path: Path) -> Secrets:
    secrets = Secrets(tmp_path / "values")
    secrets.make("log.client")
    return secrets


ADMIN = msgspec.structs.replace(CLIENT, name="admin", user="admin", secret="generated:log.admin")
BOUND: Any = Known({"log": {}, "reader": {"queue": "log"}, "stranger": {}}, {"log": (CLIENT, ADMIN)})


@pytest.mark.parametrize("asking", ["log", "reader", ""])
def test_an_endpoints_password_is_told_to_its_own_service_to_the_bound_and_to_people(
    asking: str, made: Secrets
) -> None:
    found = credentials(BOUND, made, asking, "endpoint:log.client")
    assert (found.user, found.password) == ("app", made.get("log.client"))


def test_it_is_told_to_nobody_else(made: Secrets) -> None:
    with pytest.raises(Forbidden, match=r"stranger is not bound to log\.client"):
        credentials(BOUND, made, "stranger", "endpoint:log.client")
    with pytest.raises(Forbidden, match=r"stranger is not bound to log\.client"):
        resolve(BOUND, made, "stranger", "endpoint:log.client|{}")


def test_who_is_bound_to_one_endpoint_is_not_told_of_another(made: Secrets) -> None:
    with pytest.raises(Forbidden, match=r"reader is not bound to log\.admin"):
        credentials(BOUND, made, "reader", "endpoint:log.admin")


def test_it_arrives_in_the_form_that_the_client_reads(made: Secrets) -> None:
    password = made.get("log.client")
    assert resolve(BOUND, made, "reader", "endpoint:log.client") == f"app:{password}"
    assert resolve(BOUND, made, "reader", "endpoint:log.client|u={user} p={}") == f"u=app p={password}"


def test_an_endpoint_that_asks_nobody_gives_an_empty_file(made: Secrets) -> None:
    core: Any = Known({"log": {}}, {"log": (msgspec.structs.replace(CLIENT, user="", secret=""),)})
    assert resolve(core, made, "log", "endpoint:log.client|u={user} p={}") == ""


def test_a_launch_waits_for_the_service_that_it_logs_in_to(server: Server, tmp_path: Path) -> None:
    core, secrets = server.master.core, Secrets(tmp_path / "values")
    declaration = Declaration(command=("a",), secrets=(Secret(name="log", ref="endpoint:log.client"),))
    found = server.in_loop(lambda: launch_context(core, secrets, print, TASK, declaration))
    assert (found.missing, found.waits_on) == ("no service 'log'", {"log"})


@pytest.mark.parametrize("secret", ["operator", "generated:other.client", "generated:logs.client", "generated:log"])
def test_a_service_names_no_password_that_is_not_its_own(secret: str) -> None:
    with pytest.raises(Forbidden, match="is not a secret of log"):
        check("log", (msgspec.structs.replace(CLIENT, secret=secret),))
    check("log", (CLIENT,))


# -- what a service was granted -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asking", "reference"),
    [
        ("log", "log.key"),
        ("log", "generated:log.key|password={}"),
        ("reader", "shared-key"),
        ("reader", "endpoint:log.client|{user}"),
        ("log", "endpoint:log.admin"),
    ],
)
def test_a_service_has_its_own_secrets_those_it_is_bound_to_and_those_a_person_gave_it(
    asking: str, reference: str
) -> None:
    allow(BOUND, asking, reference)


@pytest.mark.parametrize(
    ("asking", "reference"),
    [
        ("reader", "log.key"),
        ("reader", "generated:log.client"),
        ("log", "shared-key"),
        ("log", "generated:logs.key"),
        ("log", "log"),
        ("nobody", "shared-key"),
        ("reader", "endpoint:log.admin"),
        ("stranger", "endpoint:log.client|{}"),
    ],
)
def test_any_other_is_refused_with_who_may_grant_it_and_how(asking: str, reference: str) -> None:
    with pytest.raises(Forbidden) as caught:
        allow(BOUND, asking, reference)
    assert "upcall install" in caught.value.problem.expected
