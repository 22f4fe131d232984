"""How drivers of one's own connect to a Spark, as it stands.

All of it is in a file for its owner alone, which Spark reads itself (``--properties-file``): given as a setting, the
secret would stand on the command line of the driver's Java.
"""

from typing import Final

from upcall.catalog.spark import config
from upcall.catalog.spark.shell import RUNTIME
from upcall.catalog.spark.sizing import EXECUTOR_HEAP_MIB_MIN
from upcall.service import Client

FILE: Final = "spark.properties"
SETTINGS: Final = {
    "spark.master": "spark://{{addresses}}",
    "spark.authenticate": "true",
    "spark.authenticate.secret": "{{password}}",
    # A cluster's members are on this machine, and on loopback.
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    # What has room on the smallest worker, beside other jobs.
    "spark.cores.max": "1",
    "spark.executor.cores": "1",
    "spark.executor.memory": f"{EXECUTOR_HEAP_MIB_MIN}m",
    "spark.executor.extraJavaOptions": config.executor_options(),
    "spark.executor.processTreeMetrics.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
PROPERTIES: Final = "".join(f"{name}={value}\n" for name, value in SETTINGS.items())
PYSPARK: Final = f"""\
import os

os.environ["PYSPARK_SUBMIT_ARGS"] = '--properties-file "{{{{folder}}}}/{FILE}" pyspark-shell'
from pyspark.sql import SparkSession  # pyspark=={{{{version}}}}, with Java 17; `upcall connect` has both

spark = SparkSession.builder.getOrCreate()
print(spark.range(1000).count())"""

CLIENTS: Final = (
    Client(
        "PySpark", "master", PYSPARK, {FILE: PROPERTIES},
        shell=("{{python}}", "-m", "upcall.catalog.spark.shell", f"{{{{folder}}}}/{FILE}", *RUNTIME),
    ),
    Client("Spark's own tools", "master", f'spark-submit --properties-file "{{{{folder}}}}/{FILE}" my_job.py',
           {FILE: PROPERTIES}),
)  # fmt: skip
