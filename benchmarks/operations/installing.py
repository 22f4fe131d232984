"""The system that is measured is installed as a person does it, or one that is sabotaged in its place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.driven import Driven

ALL_AT_ONCE: Final = """\
import msgspec

from upcall.catalog.{module}.service import {name}
from upcall.service import accept


class Sabotaged({name}):
    \"\"\"The same, but its code accepts everything at once.\"\"\"

    package = "{module}-sabotaged"

    @classmethod
    def folder(cls):
        return {name}.folder()  # Its locked artifacts are the catalog's.

    async def answer_set(self, operations):
        return {{operation.id: accept("sabotaged: always") for operation in operations}}

    def policy(self):
        return msgspec.structs.replace(super().policy(), minimum=0)
"""


def install(system: Driven, version: str, code: str, options: Mapping[str, Any]) -> None:
    """``code``: of a service of a user's own, which builds on the catalog's and is named as it."""
    package = f"{system.service}@{version}"
    # With the class archive, which nothing else makes: members as they are in use, also after an upgrade.
    system.upcall("fetch", package, system.service)
    if code:
        file = Path(system.cluster.data).parent / "sabotaged.py"
        file.write_text(code)
        package = str(file)
    words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    system.upcall("install", package, "--name", system.service, *words)
