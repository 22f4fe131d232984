"""What a person may choose of Spark, and of a job."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from upcall.catalog.spark.settings import OF_VERSION
from upcall.service import ServiceOptions, amount, in_place, size


class SparkOptions(ServiceOptions):
    workers: Annotated[int, size("worker")] = Field(1, ge=1, le=100, description="workers, each on a node of its own")
    cores: Annotated[int, amount("cores")] = Field(2, ge=1, le=64, description="tasks that a worker runs at once")
    memory_mib: Annotated[int, amount("memory")] = Field(
        1200, ge=1016, le=262_144, description="memory of each worker, with its executors"
    )
    cpus: Annotated[float, amount("cpus"), in_place] = Field(
        0.5, gt=0, le=64, description="share of the cores of each worker"
    )
    master_memory_mib: Annotated[int, amount("memory")] = Field(
        256, ge=224, le=8192, description="memory of the master"
    )
    settings: Annotated[dict[str, str], OF_VERSION] = Field(
        default={}, description="Spark's own settings, over those made here"
    )
    unchecked_settings: dict[str, str] = Field(
        default={}, description="settings that Spark itself does not know, of a library for instance"
    )


DIGEST: Final = r"^([0-9a-f]{64})?$"
PARTS: Final = ("bundle", "requirements", "packages", "files")
"""What of a job lies in blobs."""
TAKEN: Final = frozenset(
    {"log4j2.properties", "java", "python", "program.py", "job.zip", "job", "driver_start.py", "held", "local", "tmp",
     "work", "application.log", "progress.log", "job-libraries", "hooks"}
)  # fmt: skip
"""Names in a driver's working folder that are not a person's to give."""


class Job(BaseModel):
    """A job: a Python program whose driver is kept running."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: str = Field("", max_length=256_000, description="text of the Python program")
    bundle: str = Field("", pattern=DIGEST, description="or SHA-256 of a blob with a folder (zip) or a wheel of it")
    arguments: list[str] = Field(
        default=[], description="its arguments; may name {{endpoint.kafka.client}}, {{volume.checkpoint}} and the like"
    )
    env: dict[str, str] = Field(default={}, description="its environment")
    cores: int = Field(1, ge=1, le=1024, description="tasks at once, over all workers")
    executor_memory_mib: int = Field(480, ge=480, le=131_072, description="heap of each executor")
    memory_mib: int = Field(832, ge=800, le=65_536, description="memory of the driver")
    disk_mib: int = Field(256, ge=0, description="volume {{volume.checkpoint}}")
    restart: Literal["always", "on-failure", "never"] = Field(
        "always", description="on-failure, never: it ends when it has done its work"
    )
    requirements: str = Field("", pattern=DIGEST, description="SHA-256 of a lock of Python libraries")
    packages: str = Field("", pattern=DIGEST, description="SHA-256 of a lock of Maven packages")
    files: dict[str, Annotated[str, Field(pattern=DIGEST)]] = Field(
        default={}, description="name -> SHA-256 of a blob: files in its working folder"
    )
    run: int = Field(0, ge=0, description="how often it was submitted again")
    settings: Annotated[dict[str, str], OF_VERSION] = Field(default={}, description="Spark's settings of this job")
    unchecked_settings: dict[str, str] = Field(
        default={}, description="settings that Spark itself does not know, of a library for instance"
    )

    @model_validator(mode="after")
    def _runs_something(self) -> Self:
        if bool(self.program) == bool(self.bundle):
            raise ValueError("program: a text, or a bundle: one of the two")
        for name in self.files:
            if name in TAKEN or name.startswith(".") or not re.fullmatch(r"[^/\x00-\x1f]{1,200}", name):
                raise ValueError(f"files: {name!r} cannot be the name of a file of a job")
        return self
