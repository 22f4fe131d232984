"""The plug-in of pytest: options, the marker, and the fixtures that are of no system.

pytest loads it at every start, also where no test wants a service, so it imports nothing of ours before a fixture is
used. Who offers systems says so by the hook ``pytest_upcall_systems`` (:mod:`upcall.pytest.systems`).
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from upcall.protocol.errors import UpcallError
    from upcall.pytest.asked import Small, Wanted
    from upcall.pytest.cluster import Cluster
    from upcall.pytest.service import Service

MARKER: Final = "upcall"
KEEP, FOLDER = "upcall_keep", "upcall_folder"
RUN: Final = pytest.StashKey["Run"]()
RUN_BYTES: Final = 6


class Hooks:
    @pytest.hookspec
    def pytest_upcall_systems(self) -> dict[str, str]:
        """Fixture -> ``module:Class`` of a system; the module has ``SMALL``, how tests want it if they say nothing."""
        return {}


class Run:
    """What one process of pytest knows of its cluster."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._items: list[pytest.Item] = []
        self._tests = 0
        self._swept: set[str] = set()
        self.failed: UpcallError | None = None

    # -- what is asked for ------------------------------------------------------------------------------------------

    @cached_property
    def systems(self) -> dict[str, str]:
        answers = self.config.hook.pytest_upcall_systems()
        return {name: place for answer in answers for name, place in answer.items()}

    def kind(self, system: str) -> "tuple[Small, type[Service]]":
        module, _, name = self.systems[system].partition(":")
        found = import_module(module)
        return found.SMALL, getattr(found, name)

    def wanted(self, system: str, node: pytest.Item) -> "Wanted":
        """By the settings of pytest, and over them by the markers, the nearest last."""
        from upcall.pytest import asked

        small, _ = self.kind(system)
        return asked.wanted(small, {**self._said(system), **self._marked(node).get(system, {})})

    def _said(self, system: str) -> dict[str, Any]:
        lines = self.config.getini(f"upcall_{system}")
        if not lines:
            return {}
        from upcall.cli.values import parse_pairs

        return parse_pairs(lines, f"upcall_{system} in pytest's settings")

    def _marked(self, node: pytest.Item) -> dict[str, dict[str, Any]]:
        from upcall.pytest import asked

        found: dict[str, dict[str, Any]] = {}
        for mark in reversed(list(node.iter_markers(MARKER))):
            for system, options in asked.of_marker(self.systems, mark.args, mark.kwargs).items():
                found[system] = {**found.get(system, {}), **options}
        return found

    def check(self, items: list[pytest.Item]) -> None:
        """A mistake in a marker is told before anything starts."""
        self._items = items
        for item in items:
            if item.get_closest_marker(MARKER) is not None:
                self._marked(item)

    @property
    def keep_s(self) -> float:
        from upcall.pytest import asked

        said = self.config.getoption(KEEP)
        if said is not None:
            return asked.seconds(said, "--upcall-keep")
        return asked.seconds(self.config.getini(KEEP), f"{KEEP} in pytest's settings")

    # -- the cluster ------------------------------------------------------------------------------------------------

    @cached_property
    def cluster(self) -> "Cluster":
        from upcall.pytest.cluster import Cluster
        from upcall.pytest.use import base, enter

        run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(RUN_BYTES)
        return Cluster(enter(base(self.config.getini(FOLDER)), run, self.keep_s))

    def service(self, one: "Wanted", kind: "type[Service]", *, alone: bool) -> "Service":
        """Ready; all else that the tests of this run want is begun with it."""
        from upcall.protocol.errors import UpcallError
        from upcall.pytest.service import Turn

        if self.failed is not None:
            raise self.failed
        try:
            cluster = self.cluster
            cluster.begin([one, *(other for other in self._of_all if other != one)])
        except UpcallError as error:
            self.failed = error
            raise
        cluster.ready(one)
        self._tests += 1
        turn = Turn(cluster, one.name, alone=alone)
        found = kind(cluster, one, turn, f"{cluster.use.name}-{self._tests}")
        try:
            if one.name not in self._swept:
                self._swept.add(one.name)
                found.sweep(cluster.use)
        except BaseException:
            turn.end()
            raise
        return found

    @cached_property
    def _of_all(self) -> "list[Wanted]":
        """What the tests that were collected want, each once, those of the catalog alone."""
        found = {
            self.wanted(system, item): None
            for item in self._items
            for system in self.systems
            if system in getattr(item, "fixturenames", ()) and self._is_ours(item, system)
        }
        return list(found)

    def _is_ours(self, item: pytest.Item, system: str) -> bool:
        """A person may have a fixture of that name himself."""
        info: Any = getattr(item, "_fixtureinfo", None)
        defined: list[Any] = list(info.name2fixturedefs.get(system, ())) if info is not None else []
        return bool(defined) and defined[-1].func.__module__ == self.systems[system].rpartition(".")[0]

    def end(self) -> None:
        if "cluster" not in self.__dict__:
            return
        for place in self.systems.values():
            close = getattr(sys.modules.get(place.partition(":")[0]), "close", None)
            if close is not None:
                close()
        self.cluster.use.leave()


