"""What a job brings with it: its program, libraries, jars and files, as parts of its driver's task.

Executors run in their worker's sandbox and see no folder of the driver's: what they need of it Spark carries to them
(``spark.archives``, ``spark.jars``, ``spark.files``, ``spark.submit.pyFiles``), into their own working folders.
"""

from dataclasses import dataclass, field
from typing import Final

from upcall.catalog import jvm
from upcall.catalog.spark import config, job_hooks
from upcall.catalog.spark.options import Job
from upcall.protocol.declaration import Artifact, File

PYTHON_PATH: Final = f"{{{{sandbox}}}}/hooks:{config.environment()['PYTHONPATH']}"
FATAL: Final = (rf"^{job_hooks.ENDED_BY}(.*)", jvm.NO_MEMORY)
"""Lines that say why a driver ended: first the one that its program's own exception wrote."""
LIBRARIES: Final = "job-libraries"
"""Folder of an executor's working folder in which they are unpacked."""
OF_EXECUTORS: Final = f"{LIBRARIES}:../../../python"
"""Relative to that folder, which is ``work/APPLICATION/NUMBER`` in its worker's sandbox: what is set here replaces what
the worker has there, its own start of Python (``python_start.py``)."""
RUN: Final = "UPCALL_RUN"
"""Told to each run of a job: a job that is submitted again runs again, also when nothing of it is another."""


@dataclass
class Parts:
    files: tuple[File, ...]
    env: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()


def of(job: Job) -> Parts:
    found = Parts(
        files=(
            File(path="program.py", text=job.program or config.source("job_start.py"), verbatim=True),
            File(path="hooks/sitecustomize.py", text=config.source("job_hooks.py"), verbatim=True),
        ),
        env={"PYTHONPATH": PYTHON_PATH},
    )
    if job.bundle:
        found.files += (File(path="job.zip", blob=job.bundle),)
        found.settings["spark.submit.pyFiles"] = "{{sandbox}}/job.zip"
    if job.requirements:
        found.artifacts += (Artifact(name="requirements", kind="libraries", lock=job.requirements),)
        found.env["PYTHONPATH"] = f"{PYTHON_PATH}:{{{{artifact.requirements.site}}}}"
        found.settings["spark.archives"] = f"{{{{artifact.requirements.archive}}}}#{LIBRARIES}"
        found.settings["spark.executorEnv.PYTHONPATH"] = OF_EXECUTORS
    if job.packages:
        found.artifacts += (Artifact(name="packages", kind="maven", lock=job.packages),)
        found.settings["spark.jars"] = "{{artifact.packages.jars}}"
    if job.files:
        found.files += tuple(File(path=name, blob=digest) for name, digest in sorted(job.files.items()))
        found.settings["spark.files"] = ",".join(f"{{{{sandbox}}}}/{name}" for name in sorted(job.files))
    if job.run:
        found.env[RUN] = str(job.run)
    return found
