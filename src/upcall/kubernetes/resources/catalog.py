"""Which packages of the catalog have a kind: by their folders, and nothing of them is imported."""

import importlib.util
import pkgutil
from functools import lru_cache
from pathlib import Path
from typing import Final

CATALOG: Final = "upcall.catalog"
LEFT_OUT: Final = ("workload",)
"""It is asked for by an annotation of somebody else's workload, and by nobody else."""


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    found = importlib.util.find_spec(CATALOG)
    folders = (found.submodule_search_locations or ()) if found else ()
    modules = [(folder, module) for folder in folders for module in pkgutil.iter_modules([folder])]
    services = {
        module.name
        for folder, module in modules
        if module.ispkg and (Path(folder) / module.name / "service.py").is_file()
    }
    return tuple(sorted(services - {*LEFT_OUT}))
