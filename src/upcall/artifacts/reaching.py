"""Whether the registries can be reached from here: each is asked by its own tool, with its user's settings."""

import os
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final, NamedTuple

from upcall.artifacts.errors import ArtifactError
from upcall.artifacts.python_tool import find_uv, uv_environment

WAIT_S: Final = 30.0
SHOWN: Final = 200
ASKED_FOR: Final = "pip"
"""A distribution that every registry of Python has."""


class Reached(NamedTuple):
    registry: str
    where: str
    why_not: str
    """Empty: it answers."""


def all_of() -> list[Reached]:
    return [_python(), *_java()]


def _python() -> Reached:
    """Runtimes of Java come from it too."""
    name = "the Python registry"
    try:
        with tempfile.TemporaryDirectory() as cache:  # nothing that was heard before
            done = subprocess.run(
                [find_uv(), "pip", "compile", "--quiet", "--no-progress", "--no-config", "--no-deps", "-"],
                input=ASKED_FOR, env=uv_environment(Path(cache)), capture_output=True, text=True, timeout=WAIT_S,
                check=False,
            )  # fmt: skip
    except ArtifactError as error:
        return Reached(name, "", error.problem.message)
    except subprocess.TimeoutExpired:
        return Reached(name, "", f"no answer within {WAIT_S:g} s")
    said = " ".join(done.stderr.split())[:SHOWN]
    where = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or ""
    return Reached(name, where, said if done.returncode else "")


def _java() -> list[Reached]:
    """The repositories that jars come from."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    context = MavenContext()
    context.remote_repos.update(GlobalSettings.load().repositories)
    return [
        Reached(f"the Maven repository {name}", str(url), _asked(str(url)))
        for name, url in context.remote_repos.items()
    ]


def _asked(url: str) -> str:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=WAIT_S).close()
    except urllib.error.HTTPError:
        return ""  # It answers; not every repository has something at its top.
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))[:SHOWN]
    return ""