def said(error: "UpcallError") -> BaseException:
    """One sentence, once: not our own code's lines, and not the error that it was made of."""
    return pytest.fail.Exception(str(error), pytrace=False)


def service_of(request: pytest.FixtureRequest, run: Run, system: str) -> Iterator[Any]:
    """A fixture's life. What is wrong is one sentence, not our own code's lines."""
    from upcall.protocol.errors import UpcallError

    node: pytest.Item = request.node
    try:
        found = run.service(run.wanted(system, node), run.kind(system)[1], alone=_alone(node))
    except UpcallError as error:
        raise said(error) from None
    yield found
    try:
        found.undo()
    except UpcallError as error:
        raise said(error) from None


def _alone(node: pytest.Item) -> bool:
    from upcall.pytest.asked import ALONE

    return any(mark.kwargs.get(ALONE) for mark in node.iter_markers(MARKER))


# -- pytest's hooks ---------------------------------------------------------------------------------------------------


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("upcall", "real systems, by upcall")
    group.addoption(
        "--upcall-keep",
        metavar="TIME",
        help="keep the cluster of the tests for so long after its last use: 15m; 0: not (default: as upcall_keep says)",
    )
    parser.addini(KEEP, "keep the cluster of the tests for so long after its last use: 15m", default="")
    parser.addini(FOLDER, "where clusters of tests lie (default: the folder for temporary files)", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", 'upcall(SYSTEM={"OPTION": value}, alone=False): options of a service that upcall starts for the test'
    )
    config.stash[RUN] = run = Run(config)
    if config.getoption(KEEP) is not None or config.getini(KEEP):
        from upcall.protocol.errors import UpcallError

        try:
            _ = run.keep_s
        except UpcallError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Only where a test wants something of ours is anything of ours imported."""
    if not any(_wants_ours(item) for item in session.items):
        return
    from upcall.protocol.errors import UpcallError

    run = session.config.stash[RUN]
    try:
        run.check(session.items)
    except UpcallError as error:
        if not hasattr(session.config, "workerinput"):
            raise pytest.UsageError(str(error)) from None
        # A worker that ends here is an internal error to its controller: it is told by each test.
        run.failed = error


def _wants_ours(item: pytest.Item) -> bool:
    return item.get_closest_marker(MARKER) is not None or "upcall_run" in getattr(item, "fixturenames", ())


def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(RUN, None)
    if run is not None:
        run.end()


@pytest.fixture(scope="session")
def upcall_run(request: pytest.FixtureRequest) -> Run:
    """What this process of pytest has of its cluster; for other fixtures."""
    return request.config.stash[RUN]


@pytest.fixture
def upcall_service(request: pytest.FixtureRequest, upcall_run: Run) -> "Iterator[Callable[..., Service]]":
    """``upcall_service(path, option=value)``: a service of a person's own, from its file or folder, or of a package."""
    from upcall.protocol.errors import UpcallError
    from upcall.pytest.asked import of_file
    from upcall.pytest.service import Service

    given: list[Service] = []
    alone = _alone(request.node)

    def service(package: str | Path, **options: Any) -> Service:
        path = Path(package)
        if isinstance(package, Path) or package.endswith(".py") or "/" in package:
            path = path if path.is_absolute() else request.path.parent / path
        try:
            given.append(upcall_run.service(of_file(path, options, _content(path)), Service, alone=alone))
        except UpcallError as error:
            raise said(error) from None
        return given[-1]

    yield service
    for one in reversed(given):
        one.undo()


def _content(path: Path) -> bytes:
    """Of a file, or of all Python files of a folder: on a cluster that is kept, the next run may come with others."""
    found = sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.is_file() else []
    return b"\0".join(one.read_bytes() for one in found)
