"""Small Java sources of a package, compiled once on the machine that runs them.

A runtime image lacks a compiler, and a binary in a repository cannot be read. So a package ships the source, and the
Eclipse compiler (``ecj``), which runs on a plain runtime, makes a jar of it. The compiler is among the jars of the
artifacts it names (``uses``); what the sources refer to is named besides (``against``).
"""

import subprocess
import tempfile
import zipfile
from pathlib import Path

import msgspec

from upcall.artifacts.errors import ArtifactError, LockInvalid
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import digest_of
from upcall.protocol.training import Compiled

COMPILE_TIMEOUT_S = 120
COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
_ANY_TIME = (1980, 1, 1, 0, 0, 0)


class CompiledSources:
    needs_siblings = True

    def realise(self, job: Job) -> Realised:
        try:
            wish = msgspec.json.decode(job.data, type=Compiled)
        except msgspec.DecodeError as error:
            raise LockInvalid(
                f"sources of {job.artifact.name} cannot be read: {error}", where=job.artifact.name
            ) from error
        missing = [name for name in wish.uses if name not in job.sibling_locks]
        if missing:
            raise ArtifactError(
                f"artifact {job.artifact.name} is compiled with {missing[0]!r}, which was not asked for"
            )
        parts = [job.artifact.lock, *(job.sibling_locks[name] for name in wish.uses)]
        key = f"compiled-{digest_of(':'.join(parts).encode())}"
        tree = job.cache.tree(key)
        if tree is None:
            with job.cache.locked(key, job.meter):
                tree = job.cache.tree(key) or self._make(job, wish, key)
        return Realised(tree, {"classpath": str(tree / f"{wish.name}.jar")})

    def _make(self, job: Job, wish: Compiled, key: str) -> Path:
        job.meter.begin(f"compiling {wish.name}", 0)
        used = {name: job.siblings[name].properties for name in wish.uses}
        java = next(properties["java"] for properties in used.values() if "java" in properties)
        compiler = ":".join(properties["classpath"] for properties in used.values() if "classpath" in properties)
        paths_against = [jar for name in wish.against for jar in used[name]["classpath"].split(":")]
        against = ":".join(jar for jar in paths_against if not wish.jars or Path(jar).name.startswith(wish.jars))
        with (
            job.cache.making(key) as folder,
            tempfile.TemporaryDirectory(prefix="compile-", dir=job.cache.root / "partial") as scratch,
        ):
            sources, classes = Path(scratch) / "sources", Path(scratch) / "classes"
            paths = []
            for name, text in wish.sources.items():
                path = sources / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                paths.append(str(path))
            command = [java, "-XX:TieredStopAtLevel=1", "-cp", compiler, COMPILER]
            # Not `--release`, which looks into jars through a module that a small runtime of Java 11 lacks.
            command += [
                "-source",
                wish.release,
                "-target",
                wish.release,
                "-proc:none",
                "-nowarn",
                "-cp",
                against or str(scratch),
                "-d",
                str(classes),
                *paths,
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False)
            if done.returncode != 0:
                raise ArtifactError(
                    f"artifact {job.artifact.name} does not compile: {(done.stdout + done.stderr)[-1500:]}",
                    where=job.artifact.name,
                )
            _make_jar(classes, folder / f"{wish.name}.jar")
        return job.cache.root / "trees" / key


def _make_jar(classes: Path, jar: Path) -> None:
    """The same bytes for the same classes: names in order, one date for all."""
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in classes.rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo(str(path.relative_to(classes)), _ANY_TIME), path.read_bytes())


register("compiled", CompiledSources())
