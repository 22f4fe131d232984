"""What the libraries that judge what arrives say, in a person's words."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from upcall.protocol.decoder_words import of_decoder, of_validator


class Port(msgspec.Struct, forbid_unknown_fields=True):
    number: Annotated[int, Meta(ge=1, le=65_535)]
    name: Annotated[str, Meta(max_length=3)] | None = None
    kind: Literal["tcp", "udp"] = "tcp"


class Task(msgspec.Struct):
    ports: Annotated[list[Port], Meta(max_length=2)]
    more: dict[Annotated[str, Meta(max_length=1)], int] = {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"ports": [{"number": "80"}]}', ("text, not a whole number", "ports[0].number", "a whole number")),
        ('{"ports": [{"number": 0}]}', ("too small", "ports[0].number", "at least 1")),
        ('{"ports": [{"number": 99999}]}', ("too large", "ports[0].number", "at most 65535")),
        ('{"ports": [{"number": 1, "name": 2}]}', ("a whole number, not text or nothing", "ports[0].name", None)),
        ('{"ports": [{"number": 1, "name": "long"}]}', ("too long", "ports[0].name", "at most 3 characters")),
        ('{"ports": [{"number": 1, "kind": "x"}]}', ("'x' is not allowed", "ports[0].kind", "")),
        ('{"ports": [{}]}', ("'number' is missing", "ports[0]", "")),
        ('{"ports": [{"number": 1, "nam": 1}]}', ("unknown name 'nam'", "ports[0]", "")),
        ('{"ports": [], "more": {"xx": 1}}', ("too long", "a name in more", "at most 1 characters")),
        ('{"ports": 1}', ("a whole number, not a list", "ports", "a list")),
        ('{"ports": [{"number":1},{"number":1},{"number":1}]}', ("too long", "ports", "at most 2 entries")),
        ("[]", ("a list, not a map of names to values", "", "a map of names to values")),
    ],
)
def test_the_decoder_of_the_wire(text: str, said: tuple[str, str, str | None]) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(text, type=Task)
    found = of_decoder(str(raised.value))
    message, where, expected = said
    assert (found.message, found.where) == (message, where)
    if expected is not None:
        assert found.expected == expected


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    nodes: int = Field(3, ge=1)
    share: float = Field(0.5, lt=1)
    on: bool = False
    what: Literal["a", "b"] = "a"
    names: list[str] = []
    who: str = ""
    tag: str = Field("ab", min_length=2, max_length=4)
    few: list[int] = Field([1], min_length=1, max_length=2)
    some: dict[str, int] = Field({}, max_length=1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nodes": "abc"}, ("'abc' is not a whole number", "nodes", "a whole number")),
        ({"nodes": 0}, ("0 is too small", "nodes", "at least 1")),
        ({"share": 1}, ("1 is too large", "share", "less than 1.0")),
        ({"share": "x"}, ("'x' is not a number", "share", "a number")),
        ({"on": "perhaps"}, ("'perhaps' is not true or false", "on", "true or false")),
        ({"what": "c"}, ("'c' is not allowed", "what", "'a' or 'b'")),
        ({"names": "x"}, ("'x' is not a list", "names", "a list")),
        ({"names": [1]}, ("1 is not text", "names.0", "text")),
        ({"nosuch": 1}, ("unknown name 'nosuch'", "nosuch", "")),
        ({"who": 5}, ("5 is not text", "who", "text")),
        ({"tag": "a" * 50}, ("50 characters", "tag", "at most 4 characters")),
        ({"tag": "a"}, ("1 character", "tag", "at least 2 characters")),
        ({"tag": ""}, ("nothing", "tag", "at least 2 characters")),
        ({"few": [1, 2, 3]}, ("3 entries", "few", "at most 2 entries")),
        ({"few": []}, ("nothing", "few", "at least 1 entry")),
        ({"some": {"a": 1, "b": 2}}, ("2 entries", "some", "at most 1 entry")),
    ],
)
def test_the_validator_of_requests_and_of_the_command_line(given: dict[str, Any], said: tuple[str, str, str]) -> None:
    with pytest.raises(ValidationError) as raised:
        Asked(**given)
    assert tuple(of_validator(raised.value.errors(include_url=False)[0])) == said
