"""Composition files: what they say, and each mistake with its line and what would be right."""

import pytest

from fake_master import GREET, GREETER_OPTIONS
from upcall.cli.applicable import check_against
from upcall.cli.composition import Requires, fitting, parse
from upcall.protocol.errors import DoesNotFit, Invalid
from upcall.protocol.operator import PackageView, ServiceView

GOOD = """\
requires: {nodes: 3, memory_mib: 6144}
services:
  - package: greeter
    name: hello
    options: {members: 3}
  - package: archive
    bindings: {source: hello}
actions:
  - {service: hello, action: greet, arguments: {name: you}}
sizes:
  - name: full
  - name: small
    requires: {memory_mib: 2048, nodes: 1}
    options: {hello: {members: 1}}
"""
PACKAGES = [
    PackageView(name="greeter", version="1.0.0", options_schema=GREETER_OPTIONS, actions=[GREET]),
    PackageView(
        name="archive",
        version="2.1.0",
        needs=[{"name": "source", "endpoint": "http"}, {"name": "mirror", "endpoint": "http", "optional": True}],
    ),
]
PRESENT = [ServiceView(name=name, package="greeter", version="1.0.0", revision=1) for name in ("greeter", "there")]


def test_a_composition_becomes_installs() -> None:
    found = parse(GOOD, "demo.yaml")
    first, second = (one.install() for one in found.services)
    assert (first.package, first.name, first.options) == ("greeter", "hello", {"members": 3})
    assert (second.name, second.bindings) == ("archive", {"source": "hello"})
    check_against(found, PACKAGES)


def test_the_first_size_that_fits_is_taken() -> None:
    found = parse(GOOD, "demo.yaml")
    whole, name = fitting(found, Requires(nodes=3, memory_mib=8192))
    assert (name.split(";")[0], whole.services[0].options) == ("size full", {"members": 3})
    smaller, name = fitting(found, Requires(nodes=3, memory_mib=4096))
    assert (name.split(";")[0], smaller.services[0].options) == ("size small", {"members": 1})


def test_what_does_not_fit_is_said_with_what_there_is() -> None:
    with pytest.raises(DoesNotFit, match=r"2048 MiB of memory \(here: 512\)"):
        fitting(parse(GOOD, "demo.yaml"), Requires(nodes=3, memory_mib=512))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services:\n  - package: a\n    nmae: b\n", ["unknown key 'nmae'", "line 3", "name"]),
        ("service:\n  - package: a\n", ["unknown key 'service'", "line 1", "services"]),
        ("services:\n  - name: a\n", ["services[0].package is missing", "line 2"]),
        ("services:\n  - package: a\n    options: 7\n", ["services[0].options", "line 3", "7"]),
        (
            "services:\n  - package: a\n    version: 4.1\n",
            ["services[0].version", "line 3", '"4.1", in quotation marks'],
        ),
        ("services: []\n", ["services", "line 1"]),
        ("services:\n  - package: a\n  - package: a\n", ["two services are named 'a'", "line 3"]),
        ("services:\n  - package: Aa\n", ["not a service's name: 'Aa'", "line 2"]),
        (
            "services:\n  - package: hello\nactions:\n  - {service: helo, action: x}\n",
            ["'helo'", "line 4", "hello"],
        ),
        ("services:\n - a: [\n", ["not YAML", "line"]),
        ("just text", ["a map with the key `services`"]),
        ("requires: {memory: 3}\nservices:\n  - package: a\n", ["unknown key 'memory'", "line 1", "memory_mib"]),
        (
            "services:\n  - package: a\nsizes:\n  - name: x\n    options: {b: {}}\n",
            ["options of 'b'", "line 5"],
        ),
    ],
)
def test_each_mistake_is_named_with_its_line(text: str, said: list[str]) -> None:
    with pytest.raises(Invalid) as error:
        parse(text, "my.yaml")
    for words in said:
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("{package: greter}", ["unknown package 'greter'", "greeter"]),
        ("{package: greeter, version: 1.0.1}", ["no version '1.0.1'", "1.0.0"]),
        ("{package: greeter, options: {membrs: 1}}", ["unknown option 'membrs'", "members"]),
        (
            "{package: greeter, options: {members: 77}}",
            ["service greeter options.members", "a whole number from 1 to 9"],
        ),
        ("{package: greeter, bindings: {store: x}}", ["no need 'store'", "no bindings"]),
        ("{package: archive, bindings: {sorce: greeter}}", ["no need 'sorce'", "source"]),
        ("{package: archive}", ["archive needs source", "'source' is neither in the file nor installed"]),
        ("{package: archive, bindings: {source: greter}}", ["'greter' is neither", "expected greeter"]),
        ("{package: archive, bindings: {source: there, mirror: m}}", ["archive needs mirror", "'m'"]),
        (
            "{package: archive, bindings: {source: one}}\n  - {package: greeter, name: one}",
            ["service 'one' stands below it", "one above archive"],
        ),
    ],
)
def test_services_are_checked_before_the_first_install(service: str, said: list[str]) -> None:
    with pytest.raises(Invalid) as error:
        check_against(parse(f"services:\n  - {service}\n", "my.yaml"), PACKAGES, PRESENT)
    for words in said:
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("{service: greeter, action: gret}", ["has no action 'gret'", "expected greet"]),
        ("{service: greeter, action: greet}", ["'name' is a required property", "action greeter greet"]),
        ("{service: greeter, action: greet, arguments: {nam: x}}", ["unknown argument 'nam'", "'name'"]),
        ("{service: greeter, action: greet, arguments: {name: 7}}", ["7 is not text", "arguments.name"]),
        ("{service: archive, action: greet}", ["has no action 'greet'", "it has none"]),
    ],
)
def test_actions_are_checked_before_the_first_install(action: str, said: list[str]) -> None:
    services = "services:\n  - package: greeter\n  - {package: archive, bindings: {source: greeter}}\n"
    with pytest.raises(Invalid) as error:
        check_against(parse(f"{services}actions:\n  - {action}\n", "my.yaml"), PACKAGES, PRESENT)
    for words in said:
        assert words in str(error.value)


def test_a_need_may_be_installed_before() -> None:
    text = "services:\n  - {package: archive, bindings: {source: there}}\n"
    check_against(parse(text, "my.yaml"), PACKAGES, PRESENT)
