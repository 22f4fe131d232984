"""Runs at the start of each of Spark's Python processes (as ``sitecustomize``).

Spark puts archives on the path of its Python workers: its own library as a zip and the spark-core jar. After every
task a worker forgets its import caches, and each archive is then read anew: 70 % of a small task's time. The library
is installed in the environment anyway, so the archives are dropped before anything was imported from them.

What the daemon imported before it forks its workers is kept out of the garbage collections that workers make after
every task; the pages also stay shared.
"""

import gc
import os
import sys

sys.path[:] = [entry for entry in sys.path if not entry.endswith((".zip", ".jar"))]
os.register_at_fork(before=gc.freeze)
