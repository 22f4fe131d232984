"""Templates ``{{name}}`` in commands, environment and files: names in, text out, and nothing else.

Rendered once and from left to right; what a name stands for is never rendered again. The names are those of
:mod:`upcall.protocol.declaration`; one that is unknown is an error that says which are near it.
"""

import re
import sys
from collections.abc import Mapping, Sequence

from upcall.protocol.agent import Launch
from upcall.protocol.errors import Invalid
from upcall.protocol.templates import BRACE, PATTERN, near


def render(text: str, names: Mapping[str, str], where: str) -> str:
    """``where`` says in the error whose text it was."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in names:
            return names[name]
        raise Invalid(f"unknown name {{{{{name}}}}}", where=where, expected=near(name, names))

    return PATTERN.sub(value, text)


def render_all(texts: Sequence[str], names: Mapping[str, str], where: str) -> list[str]:
    return [render(text, names, f"{where}[{index}]") for index, text in enumerate(texts)]


def render_map(texts: Mapping[str, str], names: Mapping[str, str], where: str) -> dict[str, str]:
    return {key: render(text, names, f"{where} {key}") for key, text in texts.items()}


def names_of(
    launch: Launch,
    *,
    node: str,
    attributes: Mapping[str, str],
    sandbox: str,
    volumes: Mapping[str, str],
    artifacts: Mapping[str, tuple[str, Mapping[str, str]]],
    secrets: Mapping[str, str],
) -> dict[str, str]:
    """All names that this launch's templates may use. Secrets are paths of files, never values."""
    declaration = launch.declaration
    incarnation = launch.task.rsplit(".", 1)[-1]
    names = {
        "address": launch.address,
        "hostname": launch.address,
        "sandbox": sandbox,
        "cpus": f"{declaration.resources.cpus:g}",
        "memory_mib": str(declaration.resources.memory_mib),
        "node": node,
        "zone": attributes.get("zone", ""),
        "incarnation": incarnation,
        "task": launch.task,
        "python": sys.executable,
        BRACE: "{",
    }
    names |= {f"attribute.{name}": value for name, value in attributes.items()}
    names |= {f"port.{port.name}": str(port.number) for port in declaration.ports}
    names |= {f"volume.{name}": path for name, path in volumes.items()}
    names |= {f"secret.{name}": path for name, path in secrets.items()}
    for name, (path, properties) in artifacts.items():
        names[f"artifact.{name}"] = path
        names |= {f"artifact.{name}.{key}": value for key, value in properties.items()}
    return names | launch.values
