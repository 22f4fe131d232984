"""Runs at the start of each of Spark's Python processes (as ``sitecustomize``).

Spark puts archives on the path of its Python workers: its own library as a zip and the spark-core jar. After every
task a worker forgets its import caches, and each archive is then read anew: 70 % of a small task's time. The library
is installed in the environment anyway, so these archives are dropped before anything was imported from them. A job's
own archives (``spark.submit.pyFiles``) stay.

What the daemon imported before it forks its workers is kept out of the garbage collections that workers make after
every task; the pages also stay shared.
"""

import gc
import os
import sys


def _is_sparks_own(entry: str) -> bool:
    name = entry.rpartition("/")[2]
    return name.endswith(".jar") or name == "pyspark.zip" or (name.startswith("py4j-") and name.endswith(".zip"))


sys.path[:] = [entry for entry in sys.path if not _is_sparks_own(entry)]
os.register_at_fork(before=gc.freeze)
