"""``upcall new``: the folder of a service of one's own, which runs and whose tests pass as they are.

The folder appears whole or not at all: it is written beside its place, and renamed.
"""

import contextlib
import importlib.machinery
import keyword
import os
import pkgutil
import re
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from upcall.cli.main import COMMANDS
from upcall.cli.session import Session, command, commands
from upcall.protocol.errors import Conflict, Forbidden, Invalid, NotFound

new_app = commands()
APPS = {"new": new_app}

NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""A Python module's, whose words with a dash between them are a service's."""
NAME_CHARS_MAX: Final = 40
PATTERNS: Final = Path(__file__).parent / "new_service"


@command(new_app, "new")
def new(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the folder, here or by its path: my_service.")],
) -> None:
    """Write a service of your own: options, members, a program, tests. `upcall install ./NAME` runs it as it is."""
    folder = Path(name)
    _check_name(folder.name or name)
    files = texts(folder.name)
    _write(folder, files)
    service = folder.name.replace("_", "-")
    path = name if "/" in name else f"./{name}"
    words = (
        f"{path} is written: {', '.join(one for one in files if one != '__init__.py')}\n"
        f"  upcall install {path}    runs it as service {service}; again after an edit, it is updated\n"
        f"  pytest {path}            its tests"
    )
    session.out.say({"folder": str(folder.absolute()), "service": service, "files": list(files)}, words)


def texts(name: str) -> dict[str, str]:
    """File -> what stands in it, of a service in the folder ``name``."""
    to = {"service.py": "service.py", "server.py": "blobs/server.py", "test.py": f"test_{name}.py"}
    words = {
        "greeter-name": name.replace("_", "-"),
        "Greeter": "".join(one[:1].upper() + one[1:] for one in name.split("_")),
    }
    found = {"__init__.py": ""}
    for pattern, file in to.items():
        text = (PATTERNS / f"{pattern}.txt").read_text("utf-8")
        for word, own in words.items():
            text = text.replace(word, own)
        found[file] = text
    return found


def _check_name(name: str) -> None:
    if (why := _wrong_with(name)) is None:
        return
    raise Invalid(f"{name!r} {why}", where="NAME", expected=f"{_nearest(name)}, for example")


def _wrong_with(name: str) -> str | None:
    if not NAME.fullmatch(name) or len(name) > NAME_CHARS_MAX:
        right = f"lower-case letters, digits, single '_', at most {NAME_CHARS_MAX} in all"
        return f"names no Python module that can be a service: {right}"
    if keyword.iskeyword(name):
        return "is a word of Python's own"
    if name.replace("_", "-") in COMMANDS:
        return "is a command of upcall's"
    if name in _packages():
        return "is a package of the catalog"
    # It would hide that one from the tests, or be hidden by it.
    if name in sys.stdlib_module_names or importlib.machinery.PathFinder.find_spec(name, _elsewhere()) is not None:
        return "is a Python module that is here already"
    return None


def _packages() -> frozenset[str]:
    """Of the catalog, and of the distributions that are installed beside it."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    from upcall.service.package import ENTRY_POINTS

    catalog = find_spec("upcall.catalog")
    folders: Iterable[str] = (catalog.submodule_search_locations or ()) if catalog else ()
    ours = (one.name for one in pkgutil.iter_modules(folders) if one.ispkg)
    return frozenset((*ours, *(one.name.replace("-", "_") for one in entry_points(group=ENTRY_POINTS))))


def _elsewhere() -> list[str]:
    here = Path.cwd()
    return [one for one in sys.path if one and Path(one).absolute() != here]


def _nearest(name: str) -> str:
    """A name that is right, and as like it as can be."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    humps = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()
    found = re.sub(r"[^a-z0-9]+", "_", humps).strip("_")[:NAME_CHARS_MAX].strip("_") or "service"
    if _wrong_with(found) is not None:
        found = f"my_{found}"[:NAME_CHARS_MAX].strip("_")
    return found


def _write(folder: Path, files: dict[str, str]) -> None:
    if folder.exists() or folder.is_symlink():
        raise Conflict(f"{folder} is there already", where=str(folder), expected="another name; nothing was changed")
    parent = folder.parent
    if not parent.is_dir():
        raise NotFound(f"there is no folder {parent}", where=str(folder), expected="a folder that is there")
    staging: Path | None = None
    try:
        staging = Path(tempfile.mkdtemp(dir=parent, prefix=f".{folder.name}."))
        for name, text in files.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_text(text, "utf-8")
        staging.chmod(0o777 & ~_umask())  # that of a temporary folder is its owner's alone
        staging.rename(folder)
        staging = None
    except OSError as error:
        words = error.strerror or str(error)
        right = "a folder that can be written to; nothing was changed"
        raise Forbidden(f"{folder} cannot be written: {words}", where=str(parent), expected=right) from None
    finally:
        if staging is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(staging)


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found
