"""Actions: from a signature to a schema, from JSON to a call, from a result to JSON."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from sample_services import Plain

from upcall.protocol.errors import Conflict, Invalid, NotFound, NotNow
from upcall.service import Service, action, checks
from upcall.service.actions import action_named, actions_of
from upcall.service.link import Fenced, MasterAway
from upcall.testing import Life


class Size(BaseModel):
    partitions: int
    replicas: int = 3


class Broker(Service):
    @action
    async def create_topic(
        self, name: str, size: Size, cleanup: Literal["delete", "compact"] = "delete"
    ) -> dict[str, Any]:
        """Creates a topic."""
        return {"name": name, "partitions": size.partitions, "cleanup": cleanup, "kind": type(size).__name__}

    @action(timeout_s=5)
    async def rebalance(self) -> None:
        """Moves partitions."""

    async def hidden(self) -> None:
        """Not an action."""


def test_the_schema_of_the_arguments_comes_from_the_signature() -> None:
    spec = actions_of(Broker)["create-topic"].spec
    assert spec.description == "Creates a topic."
    assert spec.arguments["required"] == ["name", "size"]
    assert spec.arguments["properties"]["cleanup"]["enum"] == ["delete", "compact"]
    assert spec.arguments["additionalProperties"] is False


def test_only_marked_methods_are_actions() -> None:
    assert sorted(actions_of(Broker)) == ["create-topic", "rebalance"]
    assert actions_of(Broker)["rebalance"].timeout_s == 5


async def test_arguments_arrive_as_the_types_of_the_signature() -> None:
    known = action_named(Broker, "create_topic")
    result = await known.call(Broker(), {"name": "t", "size": {"partitions": "6"}})
    assert result == {"name": "t", "partitions": 6, "cleanup": "delete", "kind": "Size"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"size": {"partitions": 1}}, "name is missing"),
        ({"name": "t", "size": {"partitions": "many"}}, "size.partitions"),
        ({"name": "t", "size": {"partitions": 1}, "retention": 5}, "retention"),
        ({"name": "t", "size": {"partitions": 1}, "cleanup": "burn"}, "cleanup"),
    ],
)
async def test_wrong_arguments_are_refused_before_the_method_sees_them(
    arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(Invalid, match=complaint):
        await action_named(Broker, "create-topic").call(Broker(), arguments)


def test_an_unknown_action_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match="expected create-topic or rebalance"):
        action_named(Broker, "drop")


def test_an_action_that_is_not_async_is_refused() -> None:
    with pytest.raises(TypeError, match="must be an async method"):

        @action  # type: ignore[type-var]
        def now(self: object) -> None: ...


def test_an_argument_without_a_type_is_refused() -> None:
    class Wrong(Service):
        @action
        async def go(self, where) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(TypeError, match="argument 'where' has no type"):
        actions_of(Wrong)


class Checked(Broker):
    made: list[str]

    @action
    async def shrink(self, name: str, by: int = 1) -> str:
        """Fewer."""
        self.made.append(name)
        return name

    @checks(shrink)
    async def may_shrink(self, by: int) -> None:
        if by > 2:
            raise Conflict(f"{by} are too many", where="by")


async def test_a_check_says_beforehand_what_its_action_would_refuse_and_does_nothing() -> None:
    known, service = action_named(Checked, "shrink"), Checked()
    service.made = []
    assert known.spec.checks
    assert not action_named(Checked, "create-topic").spec.checks
    await known.judge(service, {"name": "t", "by": 2})
    with pytest.raises(Conflict, match="3 are too many"):
        await known.judge(service, {"name": "t", "by": 3})
    with pytest.raises(Invalid, match="name is missing"):
        await known.judge(service, {"by": 1})
    assert service.made == []
    with pytest.raises(Conflict, match="3 are too many"):
        await known.call(service, {"name": "t", "by": 3})
    assert service.made == [], "it is asked before the action, too"
    assert await known.call(service, {"name": "t"}) == "t"


def test_the_code_that_runs_is_asked_and_nothing_is_begun(live: Callable[..., None]) -> None:
    class Sized(Plain):
        @action
        async def shrink(self, to: int) -> int:
            """Fewer."""
            raise AssertionError("nobody asked for it")

        @checks(shrink)
        async def may_shrink(self, to: int) -> None:
            if to > len(self.members) + self.options.count:
                raise Conflict(f"{to} are more than there are", where="to", expected="less")

    async def script(life: Life) -> None:
        await life.until_deployed()
        judge = life.master.door.judge
        assert await life.master.refusal("shrink", to=6) == ""
        assert await life.master.refusal("shrink", to=7) == "7 are more than there are; at to; expected less"
        assert await life.master.refusal("shrink") == "'to' is missing; at shrink.to"
        assert (await life.master.refusal("shrink", to="x", by=1)).splitlines() == [
            "'x' is not a whole number; at shrink.to; expected a whole number",
            "unknown name 'by'; at shrink.by; expected to",
        ], "each reason is a line"
        assert await judge(life.master.service, "shrink", {"to": 7}, {"count": 4}, "ann") == [], "as it is to become"
        assert life.master.door.actions.of(life.master.service) == []

    live(Sized, script, count=3)


class Late(Plain):
    """Greets from its third attempt on, and never sends."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tried = 0

    @action
    async def greet(self) -> int:
        """Greets somebody."""
        self.tried += 1
        if self.tried < 3:
            raise NotNow(f"{self.tried} of 3 are ready", where=self.name)
        return self.tried

    @action
    async def send(self) -> None:
        """Sends it away."""
        self.tried += 1
        raise NotNow("nobody is ready", where=self.name, expected="one")


