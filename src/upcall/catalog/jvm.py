"""What Java processes of all packages are told, whichever system they run."""

from typing import Final

OWN_FILES: Final = ("-Djava.io.tmpdir={{sandbox}}/tmp", "-Duser.home={{sandbox}}", "-XX:-UsePerfData")
"""Temporary files (unpacked native libraries, most of all) and counters stay out of folders that users share, and out
of the home of the cluster's user, which Java takes from the list of users whatever ``HOME`` says."""
QUICK_START: Final = "-XX:TieredStopAtLevel=1"
"""The first compiler alone: a start costs half the CPU."""
SHARED_ARCHIVE: Final = ("-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0")
"""Equal processes share the class archive's pages: it lies at a fixed address."""
END_WITHOUT_MEMORY: Final = "-XX:+ExitOnOutOfMemoryError"
"""What has no memory left is started again, rather than left half alive."""
NO_MEMORY: Final = r"Terminating due to (java\.lang\.OutOfMemoryError: .*)"
"""What it says then."""


def heap(first_mib: int, most_mib: int) -> tuple[str, ...]:
    return f"-Xms{first_mib}m", f"-Xmx{most_mib}m"


def collector(*, is_serial: bool) -> str:
    """The serial one needs the least memory and CPU; pauses of a small heap are short."""
    return "-XX:+UseSerialGC" if is_serial else "-XX:+UseG1GC"


def tool(stack_kib: int) -> tuple[str, ...]:
    """A one-shot tool, as light as a JVM can be."""
    return "-Xmx96m", f"-Xss{stack_kib}k", collector(is_serial=True), QUICK_START, *OWN_FILES
