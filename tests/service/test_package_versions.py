"""Several versions of one package: one class for all of them, and what differs as data."""

import gc
import json
import time
from pathlib import Path

import pytest

from upcall.protocol.errors import Invalid, NotFound
from upcall.service import Service, package, versions
from upcall.service.actions import action_named
from upcall.service.options import validated

SERVICE = '''
"""A package in three versions."""
import json
from typing import Annotated
from upcall.service import ByVersion, Declaration, Service, ServiceOptions, action

def known(version):
    return json.loads((Queue.folder() / "versions" / version / "words.json").read_bytes())

def check(version, given):
    for word in given:
        if word not in known(version):
            raise ValueError(f"unknown word {word!r} of Queue {version}")
    return given

Words = Annotated[dict[str, str], ByVersion(check, lambda version: {"propertyNames": {"enum": known(version)}})]

class QueueOptions(ServiceOptions):
    """What one may choose."""
    count: int = 1
    words: Words = {}

class Queue(Service):
    """A queue."""
    options: QueueOptions

    def task(self, member):
        return Declaration(command=("queue", self.version), artifacts=self.artifacts())

    @action
    async def say(self, words: Words = {}) -> list[str]:
        """Says them."""
        return list(words)
'''


def lock(name: str) -> str:
    return json.dumps({"format": 1, "kind": "maven", "name": name, "version": "1"})


@pytest.fixture
def queue(tmp_path: Path) -> type[Service]:
    folder = tmp_path / "queue"
    for version in ("1.9.0", "1.10.0", "2.0.0"):
        (folder / "versions" / version / "lock").mkdir(parents=True)
        (folder / "versions" / version / "lock" / "queue.json").write_text(lock(f"queue {version}"))
        words = {"1.9.0": ["old"], "1.10.0": ["old", "new"], "2.0.0": ["new"]}[version]
        (folder / "versions" / version / "words.json").write_text(json.dumps(words))
    (folder / "lock").mkdir()
    (folder / "lock" / "java.json").write_text(lock("java"))
    (folder / "versions" / "1.9.0" / "lock" / "java.json").write_text(lock("java of before"))
    (folder / "__init__.py").write_text("")
    (folder / "service.py").write_text(SERVICE)
    built = package.build(folder)
    return package.load(built.package.entry, folder.parent, built.package.source)


def test_the_class_itself_is_the_newest_version(queue: type[Service]) -> None:
    assert (queue.versions(), queue.version) == (("1.9.0", "1.10.0", "2.0.0"), "2.0.0")
    assert queue.at("2.0.0") is queue
    assert queue.at("2.0.0+1f2e3d4c") is queue, "another build of it"
    assert queue.at("1.9.0+1f2e3d4c") is queue.at("1.9.0")


def test_a_version_has_the_same_code_and_name(queue: type[Service]) -> None:
    old = queue.at("1.9.0")
    assert (old.version, old.package, old.__doc__) == ("1.9.0", "queue", "A queue.")
    assert issubclass(old, queue)
    assert old.at("2.0.0").version == "2.0.0", "from one version one comes to each other"
    assert queue.at("1.9.0") is old


def test_its_own_files_come_before_those_that_all_share(queue: type[Service]) -> None:
    locks = {
        version: {one.name: one.lock for one in queue.at(version).artifacts()}
        for version in ("1.9.0", "1.10.0", "2.0.0")
    }
    assert len({names["queue"] for names in locks.values()}) == 3
    assert locks["2.0.0"]["java"] == locks["1.10.0"]["java"] != locks["1.9.0"]["java"]
    for version, names in locks.items():
        assert set(names.values()) == set(queue.at(version).blobs()), "and it names no file of another version"


def test_options_and_arguments_are_those_of_the_version(queue: type[Service]) -> None:
    old, new = queue.at("1.9.0"), queue.at("2.0.0")
    assert validated(old.Options, {"words": {"old": "x"}}, where="queue").model_dump()["words"] == {"old": "x"}
    with pytest.raises(Invalid, match=r"unknown word 'old' of Queue 2\.0\.0"):
        validated(new.Options, {"words": {"old": "x"}}, where="queue")
    for code, words in ((old, ["old"]), (queue.at("1.10.0"), ["old", "new"]), (new, ["new"])):
        schema = code.Options.model_json_schema()["properties"]
        assert list(schema)[-2:] == ["count", "words"], "in the order in which they stand"
        assert schema["words"]["propertyNames"]["enum"] == words
        arguments = action_named(code, "say").spec.arguments["properties"]
        assert arguments["words"]["propertyNames"]["enum"] == words


def test_a_version_that_nobody_uses_does_not_stay_in_memory(queue: type[Service]) -> None:
    queue.at("1.9.0").artifacts()
    until = time.monotonic() + 60.0
    while any(of is queue for of, _ in versions._variants) and time.monotonic() < until:
        # A thread that another test left may be collecting just now: then ours finds nothing.
        gc.collect()
        time.sleep(0.01)
    kept = [made for (of, _), made in versions._variants.items() if of is queue]
    assert not kept, [gc.get_referrers(made) for made in kept]


def test_a_package_without_versions_has_the_one_that_its_class_says(tmp_path: Path) -> None:
    class Plain(Service):
        version = "3.2"

    assert (Plain.versions(), Plain.at("3.1"), Plain.at("3.2")) == (("3.2",), Plain, Plain)


def test_a_catalog_package_is_built_in_the_version_that_is_named() -> None:
    entry = "upcall.catalog.kafka.service"
    newest, old = package.build_installed(entry), package.build_installed(entry, "4.1.2")
    assert (old.package.name, old.package.version, newest.package.version) == ("kafka", "4.1.2", "4.3.1")
    assert old.package.entry == newest.package.entry
    assert old.package.options_schema != newest.package.options_schema
    assert package.load(old.package.entry, version="4.1.2").version == "4.1.2"


def test_what_to_fetch_is_named_with_its_version() -> None:
    from upcall.cli import fetch

    assert fetch.find("kafka").package.version == "4.3.1"
    assert fetch.find("kafka@4.1").package.version == "4.1.2"
    with pytest.raises(NotFound, match=r"package kafka has no version '4\.2'.*4\.1\.2 or 4\.3\.1"):
        fetch.find("kafka@4.2")
