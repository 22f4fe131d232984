"""Actions: from a signature to a schema, from JSON to a call, from a result to JSON."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel

from upcall.protocol.errors import Invalid, NotFound
from upcall.service import Service, action
from upcall.service.actions import action_named, actions_of


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
    with pytest.raises(NotFound, match="expected one of create-topic, rebalance"):
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
