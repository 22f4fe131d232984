"""What a person may choose of Spark, and of a job."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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


class Job(BaseModel):
    """A job: a Python program whose driver is kept running."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: str = Field(min_length=1, max_length=256_000, description="text of the Python program")
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
    settings: Annotated[dict[str, str], OF_VERSION] = Field(default={}, description="Spark's settings of this job")
    unchecked_settings: dict[str, str] = Field(
        default={}, description="settings that Spark itself does not know, of a library for instance"
    )
