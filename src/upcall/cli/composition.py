"""A platform file: several services with their options and bindings, what they hold, and what is asked of them.

::

    name: shop                             # of the platform: needed by `--prune`, which removes what this file made
    requires: {cpus: 2, memory_mib: 6144, disk_mib: 4096, nodes: 3}    # checked before anything is installed
    services:
      - package: hello                     # required; or a file of one's own: ./hello.py, seen from this one
        name: greeter                      # default: the package's name
        options: {members: 3}              # all that is set: what stands here no more has its default again
        secrets: [mail]                    # names of secrets that it may have (`upcall secret set mail`)
        greetings:                         # contents, of a kind that the package names (topics, keyspaces, jobs)
          morning: {text: {file: morning.txt}}    # the text of a file beside this one
        bindings: {store: archive}         # need -> service; default: a service of the need's own name
    actions:                               # one after the other, each when its service is deployed
      - {service: greeter, action: greet, arguments: {name: you}}
    sizes:                                 # optional: the first that fits is taken, and said
      - {name: full}
      - {name: small, requires: {memory_mib: 3072}, options: {greeter: {members: 1}}}

Services are installed at the same time. A mistake is named with its line, its key, and what would be right.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from upcall.cli.located import line_of, named
from upcall.cli.output import nearest
from upcall.protocol.errors import DoesNotFit, Invalid
from upcall.protocol.numbers import counted
from upcall.protocol.operator import NAME, NAME_WORDS, Install

FILE_BYTES_MAX: Final = 1 << 20


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Requires(Part):
    """What must be there, in all."""

    cpus: float = Field(default=0, ge=0)
    """Cores."""
    memory_mib: int = Field(default=0, ge=0)
    """On all nodes together."""
    disk_mib: int = Field(default=0, ge=0)
    """Free where the data folder is; of a cluster elsewhere it is not known."""
    nodes: int = Field(default=0, ge=0)
    """That are up."""

    def words(self) -> str:
        parts = [
            counted(self.nodes, "node") if self.nodes else "",
            counted(self.cpus, "core") if self.cpus else "",
            f"{self.memory_mib / 1024:.1f} GiB memory" if self.memory_mib else "",
            f"{self.disk_mib / 1024:.1f} GiB disk" if self.disk_mib else "",
        ]
        return ", ".join(filter(None, parts))

    def missing(self, has: "Requires") -> list[str]:
        """What is not there, each with what is."""
        names = {"nodes": "nodes", "cpus": "cores", "memory_mib": "MiB of memory", "disk_mib": "MiB of free disk"}
        return [
            f"{getattr(self, key):g} {words} (here: {getattr(has, key):g})"
            for key, words in names.items()
            if getattr(self, key) > getattr(has, key) and (key != "disk_mib" or has.disk_mib)
        ]


class ServiceItem(Part):
    """One service, as ``upcall install`` takes it, and what it holds: each kind (topics, jobs) by its own name."""

    model_config = ConfigDict(extra="allow")

    package: str = Field(min_length=1, max_length=200)
    """As ``upcall catalog list`` names it; or the path of a Python file or folder of one's own (``./hello.py``)."""
    name: str = Field(default="", max_length=40)
    """Of the service; default: the package's, or the file's."""
    version: str = Field(default="", max_length=40)
    """Of the package; default: the newest."""
    options: dict[str, Any] = {}
    """As ``--set`` sets them."""
    goals: dict[str, Any] = {}
    """As ``--goal`` states them: the service's code makes options of them."""
    bindings: dict[str, str] = {}
    """Need -> service; default: a service of the need's own name."""
    secrets: list[str] = []
    """Names of secrets (``upcall secret set``) that it is granted."""

    _registered_as: str = PrivateAttr(default="")
    """Version of a file of one's own; no other is meant."""

    @model_validator(mode="before")
    @classmethod
    def _goals_are_an_option(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("goals"), dict) and given["goals"]:
            options = given.get("options") or {}
            return {**given, "options": {**options, "goals": given["goals"]}} if isinstance(options, dict) else given
        return given

    @model_validator(mode="after")
    def _others_are_contents(self) -> "ServiceItem":
        for kind, things in (self.model_extra or {}).items():
            if not isinstance(things, dict) or not all(isinstance(one, dict | None) for one in things.values()):
                raise PydanticCustomError("unknown_key", kind)
        return self

    @property
    def service(self) -> str:
        return self.name or (Path(self.package).stem.replace("_", "-") if self.is_path else self.package)

    @property
    def is_path(self) -> bool:
        return self.package.endswith(".py") or "/" in self.package

    @property
    def registered_as(self) -> str:
        return self._registered_as

    def of_package(self, package: str, version: str) -> "ServiceItem":
        """The same, once its file has become a package."""
        made = self.model_copy(update={"name": self.service, "package": package, "version": version})
        made._registered_as = version
        return made

    @property
    def contents(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Kind -> name -> what is wanted of it."""
        return {
            kind: {str(name): wanted or {} for name, wanted in things.items()}
            for kind, things in (self.model_extra or {}).items()
        }

    def install(self, platform: str = "") -> Install:
        return Install(
            package=self.package,
            name=self.service,
            version=self.version,
            options=self.options,
            bindings=self.bindings,
            secrets=self.secrets,
            platform=platform,
        )


class ActionItem(Part):
    """What a service is asked, as ``upcall service do`` asks it."""

    service: str
    """By its name in this file."""
    action: str
    """As ``upcall service show`` names it."""
    arguments: dict[str, Any] = {}
    """By name."""


class Size(Part):
    """A smaller form of the whole, for a smaller machine."""

    name: str
    """Said when it is the one that is taken."""
    requires: Requires = Requires()
    """In place of the general ones, key by key."""
    options: dict[str, dict[str, Any]] = {}
    """Service -> options over those of the service."""


class Composition(Part):
    """The file as a whole."""

    name: str = Field(default="", max_length=40)
    """Of the platform. What is made is remembered under it, so that ``--prune`` removes nothing else."""
    requires: Requires = Requires()
    """Checked before anything is installed."""
    services: list[ServiceItem] = Field(min_length=1, max_length=100)
    """Installed at the same time."""
    actions: list[ActionItem] = Field(default=[], max_length=1000)
    """One after the other, each when its service is deployed."""
    sizes: list[Size] = Field(default=[], max_length=10)
    """The first that fits is taken."""

    _tree: yaml.Node | None = PrivateAttr(default=None)
    _where: str = PrivateAttr(default="")
    _folder: Path | None = PrivateAttr(default=None)

    def seen_from(self, path: str) -> Path | None:
        """A path that the file names; without a folder of its own it names none."""
        return self._folder / path if self._folder is not None else None

    def place(self, *location: int | str) -> str:
        """File and line of a part of it, for errors."""
        return f"{self._where} line {line_of(self._tree, location)}"

    def place_of(self, service: str, *location: int | str) -> str:
        at = next(at for at, one in enumerate(self.services) if one.service == service)
        return self.place("services", at, *location)

    def needs(self) -> "list[Requires]":
        """Of each size in turn: its own requirements replace the general ones key by key."""
        return [
            self.requires.model_copy(update=size.requires.model_dump(exclude_unset=True)) for size in self.sizes
        ] or [self.requires]


def load(path: Path) -> Composition:
    """The file, checked as far as that is possible without a cluster."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Invalid(
            f"the platform file cannot be read: {error.strerror}",
            where=str(path),
            expected="a file in YAML (`upcall export` writes one from what runs)",
        ) from None
    if len(data) > FILE_BYTES_MAX:
        raise Invalid(
            f"{len(data)} bytes", where=str(path), expected=f"a platform file of at most {FILE_BYTES_MAX} bytes"
        )
    try:
        return parse(data.decode(), str(path), path.parent)
    except UnicodeDecodeError:
        raise Invalid("not a text file", where=str(path), expected="YAML in UTF-8") from None


