"""Equal parts of a package's schemas are one object, and nothing else about it changes."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from upcall.master.sharing import shared
from upcall.protocol.service import ActionSpec, Package

TEXTS = st.sampled_from(["", "type", "integer", "1", "true"])
LEAVES = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, 0.5]) | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
SCHEMAS = st.dictionaries(TEXTS, VALUES, max_size=4)


def package(options: dict[str, Any], arguments: dict[str, Any]) -> Package:
    actions = (ActionSpec(name="do", arguments=arguments),)
    return Package(name="p", version="1", options_schema=options, actions=actions)


@given(SCHEMAS, SCHEMAS)
def test_what_is_shared_says_the_same_to_the_letter(options: dict[str, Any], arguments: dict[str, Any]) -> None:
    made = package(options, arguments)
    assert msgspec.json.encode(shared(made)) == msgspec.json.encode(
        made
    )  # 1, 1.0 and true are equal, and not the same.


def test_equal_schemas_of_options_and_of_arguments_are_one() -> None:
    text = b'{"a": {"type": "integer", "enum": [1, 2]}, "b": {"type": "integer", "enum": [1, 2]}}'
    one = shared(package(msgspec.json.decode(text), msgspec.json.decode(text)))
    arguments = one.actions[0].arguments
    assert one.options_schema["a"] is one.options_schema["b"] is arguments["a"]
    assert one.options_schema is arguments
