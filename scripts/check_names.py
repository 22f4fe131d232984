"""No system's name outside the folders that are about systems; no registry's address and no machine's path anywhere.

The core must not know what it hosts: a name of a hosted system in it is knowledge in the wrong place.
"""

import re
import subprocess
import sys
from pathlib import Path

SYSTEMS = re.compile(r"\b(kafka|cassandra|spark|pekko|flink|zookeeper|redis|elasticsearch)\b", re.IGNORECASE)
ALLOWED = ("src/upcall/catalog/", "src/upcall/fastdata/")
EXAMPLE = re.compile(r"``[^`]*``|\{\{[^}]*\}\}|\"\"\".*?\"\"\"|#.*?$", re.DOTALL | re.MULTILINE)
"""Docstrings and comments may give examples; code may not."""
REGISTRY = re.compile(
    r"https?://[^\s\"')]*(pypi|pythonhosted|repo1?\.maven|maven\.apache\.org/maven2|npmjs|crates\.io|deb\.debian)"
)
MACHINE = re.compile(r"/(root|home/[a-z]+|work)/[A-Za-z.]")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listed.split("\0") if name and Path(name).is_file()]


def without_prose(source: str) -> str:
    """The source with docstrings and comments blanked, line numbers kept."""
    return EXAMPLE.sub(lambda match: "\n" * match.group().count("\n"), source)


def findings() -> list[str]:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            found.append(f"{path}: a binary file")
            continue
        name = path.as_posix()
        if name == "scripts/check_names.py":
            continue
        if name.startswith("src/upcall/") and name.endswith(".py") and not name.startswith(ALLOWED):
            for number, line in enumerate(without_prose(text).splitlines(), 1):
                if match := SYSTEMS.search(line):
                    found.append(f"{name}:{number}: the name of a hosted system ({match.group()}) in the core")
        for number, line in enumerate(text.splitlines(), 1):
            if REGISTRY.search(line):
                found.append(f"{name}:{number}: the address of a registry")
            if MACHINE.search(line):
                found.append(f"{name}:{number}: a path of a particular machine")
    return found


if __name__ == "__main__":
    problems = findings()
    print("\n".join(problems) or "names: nothing found that does not belong")
    sys.exit(bool(problems))
