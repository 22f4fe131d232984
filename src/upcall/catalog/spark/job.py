"""A job of one's own as a service: for packages whose program runs on a Spark that somebody else installed.

A package that brings its own code, and connects to more than Spark, is a service with one member, the driver::

    class Windows(SparkJob):
        \"\"\"Frames from Kafka into seconds in Cassandra.\"\"\"

        kafka = Need("kafka", endpoint="client")
        modules = ("upcall.fastdata",)
        main = "upcall.fastdata.job"

        def arguments(self):
            return ["--kafka", str(self.kafka)]

``modules`` are packages whose sources go along, to the driver and to all executors, as one archive named by its hash.
The driver is restarted when it dies; its ``{{volume.checkpoint}}`` stays with it.
"""

import io
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import ClassVar

import msgspec

from upcall.catalog.locks import of_files
from upcall.catalog.spark.service import secret_of
from upcall.catalog.spark.task import artifact_blobs, artifacts, driver_task
from upcall.protocol.declaration import Artifact, Check, Declaration, File, Resources
from upcall.service import (
    Field,
    Member,
    Need,
    Operation,
    Pod,
    Policy,
    Service,
    ServiceOptions,
    Verdict,
    accept,
    restart,
)

PROGRAM = "import runpy\n\nrunpy.run_module({main!r}, run_name='__main__', alter_sys=True)\n"
SOURCES = "sources.zip"
_ANY_TIME = (1980, 1, 1, 0, 0, 0)


class SparkJobOptions(ServiceOptions):
    """What a person may choose of any job; packages add their own."""

    cores: int = Field(2, ge=1, le=1024, description="tasks at once, over all workers")
    executor_cores: int = Field(2, ge=1, le=64, description="tasks at once in one executor")
    executor_memory_mib: int = Field(512, ge=480, le=131_072, description="heap of each executor")
    memory_mib: int = Field(832, ge=800, le=65_536, description="memory of the driver")
    disk_mib: int = Field(256, ge=0, description="volume of the driver")
    settings: dict[str, str] = Field(default={}, description="Spark's settings of this job")


class SparkJob(Service):
    """A job on Spark (a base for packages)."""

    options: SparkJobOptions
    spark = Need("spark", endpoint="master")

    main: ClassVar[str] = ""
    """The module that is run."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Packages that go along with their sources."""
    ready: ClassVar[Check | None] = None

    def arguments(self) -> Sequence[str]:
        """Of the program; may hold templates."""
        return ()

    def environment(self) -> dict[str, str]:
        return {}

    def pods(self) -> list[Pod]:
        return [Pod("driver")]

    def policy(self) -> Policy:
        """A job holds no data: it reads on where it was."""
        return Policy(minimum=0, silence="proceed", holds_data=False, replace_after_s=self.options.replace_after_s)

    def task(self, member: Member) -> Declaration:
        options = self.options
        sources, _, _ = sources_of(self.modules)
        declaration = driver_task(
            master=f"spark://{self.spark}",
            application="{{sandbox}}/program.py",
            arguments=tuple(self.arguments()),
            cores=options.executor_cores,
            cores_max=options.cores,
            executor_memory_mib=options.executor_memory_mib,
            resources=Resources(cpus=0.5, memory_mib=options.memory_mib, disk_mib=options.disk_mib),
            secret=secret_of(self.spark.service),
            env=self.environment(),
            more_files=(File(path="program.py", text=PROGRAM.format(main=self.main)),),
            options={"spark.submit.pyFiles": "{{artifact.sources.file}}", **options.settings},
            artifacts=(*(artifact for artifact, _ in artifacts()), sources),
        )
        return msgspec.structs.replace(declaration, ready=self.ready)

    @classmethod
    def blobs(cls) -> dict[str, bytes]:
        artifact, lock, archive = sources_of(cls.modules)
        return {**super().blobs(), **artifact_blobs(), artifact.lock: lock, sha256(archive).hexdigest(): archive}

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        return accept("it reads on where it was")

    async def on_lost(self, member: Member, why: Operation) -> Verdict:
        return restart("it reads on where it was")


@lru_cache
def sources_of(modules: tuple[str, ...]) -> tuple[Artifact, bytes, bytes]:
    """The sources of these packages as an artifact: itself, its lock, and the archive that the lock names."""
    found: dict[str, bytes] = {}
    for module in modules:
        parts = module.split(".")
        for depth in range(1, len(parts)):
            parent = files(".".join(parts[:depth])) / "__init__.py"
            found["/".join(parts[:depth]) + "/__init__.py"] = parent.read_bytes() if parent.is_file() else b""
        _collect(files(module), "/".join(parts), found)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(found):
            archive.writestr(zipfile.ZipInfo(name, _ANY_TIME), found[name])
    data = buffer.getvalue()
    artifact, lock = of_files("sources", {SOURCES: data})
    return artifact, lock, data


def _collect(folder: Traversable, path: str, found: dict[str, bytes]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            _collect(entry, f"{path}/{entry.name}", found)
        elif entry.is_file() and not entry.name.endswith(".pyc"):
            found[f"{path}/{entry.name}"] = entry.read_bytes()
