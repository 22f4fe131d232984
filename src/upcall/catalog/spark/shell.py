"""PySpark's own shell: ``python -m upcall.catalog.spark.shell FILE PYTHON SITE JARS JAVA OPTIONS``, with where and as
whom in a file.

It runs in what the cluster's own drivers run in, as it lies in the cache: the same Spark, Python with pandas, numpy and
pyarrow, and a Java. Nothing has to be installed.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upcall.catalog import jvm
from upcall.catalog.spark import config

OUR_PYTHON: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSAFEPATH")
"""What leads a Python to other libraries than its own."""
RUNTIME: Final = (config.PYTHON, "{{artifact.pyspark.site}}", config.JARS, jvm.JAVA, jvm.ARCHIVE)


@dataclass(frozen=True)
class Runtime:
    """What :data:`RUNTIME` stands for on this machine."""

    python: str
    site: str
    jars: str
    java: str
    options: str


def java_home(folder: Path) -> Path:
    """A Java whose ``java`` has the class path that the class archive was made with."""
    launcher = folder / "java" / "bin" / "java"
    launcher.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    launcher.write_text(config.source("java_launcher.sh"))
    launcher.chmod(0o700)
    return folder / "java"


def environment(found: Runtime, settings: Path) -> dict[str, str]:
    home = f"{found.site}/pyspark"
    return {
        **{name: value for name, value in os.environ.items() if name not in OUR_PYTHON},
        "SPARK_HOME": home,
        "JAVA_HOME": str(java_home(settings.parent)),
        "UPCALL_JAVA": found.java,
        "UPCALL_JAVA_OPTIONS": found.options,
        "SPARK_CLASSPATH_LIST": found.jars,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": found.python,
        "PYSPARK_DRIVER_PYTHON": found.python,
        "PYSPARK_SUBMIT_ARGS": f'--properties-file "{settings}" pyspark-shell',
        "PYTHONSTARTUP": f"{home}/python/pyspark/shell.py",
        "PYTHONHASHSEED": "0",
    }


def main() -> None:
    file, *runtime = sys.argv[1:]
    found = Runtime(*runtime)
    # -i: also of what is not typed but piped in, a shell is made.
    os.execve(found.python, [found.python, "-i"], environment(found, Path(file).resolve()))


if __name__ == "__main__":
    main()