def test_what_cannot_be_done_now_is_tried_again_for_as_long_as_who_asks_has_patience(live: Callable[..., None]) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        reply = await life.master.act("greet")
        assert (reply.error, life.code.tried) == (f"1 of 3 are ready; at {life.code.name}", 1), "nobody has patience"
        life.master.patience_s, life.code.tried = 60.0, 0
        assert (await life.master.act("greet")).result == 3
        assert "not now: 1 of 3 are ready; tried again in 1 s" in [one.text for one in life.master.progress]
        life.code.tried, began = 0, asyncio.get_running_loop().time()
        reply = await life.master.act("send")
        took_s = asyncio.get_running_loop().time() - began
        assert reply.problem is not None
        assert (reply.problem.code, reply.problem.expected) == ("not_now", "one")
        assert 60 <= took_s < 75, took_s
        assert 5 < life.code.tried < 12, "more and more slowly"

    live(Late, script)


@pytest.mark.parametrize(
    "error",
    [
        Fenced("this is not the current stream of plain", where="Upcall-Stream", expected="subscribe again"),
        MasterAway("the master did not answer PUT /v1/service/plain/state/x within 30 s"),
    ],
)
def test_whose_host_lost_the_master_is_told_that_and_no_word_of_the_wire(
    live: Callable[..., None], error: Exception
) -> None:
    class Cut(Plain):
        @action
        async def greet(self) -> None:
            """Greets somebody."""
            raise error

    async def script(life: Life) -> None:
        await life.until_deployed()
        reply = await life.master.act("greet")
        assert reply.error == (
            "its host lost its connection to the master while it ran: whether it was done is not known"
        )
        assert reply.problem is None

    live(Cut, script)


def test_one_that_is_tried_again_can_be_cancelled(live: Callable[..., None]) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.patience_s = 3600.0
        asked = asyncio.create_task(life.master.act("send"))
        await asyncio.sleep(30)
        life.master.cancel("send")
        assert (await asked).cancelled

    live(Late, script)


def test_a_check_that_cannot_look_now_says_that(live: Callable[..., None]) -> None:
    class Blind(Plain):
        @action
        async def shrink(self) -> None:
            """Fewer."""

        @checks(shrink)
        async def may_shrink(self) -> None:
            raise NotNow("nobody is ready", where=self.name)

    async def script(life: Life) -> None:
        await life.until_deployed()
        with pytest.raises(NotNow, match="nobody is ready"):
            await life.master.refusal("shrink")

    live(Blind, script)


def test_a_check_of_what_is_no_action_or_with_an_argument_that_the_action_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="that is no action"):
        checks(Broker.hidden)

    class Wrong(Checked):
        @checks(Checked.shrink)
        async def may_shrink(self, amount: int) -> None: ...

    with pytest.raises(TypeError, match=r"checks shrink, which has no argument 'amount'; it has name, by"):
        actions_of(Wrong)