def parse(text: str, where: str, folder: Path | None = None) -> Composition:
    """``folder``: where files that it names are; without, it may name none."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Invalid(f"not YAML: {error.problem}", where=f"{where} line {line}") from None
    except yaml.YAMLError as error:
        raise Invalid(f"not YAML: {error}", where=where) from None
    if not isinstance(content, dict):
        raise Invalid("not a platform file", where=where, expected="a map with the key `services`")
    try:
        found = Composition.model_validate(content)
    except ValidationError as error:
        raise named(error, tree, where, _keys) from None
    found._tree, found._where, found._folder = tree, where, folder
    _check_names(found, tree, where)
    _read_files(found, folder)
    return found


def fitting(composition: Composition, has: Requires) -> tuple[Composition, str]:
    """The composition in the first of its sizes that fits, and which that is and why; else what is missing."""
    lacking = composition.requires.missing(has)
    if not composition.sizes and not lacking:
        return composition, ""
    passed: list[str] = []
    for size, need in zip(composition.sizes, composition.needs(), strict=False):
        if lacking := need.missing(has):
            passed.append(f"{size.name} needs {' and '.join(lacking)}")
            continue
        services = [
            one.model_copy(update={"options": {**one.options, **size.options.get(one.service, {})}})
            for one in composition.services
        ]
        words = "; ".join([f"size {size.name}", *passed[-1:]])
        return composition.model_copy(update={"services": services, "requires": need}), words
    raise DoesNotFit(
        f"the platform needs {'; '.join(lacking)}",
        where="requires",
        expected="a larger machine, or a smaller platform",
    )


def _keys(location: Sequence[int | str]) -> str:
    """The known key that is nearest to the one at this location."""
    parts: dict[str, type[BaseModel]] = {
        "services": ServiceItem, "actions": ActionItem, "sizes": Size, "requires": Requires,
    }  # fmt: skip
    names = [one for one in location[:-1] if isinstance(one, str)]
    model = parts.get(names[-1], Composition) if names else Composition
    return nearest(str(location[-1]), model.model_fields)


def _check_names(found: Composition, tree: yaml.Node | None, where: str) -> None:
    import re

    names: set[str] = set()
    for at, one in enumerate(found.services):
        line = f"{where} line {line_of(tree, ('services', at, 'name' if one.name else 'package'))}"
        if not re.match(NAME, one.service):
            raise Invalid(f"not a service's name: {one.service!r}", where=line, expected=NAME_WORDS)
        if one.service in names:
            raise Invalid(
                f"two services are named {one.service!r}", where=line, expected="another `name` for one of them"
            )
        names.add(one.service)
    for at, action in enumerate(found.actions):
        if action.service not in names:
            line = f"{where} line {line_of(tree, ('actions', at, 'service'))}"
            raise Invalid(
                f"an action of {action.service!r}, which is no service here",
                where=line,
                expected=nearest(action.service, names),
            )
    for at, size in enumerate(found.sizes):
        for service in size.options:
            if service not in names:
                line = f"{where} line {line_of(tree, ('sizes', at, 'options', service))}"
                raise Invalid(
                    f"options of {service!r}, which is no service here", where=line, expected=nearest(service, names)
                )


def _read_files(found: Composition, folder: Path | None) -> None:
    """``{file: job.py}`` in place of a text is the text of that file."""
    for item in found.services:
        for kind, name, wanted, argument in _of_files(item):
            place = found.place_of(item.service, kind, name, argument)
            path = wanted[argument]["file"]
            if folder is None:
                raise Invalid(f"{argument} names a file", where=place, expected="its text: this has no folder")
            try:
                data = (folder / path).read_bytes()
                if len(data) > FILE_BYTES_MAX:
                    raise Invalid(f"{path} has {len(data)} bytes", where=place, expected=f"at most {FILE_BYTES_MAX}")
                wanted[argument] = data.decode()
            except OSError as error:
                raise Invalid(
                    f"{path}: {error.strerror}", where=place, expected=f"a text file, seen from {folder}"
                ) from None
            except UnicodeDecodeError:
                raise Invalid(f"{path} is not text", where=place, expected="a file in UTF-8") from None


def _of_files(item: ServiceItem) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    for kind, things in (item.model_extra or {}).items():
        for name, wanted in things.items():
            for argument, value in (wanted or {}).items():
                if isinstance(value, dict) and set(value) == {"file"} and isinstance(value["file"], str):
                    yield kind, str(name), wanted, argument
