"""Runs a job that is a folder with ``__main__.py``, or a wheel: ``job.zip`` beside this file.

A folder is unpacked, so that it finds its own data; a wheel's script is called, or its package is run.
"""

import configparser
import importlib
import runpy
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
JOB = HERE / "job.zip"


def main() -> None:
    with zipfile.ZipFile(JOB) as packed:
        names = packed.namelist()
        if "__main__.py" in names:
            packed.extractall(HERE / "job")
            runpy.run_path(str(HERE / "job"), run_name="__main__")
            return
        scripts = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
        told = configparser.ConfigParser(delimiters="=")
        told.optionxform = str  # type: ignore[assignment,method-assign]
        told.read_string(packed.read(scripts[0]).decode() if scripts else "")
    sys.path.insert(0, str(JOB))
    if told.has_section("console_scripts"):
        found = next(iter(dict(told["console_scripts"]).values()))
        module, _, function = found.partition("[")[0].strip().partition(":")
        sys.exit(getattr(importlib.import_module(module), function)())
    package = next(name.partition("/")[0] for name in names if name.count("/") == 1 and name.endswith("/__main__.py"))
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
