"""Commands and settings of Spark's processes (standalone mode), as text with templates that the node fills in.

Every process is started directly by its main class with an explicit, sorted list of jars, never by Spark's shell
scripts: one class archive then serves master, worker, driver and executors alike, and pages of it are shared between
them. The connector's jars are on the class path of all of them, so nothing is resolved or shipped at a job's start.

Only executors are started by Spark itself (by the worker), through the ``java`` in its ``JAVA_HOME``; that one is
``java_launcher.sh``. Python processes begin with ``python_start.py``. Drivers and workers are started by a small
program each (``driver_start.py``, ``worker_start.py``) that ends them the way they want to be ended.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final

from upcall.catalog import jvm

MASTER_PORT: Final = 7077
PAGE_PORT: Final = 8080
MASTER_READY: Final = r"I have been elected leader! New state: ALIVE|Recovery complete in \d+ ms - resuming operations"
"""One that knew of workers or applications before is elected as ``RECOVERING``, and says the second when it is done."""
LOOKS_FOR: Final = "spark.deploy.recoveryTimeout"
LOOKS_FOR_USUALLY: Final = "20s"
"""So long such a one waits for who does not answer; Spark's own default is a minute. Who runs answers at once, and who
has ended never does: after a cluster's end and start all of them have. A worker that was late registers again; a driver
does not, so this is far more than an answer takes."""
WORKER_READY: Final = r"Successfully registered with master"

WORKER_EMPTIES_S: Final = 20
"""How long a worker that is to end waits for its executors: they end their tasks first. Less than its grace."""

JARS: Final = "{{artifact.pyspark.classpath}}:{{artifact.connector.classpath}}"
RECOVERY: Final = "{{volume.recovery}}"
SECRETS: Final = "{{secret.spark}}"
AUTH_USER: Final = "spark"
"""Spark's shared secret belongs to nobody in particular."""
AUTH_PROPERTY: Final = "spark.authenticate.secret={}"
PROCESS: Final = (jvm.stack(1024), jvm.collector(jvm.SMALL_HEAP_MIB), jvm.code_cache(96), jvm.QUICK_START)
"""Of every process of Spark; what it holds is soon garbage, so the collector of small heaps serves large ones too."""
PYTHON: Final = "{{artifact.pyspark.python}}"

_OPENS = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs",
    "sun.security.action", "sun.util.calendar",
)  # fmt: skip

LOG4J2: Final = (
    jvm.log4j2(target="SYSTEM_ERR")
    + """\
logger.blocks.name=org.apache.spark.storage
logger.blocks.level=warn
logger.tasks.name=org.apache.spark.scheduler
logger.tasks.level=warn
logger.run.name=org.apache.spark.executor.Executor
logger.run.level=warn
logger.code.name=org.apache.spark.sql.catalyst.expressions.codegen
logger.code.level=warn
logger.client.name=org.apache.kafka
logger.client.level=warn
"""
)


TOLD: Final = ("application.log", "progress.log")
"""Files of a driver's sandbox: as what the master knows it, and how its queries' last batches went."""
PROGRESS: Final = (
    LOG4J2
    + f"""\
appender.a.type=File
appender.a.name=a
appender.a.fileName={TOLD[0]}
appender.a.append=false
appender.a.layout.type=PatternLayout
appender.a.layout.pattern=%m%n
logger.a.name=org.apache.spark.scheduler.cluster.StandaloneSchedulerBackend
logger.a.level=info
logger.a.appenderRef.a.ref=a
appender.p.type=RollingFile
appender.p.name=p
appender.p.fileName={TOLD[1]}
appender.p.filePattern={TOLD[1]}.%i
appender.p.layout.type=PatternLayout
appender.p.layout.pattern=%m%n
appender.p.policies.type=Policies
appender.p.policies.size.type=SizeBasedTriggeringPolicy
appender.p.policies.size.size=512KB
appender.p.strategy.type=DefaultRolloverStrategy
appender.p.strategy.max=1
appender.p.filter.only.type=RegexFilter
appender.p.filter.only.regex=(?s)(Streaming query made progress|Current batch is falling behind).*
logger.p.name=org.apache.spark.sql.execution.streaming
logger.p.level=info
logger.p.appenderRef.p.ref=p
"""
)
"""Of a driver. Both are small, whatever it does."""


@lru_cache
def source(name: str) -> str:
    """A file of this package that goes into sandboxes."""
    return (files(__package__) / name).read_text()


def module_flags() -> tuple[str, ...]:
    """What Spark's own scripts open to it."""
    opens = tuple(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENS)
    return (*opens, "-Djdk.reflect.useDirectMethodHandle=false", "-Dio.netty.tryReflectionSetAccessible=true")


def jvm_flags(heap_mib: int, first_mib: int = 64) -> tuple[str, ...]:
    return (
        *jvm.heap(first_mib, heap_mib), *PROCESS, *jvm.SHARED_ARCHIVE, jvm.END_WITHOUT_MEMORY, *jvm.OWN_FILES,
        jvm.LOG4J2_FLAG, *module_flags(),
    )  # fmt: skip


def executor_options() -> str:
    """Spark refuses a heap size here (it has its own setting) and expands no templates of ours but these."""
    # Its working folder is its own: below the worker's.
    return " ".join((*PROCESS, *jvm.SHARED_ARCHIVE, *jvm.OWN_WORKING_FOLDER))


