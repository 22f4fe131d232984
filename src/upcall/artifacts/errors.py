"""What can go wrong with an artifact: each error names the artifact, what was found and what would be right."""

from collections.abc import Iterable

from upcall.protocol.errors import UpcallError
from upcall.protocol.nearest import choice


class ArtifactError(UpcallError):
    """Base of all artifact errors."""

    code = "artifact"
    status = 424


class LockInvalid(ArtifactError):
    """A lock file that cannot be read: damaged, of a future format, or not the one that was named."""

    code = "artifact_lock"


class Mismatch(ArtifactError):
    """A file is not the one that was locked. It was thrown away; nothing of it is used."""

    code = "artifact_mismatch"

    def __init__(self, artifact: str, name: str, *, expected: str, got: str) -> None:
        super().__init__(
            f"artifact {artifact}: {name} does not match its lock: got {got}",
            where=name,
            expected=expected,
            artifact=artifact,
            got=got,
        )


class NotCached(ArtifactError):
    """Something is missing in the cache and no registry could be reached."""

    code = "artifact_not_cached"

    def __init__(self, artifact: str, missing: str, cause: str) -> None:
        super().__init__(
            f"artifact {artifact} is not in the cache ({missing}) and could not be fetched: {cause}",
            where=artifact,
            expected="a network connection once: run `upcall fetch` for the package, then everything works offline",
            artifact=artifact,
        )


class NotResolved(ArtifactError):
    """What a program needs was never resolved here, and no registry could be reached."""

    code = "artifact_not_resolved"

    def __init__(self, what: str, cause: str) -> None:
        super().__init__(
            f"the {what} of this program have not been resolved here yet, and {cause}",
            where=what,
            expected="a network connection once; the same again needs none",
        )


class NoBuild(ArtifactError):
    """There is no build of this artifact for this machine."""

    code = "artifact_no_build"

    def __init__(self, artifact: str, machine: str, available: Iterable[str]) -> None:
        super().__init__(
            f"artifact {artifact} has no build for {machine}", where=artifact, expected=choice(available, "another one")
        )


class NoSpace(ArtifactError):
    """The cache's disk is too full for what is about to be fetched."""

    code = "artifact_no_space"


class Cancelled(ArtifactError):
    """The fetch was told to stop; what came so far stays in the cache."""

    code = "artifact_cancelled"
