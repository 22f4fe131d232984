"""Master, worker and driver as task declarations, and the training run of the class archive they share."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec import structs

from upcall.catalog.spark import config
from upcall.catalog.spark.sizing import DAEMON_HEAP_MIB, EXECUTOR_HEAP_MIB_MIN, driver_heap_mib, size_worker
from upcall.protocol.declaration import Artifact, Check, Declaration, File, Port, Resources, Secret, Volume
from upcall.protocol.training import Compiled, Training

TRAINING_MEMORY_MIB = 1024
TRAINING_WORD = "training"


def _files(*more: File, log: str = config.LOG4J2) -> tuple[File, ...]:
    return (
        File(path="log4j2.properties", text=log),
        File(path="java/bin/java", text=config.source("java_launcher.sh"), mode=0o755),
        File(path="python/sitecustomize.py", text=config.source("python_start.py")),
        *more,
    )


def master_task(
    *, resources: Resources, secret: str, options: Mapping[str, str] | None = None, artifacts: tuple[Artifact, ...] = ()
) -> Declaration:
    return Declaration(
        command=config.master_command(DAEMON_HEAP_MIB, options or {}),
        artifacts=artifacts,
        env=config.environment(),
        files=_files(),
        volumes=(Volume(name="recovery", size_mib=64),),
        # What it remembers is who is registered: at a new place all of them come to it again.
        portable=True,
        ports=(Port(name="master", number=config.MASTER_PORT), Port(name="page", number=config.PAGE_PORT)),
        secrets=(Secret(name="spark", ref=secret),),
        resources=resources,
        ready=Check(log=config.MASTER_READY),
        health=Check(tcp="master", interval_s=5, failures=3),
        grace_s=10,
    )


def worker_task(
    *,
    master: str,
    cores: int,
    resources: Resources,
    secret: str,
    options: Mapping[str, str] | None = None,
    artifacts: tuple[Artifact, ...] = (),
) -> Declaration:
    sizing = size_worker(resources.memory_mib, cores)
    return Declaration(
        command=config.worker_command(DAEMON_HEAP_MIB, master, sizing.cores, sizing.executor_memory_mib, options or {}),
        artifacts=artifacts,
        env=config.environment(),
        files=_files(File(path="worker_start.py", text=config.source("worker_start.py"))),
        ports=(Port(name="page", number=config.PAGE_PORT),),
        secrets=(Secret(name="spark", ref=secret),),
        resources=resources,
        ready=Check(log=config.WORKER_READY),
        health=Check(tcp="page", interval_s=5, failures=3),
        # Its executors end their tasks before it ends.
        grace_s=config.WORKER_EMPTIES_S + 10,
    )


def driver_task(
    *,
    master: str,
    application: str,
    arguments: Sequence[str] = (),
    cores: int,
    executor_memory_mib: int,
    resources: Resources,
    secret: str,
    cores_max: int = 0,
    env: Mapping[str, str] | None = None,
    more_files: Sequence[File] = (),
    more_secrets: Sequence[Secret] = (),
    options: Mapping[str, str] | None = None,
    artifacts: tuple[Artifact, ...] = (),
) -> Declaration:
    """A job. ``master`` is a URL, ``application`` the path of a Python file, both with templates. A job with disk has
    it as the volume ``checkpoint``. ``cores`` are those of one executor, ``cores_max`` of all."""
    settings = config.job_settings(
        cores=cores, cores_max=cores_max or cores, executor_memory_mib=executor_memory_mib, options=options
    )
    return Declaration(
        command=config.submit_command(
            driver_heap_mib(resources.memory_mib), master, settings, application, tuple(arguments)
        ),
        artifacts=artifacts,
        env={**config.environment(), **(env or {})},
        files=_files(
            File(path="driver_start.py", text=config.source("driver_start.py")), *more_files, log=config.PROGRESS
        ),
        volumes=(Volume(name="checkpoint", size_mib=resources.disk_mib),) if resources.disk_mib else (),
        secrets=(Secret(name="spark", ref=secret), *more_secrets),
        # All its disk is the volume, which is reserved by its own size.
        resources=structs.replace(resources, disk_mib=0),
        # A query is stopped at a batch boundary; executors are told.
        grace_s=20,
    )


@lru_cache
def makes() -> tuple[Training | Compiled, ...]:
    """The class archive that every process of Spark starts with."""
    task = driver_task(
        master="local[2]",
        application="{{sandbox}}/training.py",
        arguments=(str(EXECUTOR_HEAP_MIB_MIN),),
        cores=1,
        executor_memory_mib=EXECUTOR_HEAP_MIB_MIN,
        resources=Resources(cpus=2, memory_mib=TRAINING_MEMORY_MIB),
        secret=TRAINING_WORD,
        more_files=(File(path="training.py", text=config.source("training.py")),),
    )
    training = Training(
        name="archive",
        mode="cds",
        task=task,
        uses=("java", "pyspark", "connector"),
        secrets={"spark": config.secret_value(TRAINING_WORD)},
        exits=True,
        # A minute on an idle machine; the limit is for one that is busy otherwise.
        timeout_s=1200,
    )
    return (training,)