def environment() -> dict[str, str]:
    """For every process; the Python ones of executors inherit it from their worker."""
    return {
        "SPARK_HOME": "{{artifact.pyspark.site}}/pyspark",
        "JAVA_HOME": "{{sandbox}}/java",
        "UPCALL_JAVA": jvm.JAVA,
        "UPCALL_JAVA_OPTIONS": jvm.ARCHIVE,
        "SPARK_CLASSPATH_LIST": JARS,
        "PYSPARK_PYTHON": PYTHON,
        "PYSPARK_DRIVER_PYTHON": PYTHON,
        "SPARK_LOCAL_IP": "{{address}}",
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_SCALA_VERSION": "2.13",
        "PYTHONPATH": "{{sandbox}}/python",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        # One thread for each task: Spark already runs as many tasks as there are cores.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


CLOSED: Final = {
    # All of Spark's own connections know the secret; the REST submission server, which does not, stays off.
    "spark.authenticate": "true",
    "spark.master.rest.enabled": "false",
    # Pages show, and end nothing: whoever reaches them is not asked who he is.
    "spark.ui.killEnabled": "false",
    "spark.master.ui.decommission.allow.mode": "DENY",
}
"""What no option opens again: a task is ended by an operation, and by nothing else.

The secret's value is one line of a properties file (``spark.authenticate.secret=...``), which each process reads by
``--properties-file``: so it stands in no argument, and executors get it from their worker.
"""


def secret_value(secret: str) -> str:
    return AUTH_PROPERTY.replace("{}", secret) + "\n"


def _properties(settings: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"-D{name}={value}" for name, value in settings.items())


def master_command(heap_mib: int, options: Mapping[str, str]) -> tuple[str, ...]:
    settings = {
        # A master that starts again knows its workers and applications, and tells them where it is now.
        "spark.deploy.recoveryMode": "FILESYSTEM",
        "spark.deploy.recoveryDirectory": RECOVERY,
        LOOKS_FOR: LOOKS_FOR_USUALLY,
        **options,
        **CLOSED,
    }
    return (
        jvm.JAVA, jvm.ARCHIVE, *jvm_flags(heap_mib), *_properties(settings), "-cp", JARS,
        "org.apache.spark.deploy.master.Master", "--host", "{{address}}", "--port", "{{port.master}}",
        "--webui-port", "{{port.page}}", "--properties-file", SECRETS,
    )  # fmt: skip


def worker_command(
    heap_mib: int, master: str, cores: int, executor_memory_mib: int, options: Mapping[str, str]
) -> tuple[str, ...]:
    """``master`` is the master member's name. On SIGTERM the worker is decommissioned, and then ends."""
    settings = {
        "spark.decommission.enabled": "true",
        # What executors leave behind in the sandbox is bounded.
        "spark.worker.cleanup.enabled": "true",
        "spark.worker.cleanup.interval": "300",
        "spark.worker.cleanup.appDataTtl": "1800",
        **options,
        **CLOSED,
    }
    return (
        PYTHON, "-I", "-S", "{{sandbox}}/worker_start.py", str(WORKER_EMPTIES_S),
        jvm.JAVA, jvm.ARCHIVE, *jvm_flags(heap_mib), *_properties(settings), "-cp", JARS,
        "org.apache.spark.deploy.worker.Worker", "--host", "{{address}}", "--webui-port", "{{port.page}}",
        "--cores", str(cores), "--memory", f"{executor_memory_mib}m", "--work-dir", "{{sandbox}}/work",
        "--properties-file", SECRETS,
        f"spark://{{{{address.{master}}}}}:{MASTER_PORT}",
    )  # fmt: skip


def job_settings(
    *, cores: int, cores_max: int, executor_memory_mib: int, options: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a streaming job on few cores wants; ``options`` are the user's and win."""
    return {
        "spark.ui.enabled": "false",
        "spark.decommission.enabled": "true",
        "spark.driver.host": "{{address}}",
        "spark.driver.bindAddress": "{{address}}",
        "spark.executor.memory": f"{executor_memory_mib}m",
        "spark.executor.cores": str(cores),
        "spark.cores.max": str(cores_max),
        "spark.executor.extraJavaOptions": executor_options(),
        "spark.executor.processTreeMetrics.enabled": "false",
        "spark.sql.shuffle.partitions": str(cores_max),
        "spark.sql.streaming.metricsEnabled": "false",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.shutdown.timeout": "5s",
        "spark.local.dir": "{{sandbox}}/local",
        **(options or {}),
        **CLOSED,
    }


def submit_command(
    heap_mib: int, master: str, settings: Mapping[str, str], application: str, arguments: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """A driver: the JVM that runs the application's Python process below itself. ``master`` is a master's URL."""
    confs = tuple(word for name, value in settings.items() for word in ("--conf", f"{name}={value}"))
    return (
        PYTHON, "-I", "-S", "{{sandbox}}/driver_start.py", application,
        jvm.JAVA, jvm.ARCHIVE, *jvm_flags(heap_mib, 128), "-cp", JARS, "org.apache.spark.deploy.SparkSubmit",
        "--master", master, "--properties-file", SECRETS, *confs, application, *arguments,
    )  # fmt: skip
