"""What Java processes of all packages are told, whichever system they run: commands, flags, logs, and their heap."""

from typing import Final

JAVA: Final = "{{artifact.java.java}}"
ARCHIVE: Final = "{{artifact.archive.options}}"
"""Every package locks its runtime as ``java``, and makes its class archive as ``archive``."""
OWN_FILES: Final = ("-Djava.io.tmpdir={{sandbox}}/tmp", "-Duser.home={{sandbox}}", "-XX:-UsePerfData")
"""Temporary files (unpacked native libraries, most of all) and counters stay out of folders that users share, and out
of the home of the cluster's user, which Java takes from the list of users whatever ``HOME`` says."""
OWN_WORKING_FOLDER: Final = ("-Djava.io.tmpdir=.", "-Duser.home=.", "-XX:-UsePerfData")
"""The same for a process that expands no templates and has a working folder of its own."""
QUICK_START: Final = "-XX:TieredStopAtLevel=1"
"""The first compiler alone: a start costs half the CPU."""
SHARED_ARCHIVE: Final = ("-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0")
"""Equal processes share the class archive's pages: it lies at a fixed address."""
END_WITHOUT_MEMORY: Final = "-XX:+ExitOnOutOfMemoryError"
"""What has no memory left is started again, rather than left half alive."""
NO_MEMORY: Final = r"Terminating due to (java\.lang\.OutOfMemoryError: .*)"
"""What it says then."""
SMALL_HEAP_MIB: Final = 1024
"""Up to here the serial collector needs the least memory and CPU, and its pauses are short."""
LOG4J2_FLAG: Final = "-Dlog4j2.configurationFile={{sandbox}}/log4j2.properties"


def log4j2(target: str = "") -> str:
    """A log on the console (``target``: another stream of it), to which a package may add loggers."""
    return (
        "status=error\n"
        "appender.c.type=Console\n"
        "appender.c.name=c\n"
        + (f"appender.c.target={target}\n" if target else "")
        + "appender.c.layout.type=PatternLayout\n"
        "appender.c.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1} %m%n\n"
        "rootLogger.level=info\n"
        "rootLogger.appenderRef.c.ref=c\n"
    )


def heap_of(memory_mib: int, *, share: float, least_mib: int, most_mib: int) -> int:
    """MiB of heap for a process with this memory; the rest is for what a JVM has beside it, and for the kernel."""
    return int(min(most_mib, max(least_mib, memory_mib * share)))


def heap(first_mib: int, most_mib: int) -> tuple[str, ...]:
    return f"-Xms{first_mib}m", f"-Xmx{most_mib}m"


def collector(heap_mib: int) -> str:
    return "-XX:+UseSerialGC" if heap_mib <= SMALL_HEAP_MIB else "-XX:+UseG1GC"


def code_cache(mib: int) -> str:
    return f"-XX:ReservedCodeCacheSize={mib}m"


def stack(kib: int) -> str:
    return f"-Xss{kib}k" if kib % 1024 else f"-Xss{kib // 1024}m"


def server(
    heap_mib: int, *, stack_kib: int, direct_mib: int, code_cache_mib: int, metaspace_mib: int = 0
) -> tuple[str, ...]:
    """A process that holds data: its heap is whole from the start, and what lies beside it is bounded."""
    return (
        *heap(heap_mib, heap_mib), stack(stack_kib), collector(heap_mib),
        f"-XX:MaxDirectMemorySize={direct_mib}m", code_cache(code_cache_mib),
        *((f"-XX:MaxMetaspaceSize={metaspace_mib}m",) if metaspace_mib else ()),
        QUICK_START, END_WITHOUT_MEMORY,
    )  # fmt: skip


def tool(stack_kib: int) -> tuple[str, ...]:
    """A one-shot tool, as light as a JVM can be."""
    return "-Xmx96m", stack(stack_kib), collector(96), QUICK_START, *OWN_FILES
