"""No system's name outside the folders that are about systems; no part that is offered by entry points named by
another; no registry's address and no machine's path anywhere.

The core must not know what it hosts: a name of a hosted system in it is knowledge in the wrong place. That holds for
all of its text, whatever the language: code, strings, comments, docstrings, what the page loads. An example in the
core is about nobody in particular.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CORE = "src/upcall/"
ALLOWED = ("src/upcall/catalog/", "src/upcall/fastdata/", "src/upcall/pytest/systems/")
SYSTEMS = re.compile(
    r"kafka|cassandra|zookeeper|elasticsearch|pekko|flink"
    r"|spark(?!l)"  # A sparkline is a picture.
    r"|redis(?![a-z])",  # To redistribute is a verb.
    re.IGNORECASE,
)
"""Also as a part of a longer name."""
PLUG_IN = "src/upcall/fastdata/"
PLUG_IN_NAME = re.compile("fastdata")
"""It offers its services, its demo and its tab by entry points (``pyproject.toml``), as another distribution would."""
REGISTRY = re.compile(
    r"https?://[^\s\"')]*(pypi|pythonhosted|repo1?\.maven|maven\.apache\.org/maven2|npmjs|crates\.io|deb\.debian)"
)
MACHINE = re.compile(r"/(root|home/[a-z]+|work)/[A-Za-z.]")
ITSELF = "scripts/check_names.py"


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listed.split("\0") if name and Path(name).is_file()]


def in_text(name: str, text: str) -> Iterator[str]:
    """What does not belong into the file ``name`` (its path in the checkout)."""
    core = name.startswith(CORE) and not name.startswith(ALLOWED)
    others = name.startswith(CORE) and not name.startswith(PLUG_IN)
    for number, line in enumerate(text.splitlines(), 1):
        if others and PLUG_IN_NAME.search(line):
            yield f"{name}:{number}: a part that is offered by entry points is named"
        if core and (match := SYSTEMS.search(line)):
            yield f"{name}:{number}: the name of a hosted system ({match.group()}) in the core"
        if REGISTRY.search(line):
            yield f"{name}:{number}: the address of a registry"
        if MACHINE.search(line):
            yield f"{name}:{number}: a path of a particular machine"


def findings() -> list[str]:
    found: list[str] = []
    for path in tracked():
        name = path.as_posix()
        if name == ITSELF:
            continue
        try:
            found += in_text(name, path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            found.append(f"{name}: a binary file")
    return found


if __name__ == "__main__":
    problems = findings()
    print("\n".join(problems) or "names: nothing found that does not belong")
    sys.exit(bool(problems))
