"""What a platform file does not carry from one cluster to another."""

from upcall.cli.carrying import left_behind, of_this_machine
from upcall.cli.composition import Requires, parse
from upcall.protocol.operator import NodeView, PackageView, ServiceView

SCHEMA = {"properties": {"place": {"default": "/usual"}, "words": {}, "targets": {}}}
PLATFORM = """\
requires: {disk_mib: 4096}
services:
  - package: hello
    options: {place: /usual, words: read on, targets: [{to: "file:///backups"}, {to: s3://bucket}]}
  - package: hello
    name: other
    options: {place: /srv/data, words: "/"}
    cards: {morning: {text: "~/cards/morning.txt"}}
actions:
  - {service: other, action: greet, arguments: {from: /tmp/names}}
"""


def test_paths_of_this_machine_are_said_one_by_one_and_what_is_usual_is_not() -> None:
    composition = parse(PLATFORM, "platform.yaml")
    package = PackageView(name="hello", version="1", options_schema=SCHEMA)
    no_file = "and no file of this machine is in a pod"
    assert list(of_this_machine(composition, {"hello": package, "other": package})) == [
        f"hello: option targets to is file:///backups, {no_file}",
        f"other: option place is /srv/data, {no_file}",
        f"other: cards morning text is ~/cards/morning.txt, {no_file}",
        f"other: greet from is /tmp/names, {no_file}",
        "the 4.0 GiB of disk that it requires are not looked for: volumes are the cluster's",
    ]


def test_own_files_and_attributes_of_nodes_are_left_behind() -> None:
    def service(name: str) -> ServiceView:
        return ServiceView(name=name, package=name, version="1", state="running", revision=1)

    packages = {(one, "1"): PackageView(name=one, version="1", own=one == "mine") for one in ("mine", "log")}
    nodes = [
        NodeView(name="node-1", zone="a", state="up", attributes={"zone": "a", "rack": "r1"}),
        NodeView(name="node-2", zone="b", state="up", attributes={"zone": "b", "rack": "r1", "disk": "fast"}),
    ]
    said = list(left_behind([service("mine"), service("log")], packages, nodes))
    assert [one.partition(",")[0] for one in said] == [
        "package mine is made of your own files",
        "attribute rack=r1 of node-1",
        "attribute disk=fast of node-2 is not in it: nodes elsewhere have",
    ]


def test_disk_that_nobody_knows_is_not_missing() -> None:
    assert Requires(disk_mib=4096, nodes=3).missing(Requires(nodes=3)) == []
    assert Requires(disk_mib=4096).missing(Requires(disk_mib=1)) == ["4096 MiB of free disk (here: 1)"]
