"""Class archives: what a JVM would parse and verify at every start, done once and mapped from a file.

Starting a whole platform at once on a small machine is bounded by CPU time, and most of a JVM's start is loading
classes. An archive (CDS; on Java 25 an AOT cache) cuts that to about a third. It is made by a *training run*: the
application is started with one more flag, does what it does at a start, is ended by SIGTERM, and leaves the archive
behind. (Java 11 leaves a list of what it loaded; the same command, with other flags, makes the archive of that.)
An archive is valid only for the exact runtime, class path and kind of flags it was made with, so its key is
made of all of these, and JVMs that reject one start without it: an archive can make a start faster, never fail it.

A package describes the training as a task declaration, the very one it launches, so both command lines agree.
The command names ``{{artifact.<archive>.options}}``, an argument ``@file`` for the ``java`` launcher: in training the
file asks for an archive, later it names one, and where there is none it is empty.

Training needs seconds to minutes and happens in ``fetch`` only (``train``); a launch takes what is there. A training
that fails is reported and leaves no archive behind; the property ``problem`` says why.
"""

import os
import random
import re
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from upcall.artifacts.errors import ArtifactError, Cancelled, LockInvalid
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import digest_of
from upcall.protocol import patterns
from upcall.protocol.templates import BRACE
from upcall.protocol.training import FORMAT, Training, decode_training

_TEMPLATE = re.compile(r"\{\{([^{}]+)\}\}")
LOG_TAIL_CHARS = 1500
_LEAVES = {"list": "DumpLoadedClassList", "cds": "ArchiveClassesAtExit", "aot": "AOTCacheOutput"}
"""The flag that says where a training run leaves what it makes."""


NO_ARCHIVE: Final = "no-archive"


class Archives:
    needs_siblings = True

    def realise(self, job: Job) -> Realised:
        training = parse_training(job.data, job.artifact.name)
        key = _key(job, training)
        tree = job.cache.tree(key)
        problem = ""
        if tree is None and job.train:
            try:
                with job.cache.locked(key, job.meter):
                    tree = job.cache.tree(key) or self._train(job, training, key)
            except Cancelled:
                raise
            except ArtifactError as error:
                problem = str(error)
                job.meter.begin(f"no archive, starts will be slower: {problem}", 0)
        if tree is None:
            # A folder of its own: a task is shown what its artifacts are, and the cache as a whole is nobody's.
            none = job.cache.root / NO_ARCHIVE
            none.mkdir(mode=0o755, exist_ok=True)
            (none / "options").touch()
            return Realised(none, {"flags": "", "options": f"@{none / 'options'}", "problem": problem})
        return Realised(tree, {"flags": (tree / "flags").read_text(), "options": f"@{tree / 'options'}"})

    def _train(self, job: Job, training: Training, key: str) -> Path:
        final = job.cache.root / "trees" / key
        job.meter.begin(f"training {training.name} (once)", 0)
        with job.cache.making(key) as folder:
            made = folder / "archive"
            run_training(job, training, made)
            flag = "AOTCache" if training.mode == "aot" else "SharedArchiveFile"
            flags = f"-XX:{flag}={final / 'archive'}"
            (folder / "flags").write_text(flags)
            (folder / "options").write_text(_argument_file(flags))
        return final


def parse_training(data: bytes, where: str) -> Training:
    try:
        training = decode_training(data)
    except msgspec.DecodeError as error:
        raise LockInvalid(f"training of {where} cannot be read: {error}", where=where) from error
    if training.format != FORMAT:
        raise LockInvalid(f"training of {where} has format {training.format}", where=where, expected=f"format {FORMAT}")
    return training


def _key(job: Job, training: Training) -> str:
    """Everything that makes an archive valid, and the cache's place, because jars are recorded by their path."""
    parts = [job.artifact.lock, str(job.cache.root)]
    for name in training.uses:
        if name not in job.sibling_locks:
            raise ArtifactError(
                f"archive {job.artifact.name} is made from artifact {name!r}, which was not asked for", where=name
            )
        parts.append(job.sibling_locks[name])
    return f"archive-{digest_of(msgspec.json.encode(parts))}"


def _argument_file(flags: str) -> str:
    """Quoted, because a cache folder may have a space in its path."""
    escaped = flags.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"\n'


