"""What a platform file does not carry from one cluster to another: said in one sentence each, by whoever can see it.

A file has services, options and what services hold. Who exports sees what belongs to it and stands elsewhere: a package
made of somebody's own files, attributes of nodes. Who applies to a cluster that is not on this machine sees what means
this machine alone: paths, and the room on its disk. None of it is an error: a path may be one within a pod.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from upcall.cli.composition import Composition
from upcall.protocol.operator import NodeView, PackageView, ServiceView

PATHS: Final = ("/", "~/", "file:/")
SHOWN: Final = 80
"""Of a path, which may be long."""


def left_behind(
    services: Iterable[ServiceView], packages: Mapping[tuple[str, str], PackageView], nodes: Iterable[NodeView]
) -> Iterator[str]:
    """Of what was exported."""
    own = {one.package for one in services if packages[one.package, one.version].own}
    for name in sorted(own):
        yield (
            f"package {name} is made of your own files, which are not in it: where it is not known, the path of these"
            " stands in its place (`package: ./FILE.py`)"
        )
    known = {
        f"{key}={value}": [node.name for node in nodes if node.attributes.get(key) == value]
        for node in nodes
        for key, value in sorted(node.attributes.items())
        if key != "zone"
    }
    for pair, names in known.items():
        yield f"attribute {pair} of {', '.join(names)} is not in it: nodes elsewhere have, or are given, their own"


def of_this_machine(composition: Composition, packages: Mapping[str, PackageView]) -> Iterator[str]:
    """Of what is applied elsewhere. ``packages``: of each service."""
    for item in composition.services:
        usual = packages[item.service].options_schema.get("properties", {})
        asked = {name: value for name, value in item.options.items() if value != usual.get(name, {}).get("default")}
        for where, path in _paths(asked, "option"):
            yield f"{item.service}: {where} is {path}, and no file of this machine is in a pod"
        for kind, things in item.contents.items():
            for where, path in _paths(things, kind):
                yield f"{item.service}: {where} is {path}, and no file of this machine is in a pod"
    for action in composition.actions:
        for where, path in _paths(action.arguments, f"{action.action}"):
            yield f"{action.service}: {where} is {path}, and no file of this machine is in a pod"
    if disk_mib := composition.requires.disk_mib:
        yield f"the {disk_mib / 1024:.1f} GiB of disk that it requires are not looked for: volumes are the cluster's"


def _paths(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _paths(one, f"{where} {name}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for one in value:
            yield from _paths(one, where)
    elif isinstance(value, str) and value.startswith(PATHS) and len(value) > 1 and "\n" not in value:
        yield where, value if len(value) <= SHOWN else f"{value[:SHOWN]}..."
