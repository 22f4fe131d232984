"""The keeper imports the standard library alone."""

import subprocess
import sys
from pathlib import Path

import upcall.keeper

PART = Path(upcall.keeper.__file__).parent


def test_every_module_loads_without_installed_packages_and_without_any_other_part_of_ours() -> None:
    modules = sorted(f"upcall.keeper.{path.stem}" for path in PART.glob("*.py") if not path.stem.startswith("__"))
    assert "upcall.keeper.supervisor" in modules
    program = (
        "import importlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "[importlib.import_module(name) for name in sys.argv[2:]]\n"
        "print(*sorted(name for name in sys.modules if name.startswith('upcall')))\n"
    )
    command = [sys.executable, "-S", "-E", "-c", program, str(PART.parent.parent), *modules]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert loaded == sorted(["upcall", "upcall.keeper", *modules])


def test_the_launcher_stays_small() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import upcall.keeper.launcher\n"
        "print(*({'asyncio', 'pathlib', 'dataclasses', 'inspect', 'logging', 'subprocess'} & set(sys.modules)))"
    )
    command = [sys.executable, "-S", "-E", "-c", program, str(PART.parent.parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == []
