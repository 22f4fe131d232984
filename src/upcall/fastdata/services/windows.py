"""``windows``: the stream job as a service, so that its driver is kept running like any other member.

A job's code reaches Spark's workers as one archive, which Spark itself hands on: whatever Python environment the
workers run in, the job's own modules are those of this installation.
"""

import hashlib
import io
import zipfile
from functools import lru_cache
from importlib.resources import files

import msgspec

from upcall.catalog.spark import config
from upcall.catalog.spark import service as spark_service
from upcall.catalog.spark.task import driver_task
from upcall.fastdata.keyspace import KEYSPACE
from upcall.protocol.declaration import Check, Declaration, File, Resources
from upcall.protocol.templates import literally
from upcall.service import Field, Member, Need, Operation, Pod, Service, ServiceOptions, Verdict, accept

CODE = "upcall-fastdata.zip"
READY = "^reading on$"
PROGRAM = """\
import sys

from upcall.fastdata.job import main

hosts, ports = zip(*(address.rsplit(":", 1) for address in sys.argv[2].split(",")))
sys.exit(main(["--kafka", sys.argv[1], "--cassandra", ",".join(hosts), "--cassandra-port", ports[0], *sys.argv[3:]]))
"""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""One time for all files: the same code is the same archive."""


@lru_cache
def code() -> bytes:
    """The modules of the job, as one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("upcall/__init__.py", EPOCH), "")
        _add(archive, files("upcall.fastdata"), "upcall/fastdata")
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, folder: "object", name: str) -> None:
    for item in sorted(folder.iterdir(), key=lambda each: each.name):  # type: ignore[attr-defined]
        inside = f"{name}/{item.name}"
        if item.is_dir() and item.name not in ("services", "lock", "__pycache__"):
            _add(archive, item, inside)
        elif item.name.endswith(".py"):
            archive.writestr(zipfile.ZipInfo(inside, EPOCH), item.read_bytes())


class Windows(Service):
    """The stream job of the flight: frames from Kafka through Spark, seconds and anomalies into Cassandra."""

    class Options(ServiceOptions):
        cores: int = Field(2, ge=1, le=64, description="tasks at once")
        executor_memory_mib: int = Field(480, ge=480, le=65_536, description="heap of the executor")
        cpus: float = Field(0.3, gt=0, le=64, description="share of the cores of the driver")
        memory_mib: int = Field(832, ge=800, le=65_536, description="memory of the driver")
        disk_mib: int = Field(256, ge=64, description="volume of the driver, for Spark's checkpoint")
        keyspace: str = Field(KEYSPACE, pattern=r"^[a-z][a-z0-9_]{0,47}$", description="where it is stored")
        keep_s: int = Field(1800, ge=600, description="seconds that are kept")
        max_frames: int = Field(1200, ge=20, le=100_000, description="frames of one micro-batch")
        trigger_ms: int = Field(1000, ge=0, le=60_000, description="time between two micro-batches")
        settings: dict[str, str] = Field(default={}, description="Spark's own settings of this job")

    options: Options
    kafka = Need("kafka", endpoint="client")
    cassandra = Need("cassandra", endpoint="cql", page="reader")
    spark = Need("spark", endpoint="master")

    def pods(self) -> list[Pod]:
        return [Pod("driver")]

    def task(self, member: Member) -> Declaration:
        options = self.options
        declaration = driver_task(
            master=f"spark://{self.spark}",
            application="{{sandbox}}/program.py",
            arguments=(
                *(
                    str(self.kafka),
                    str(self.cassandra),
                    "--spark",
                    str(self.spark),
                    "--checkpoint",
                    "{{volume.checkpoint}}/stream",
                ),
                *("--kafka-login-file", "{{secret.kafka}}"),
                *("--cassandra-login-file", "{{secret.cassandra}}"),
                *("--keyspace", options.keyspace, "--keep-s", str(options.keep_s)),
                *("--max-frames", str(options.max_frames), "--trigger-ms", str(options.trigger_ms)),
            ),
            cores=options.cores,
            executor_memory_mib=options.executor_memory_mib,
            resources=Resources(cpus=options.cpus, memory_mib=options.memory_mib, disk_mib=options.disk_mib),
            secret=self.spark.secret("spark", config.AUTH_PROPERTY).ref,
            more_secrets=(
                self.kafka.secret("kafka"),
                self.cassandra.secret("cassandra"),
            ),
            more_files=(
                File(path="program.py", text=PROGRAM),
                File(path=CODE, blob=hashlib.sha256(code()).hexdigest()),
            ),
            options={"spark.submit.pyFiles": f"{{{{sandbox}}}}/{CODE}", **literally(options.settings)},
            artifacts=spark_service.Spark.artifacts(),
        )
        # It waits for systems that start beside it, so it may take its time.
        # Its checkpoint binds it to no node: where it reads on stands in the store.
        return msgspec.structs.replace(declaration, ready=Check(log=READY), start_timeout_s=900.0, portable=True)

    @classmethod
    def blobs(cls) -> dict[str, bytes]:
        return {**spark_service.Spark.blobs(), hashlib.sha256(code()).hexdigest(): code()}

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        """What it had not stored it reads again: its position stands in the store."""
        return accept()
