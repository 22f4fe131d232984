"""What a service holds: its package says by which actions it is shown, made, changed and dropped."""

import pytest

from upcall.service import Contents, Service, action
from upcall.service.actions import actions_of


class Log(Service):
    """Topics."""

    @action
    async def topics(self) -> list[dict[str, str]]:
        """All of them."""
        return []

    @action
    async def make(self, name: str, size: int = 0) -> None:
        """One more."""


SPECS = {one.name: one.spec for one in actions_of(Log).values()}


def test_its_actions_are_named_in_the_package() -> None:
    spec = Contents("topics", show="topics", make="make", drop="make", key="topic").spec(SPECS)
    assert (spec.kind, spec.show, spec.make, spec.change, spec.key) == ("topics", "topics", "make", "", "topic")


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (Contents("topics", show="topcs", make="make", drop="make"), "the action 'topcs', which is none"),
        (Contents("topics", show="topics", make="make", drop="drop"), "the action 'drop', which is none"),
        (Contents("topics", show="topics", make="topics", drop="make"), "the action 'topics' takes no name"),
    ],
)
def test_a_mistake_is_found_when_the_package_is_built(contents: Contents, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        contents.spec(SPECS)
