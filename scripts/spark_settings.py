"""Writes which settings a locked version of Spark knows and what each takes, asked from Spark itself.

    python scripts/spark_settings.py 4.1.1 > settings.txt
    mv settings.txt src/upcall/catalog/spark/versions/4.1.1/

Every entry of Spark's registers itself when the object that holds it is loaded, and converts a text to its value. So
the entries' names are asked from the register, and what each takes is found by giving it a few texts.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from upcall.artifacts.cache import Cache
from upcall.artifacts.fetch import fetch
from upcall.catalog.spark.config import module_flags
from upcall.catalog.spark.service import Spark

PROGRAM = Path(__file__).parent / "spark_entries.py"


def main() -> None:
    spark = Spark.at(sys.argv[1])
    artifacts = [spark.artifact(name) for name in ("java", "pyspark", "connector")]
    ready = fetch(artifacts, Cache(), spark.blobs().__getitem__)
    java, pyspark = ready["java"].properties, ready["pyspark"].properties
    jars = f"{pyspark['classpath']}:{ready['connector'].properties['classpath']}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "entries.json"
        command = [
            java["java"], "-Xmx1g", "-cp", jars, "org.apache.spark.deploy.SparkSubmit", "--master", "local[1]",
            "--conf", "spark.ui.enabled=false", "--conf", "spark.driver.host=127.0.0.1",
            "--conf", "spark.driver.bindAddress=127.0.0.1", str(PROGRAM), str(out),
        ]  # fmt: skip
        environment = {
            **os.environ, "PYSPARK_PYTHON": pyspark["python"], "PYSPARK_DRIVER_PYTHON": pyspark["python"],
            "SPARK_HOME": f"{pyspark['site']}/pyspark", "SPARK_LOCAL_IP": "127.0.0.1",
        }  # fmt: skip
        subprocess.run([command[0], *module_flags(), *command[1:]], env=environment, check=True, stdout=sys.stderr)
        found = json.loads(out.read_text())
    if found["version"] != spark.version:
        raise SystemExit(f"it says that it is {found['version']}")
    sys.stdout.writelines(f"{name} {found['settings'][name]}\n" for name in sorted(found["settings"]))


if __name__ == "__main__":
    main()