def run_training(job: Job, training: Training, archive: Path) -> None:
    """Start the application once in a scratch folder, wait until it is ready, exercise it, end it."""
    with tempfile.TemporaryDirectory(prefix="training-", dir=job.cache.root / "partial") as scratch:
        sandbox = Path(scratch) / "sandbox"
        (sandbox / "tmp").mkdir(parents=True)  # as each task has it
        listed = Path(scratch) / "classes"
        flag, left = _LEAVES[training.mode], listed if training.mode == "list" else archive
        options = Path(scratch) / "options"
        options.write_text(_argument_file(f"-XX:{flag}={left}") + "-Xlog:cds=error\n")
        nothing = Path(scratch) / "none"
        nothing.touch()
        values = _values(job, training, Path(scratch))
        chosen = f"artifact.{training.name}.options"
        task = training.task
        environment = {
            "PATH": os.defpath,
            "HOME": str(sandbox),
            "TMPDIR": str(sandbox / "tmp"),
            "LANG": "C.UTF-8",
            **{name: render(text, values | {chosen: f"@{nothing}"}) for name, text in task.env.items()},
        }
        for file in task.files:
            path = sandbox / file.path  # relative, and inside: the type of a declaration's file says so
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text if file.verbatim else render(file.text, values | {chosen: f"@{options}"}))
            path.chmod(file.mode)
        log = Path(scratch) / "log"
        with log.open("wb") as output:

            def start(command: tuple[str, ...], chosen_options: Path) -> subprocess.Popen[bytes]:
                words = [render(word, values | {chosen: f"@{chosen_options}"}) for word in command]
                return subprocess.Popen(
                    words, cwd=sandbox, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True,
                )  # fmt: skip

            deadline = time.monotonic() + training.timeout_s
            for command in task.prepare:
                _finish(job, training, start(command, nothing), deadline, log)
            process = start(task.command, options)
            try:
                if not training.exits:
                    _await_ready(job, training, process, deadline, log)
                    for command in training.exercise:
                        _finish(job, training, start(command, nothing), deadline, log)
                    process.send_signal(signal.SIGTERM)
                _finish(job, training, process, deadline, log, ended=not training.exits)
                if training.mode == "list":
                    options.write_text(
                        f"-Xshare:dump\n{_argument_file(f'-XX:SharedClassListFile={listed}')}"
                        f"{_argument_file(f'-XX:SharedArchiveFile={archive}')}-Xlog:cds=error\n-Xlog:class+path=error\n"
                    )
                    # What a property starts with the runtime (its management) is in no archive, and ends the dump.
                    process = start(tuple(word for word in task.command if not word.startswith("-D")), options)
                    _finish(job, training, process, deadline, log)
            finally:
                _kill_session(process)
        if not archive.is_file():
            raise ArtifactError(f"training {training.name} left no archive: {_tail(log)}", where=training.name)


def render(text: str, values: dict[str, str]) -> str:
    """Fill in ``{{name}}``; a name that is not known is an error of the package."""

    def value(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name not in values:
            raise ArtifactError(f"the training names {{{{{name}}}}}, which it does not have", where=name)
        return values[name]

    return _TEMPLATE.sub(value, text)


def _values(job: Job, training: Training, scratch: Path) -> dict[str, str]:
    # Any address of 127.0.0.0/8 answers on Linux; a random one keeps concurrent trainings apart.
    address = f"127.{random.randint(64, 127)}.{random.randint(1, 254)}.{random.randint(1, 254)}"
    values = {
        "address": address,
        "hostname": address,
        "sandbox": str(scratch / "sandbox"),
        "cpus": str(training.task.resources.cpus),
        "memory_mib": str(training.task.resources.memory_mib),
        "node": "training",
        "zone": "training",
        "incarnation": "1",
        BRACE: "{",
    }
    for port in training.task.ports:
        values[f"port.{port.name}"] = str(port.number)
    for volume in training.task.volumes:
        folder = scratch / "volumes" / volume.name
        folder.mkdir(parents=True)
        values[f"volume.{volume.name}"] = str(folder)
    for name, text in training.secrets.items():
        path = scratch / f"secret-{name}"
        path.write_text(text)
        path.chmod(0o600)
        values[f"secret.{name}"] = str(path)
    for name, realised in job.siblings.items():
        values[f"artifact.{name}"] = str(realised.path)
        for key, value in realised.properties.items():
            values[f"artifact.{name}.{key}"] = value
    return values | {name: render(text, values) for name, text in training.values.items()}


def _await_ready(job: Job, training: Training, process: subprocess.Popen[bytes], deadline: float, log: Path) -> None:
    check = training.task.ready
    if check is None or not check.log:
        raise ArtifactError(f"training {training.name} does not say which line makes it ready", where=training.name)
    ready = patterns.compiled(check.log, f"training {training.name}")
    while not ready.search(log.read_bytes()):
        if process.poll() is not None:
            raise ArtifactError(f"training {training.name} ended before it was ready: {_tail(log)}")
        if time.monotonic() > deadline:
            raise ArtifactError(f"training {training.name} was not ready in {training.timeout_s} s: {_tail(log)}")
        job.meter.wait(0.1)


def _finish(
    job: Job, training: Training, process: subprocess.Popen[bytes], deadline: float, log: Path, *, ended: bool = False
) -> None:
    """Wait for the end of a command. A process that we ended may report the signal; anything else must report 0."""
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise ArtifactError(f"training {training.name} took over {training.timeout_s} s: {_tail(log)}")
            job.meter.wait(0.1)
    except BaseException:
        _kill_session(process)
        raise
    if process.returncode != 0 and not ended:
        raise ArtifactError(f"training {training.name} failed with code {process.returncode}: {_tail(log)}")


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """The process leads a session of its own, so its group is what it started (and nobody else)."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: Path) -> str:
    return log.read_bytes()[-LOG_TAIL_CHARS:].decode(errors="replace")


register("archive", Archives())
