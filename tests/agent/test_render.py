import sys

import pytest

from upcall.agent.render import names_of, render, render_all
from upcall.protocol.agent import Launch
from upcall.protocol.declaration import Declaration, Port, Resources
from upcall.protocol.errors import Invalid
from upcall.protocol.templates import ALWAYS, literal, literally


def test_names_are_replaced_once_and_only_names() -> None:
    names = {"a": "{{b}}", "b": "two", "port.client": "9092"}
    assert render("{{a}} {{ b }} ${c} {{}} { {b} } {{port.client}}", names, "x") == "{{b}} two ${c} {{}} { {b} } 9092"


@pytest.mark.parametrize("text", ["{{a}}", "{", "{{", "{{{a}}}", "{{brace}}", "{{{{{", "{ {a}}", "}}{{ a }}", ""])
def test_a_text_of_somebodys_own_comes_out_as_it_went_in(text: str) -> None:
    names = {"a": "one", "brace": "{"}
    for before, after in (("", ""), ("{{a}}", "{{a}}"), ("x=", "\n")):
        found = render(f"{before}{literal(text)}{after}", names, "x")
        assert found == render(before, names, "x") + text + render(after, names, "x")
    assert literally({text: [text, 1, {"b": (text, None)}]}) == {
        literal(text): [literal(text), 1, {"b": [literal(text), None]}]
    }


def test_an_unknown_name_says_where_and_what_is_near() -> None:
    with pytest.raises(Invalid) as caught:
        render_all(["ok", "{{volume.dta}}"], {"volume.data": "/v", "volume.logs": "/l", "address": "x"}, "command")
    problem = caught.value.problem
    assert problem.message == "unknown name {{volume.dta}}"
    assert problem.where == "command[1]"
    assert problem.expected == "volume.data or volume.logs"


def test_all_documented_names_are_there() -> None:
    launch = Launch(
        task="kafka.broker-2.7",
        declaration=Declaration(
            command=("x",), ports=(Port(name="client", number=9092),), resources=Resources(cpus=0.5, memory_mib=512)
        ),
        generation=1,
        fence=1,
        address="127.1.2.3",
        values={"address.broker-1": "127.1.2.4", "endpoint.kafka.client": "127.1.2.3:9092"},
    )
    names = names_of(
        launch,
        node="node-1",
        attributes={"zone": "a", "rack": "r1"},
        sandbox="/s",
        volumes={"data": "/v"},
        artifacts={"java": ("/j", {"home": "/j/home"})},
        secrets={"password": "/s/p"},
    )
    assert set(ALWAYS) <= set(names)
    assert names == {
        "address": "127.1.2.3",
        "hostname": "127.1.2.3",
        "port.client": "9092",
        "sandbox": "/s",
        "volume.data": "/v",
        "artifact.java": "/j",
        "artifact.java.home": "/j/home",
        "secret.password": "/s/p",
        "cpus": "0.5",
        "memory_mib": "512",
        "node": "node-1",
        "zone": "a",
        "incarnation": "7",
        "task": "kafka.broker-2.7",
        "python": sys.executable,
        "brace": "{",
        "address.broker-1": "127.1.2.4",
        "endpoint.kafka.client": "127.1.2.3:9092",
        "attribute.zone": "a",
        "attribute.rack": "r1",
    }
