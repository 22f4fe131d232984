"""What the supervisor keeps up: one small JSON file, ``<data>/keeper/spec.json``.

{"version": 1, "processes": [{
    "name": "agent-node-1",          one word; its log is <data>/logs/<name>.log
    "argv": ["...", "..."],
    "env": {"NAME": "value"},        on top of the supervisor's own environment
    "node": "node-1",                whose tasks it keeps: `prove_death` ends it too (optional)
    "stop_order": 2,                 lower numbers are stopped first; equal ones together (default 0)
    "grace_s": 10,                   between SIGTERM and SIGKILL (default 10)
    "backoff_first_s": 0.2,          before it is started again after it died (defaults 0.2 and 15);
    "backoff_max_s": 15,             doubled each time, back to the first once it ran for a while
    "listen": {"api": "127.1.2.1:5050"},  sockets that are held for it, also while it does not run (optional)
    "stands_by": true                it starts another supervisor if this one dies (optional; then it has no ``env`` of
                                     its own, since it hands on the one that it has)
    "turns_s": 5                     it says so often that it turns, and is ended when it does not for four times as
                                     long (default 0: nobody looks)
}]}
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from upcall.keeper import records

VERSION = 1
PROCESSES_MAX = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
_ADDRESS = re.compile(r"[0-9.]{7,15}:[0-9]{1,5}\Z")


class SpecInvalid(ValueError):
    """What is wrong with a spec, and where."""


class Process(NamedTuple):
    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    node: str
    stop_order: int
    grace_s: float
    backoff_first_s: float
    backoff_max_s: float
    listen: dict[str, str]
    stands_by: bool
    turns_s: float

    def to_json(self) -> dict[str, Any]:
        return {**self._asdict(), "argv": list(self.argv)}


def parse_process(value: Any) -> Process:
    if not isinstance(value, dict):
        raise SpecInvalid(f"a process is an object, not {value!r}")
    name = value.get("name", "")
    if not isinstance(name, str) or not _NAME.match(name):
        raise SpecInvalid(f"name {name!r} is not one word of letters, digits, '_', '.' and '-'")
    argv = value.get("argv")
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        raise SpecInvalid(f"{name}: argv is a list of words, not {argv!r}")
    env = value.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(text, str) for text in env.values()):
        raise SpecInvalid(f"{name}: env maps names to texts")
    listen = value.get("listen", {})
    if not isinstance(listen, dict) or not all(
        _NAME.match(str(what)) and isinstance(where, str) and _ADDRESS.match(where) for what, where in listen.items()
    ):
        raise SpecInvalid(f"{name}: listen maps names to `address:port`, not {listen!r}")
    try:
        process = Process(
            name,
            tuple(argv),
            env,
            str(value.get("node", "")),
            int(value.get("stop_order", 0)),
            float(value.get("grace_s", 10.0)),
            float(value.get("backoff_first_s", 0.2)),
            float(value.get("backoff_max_s", 15.0)),
            listen,
            bool(value.get("stands_by", False)),
            float(value.get("turns_s", 0.0)),
        )
    except (TypeError, ValueError) as error:
        raise SpecInvalid(f"{name}: {error}") from None
    if not 0 < process.backoff_first_s <= process.backoff_max_s or process.grace_s < 0:
        raise SpecInvalid(f"{name}: 0 < backoff_first_s <= backoff_max_s and 0 <= grace_s")
    if not 0 <= process.turns_s < 1e6:
        raise SpecInvalid(f"{name}: turns_s is a number of seconds, not {process.turns_s}")
    if process.stands_by and env:
        raise SpecInvalid(f"{name}: who stands by has no env of its own")
    return process


def parse(value: dict[str, Any]) -> dict[str, Process]:
    """By name, in the order of the file."""
    if value.get("version") != VERSION:
        raise SpecInvalid(f"the spec has version {value.get('version')!r}; this program reads version {VERSION}")
    listed = value.get("processes")
    if not isinstance(listed, list) or len(listed) > PROCESSES_MAX:
        raise SpecInvalid(f"processes is a list of at most {PROCESSES_MAX}")
    processes = [parse_process(entry) for entry in listed]
    by_name = {process.name: process for process in processes}
    if len(by_name) < len(processes):
        raise SpecInvalid("two processes have the same name")
    return by_name


def path_of(data_folder: str) -> str:
    return os.path.join(data_folder, "keeper", "spec.json")


def load(data_folder: str) -> dict[str, Process]:
    """Empty when there is no file yet."""
    path = path_of(data_folder)
    try:
        value = records.read(path)
        return parse(value) if value is not None else {}
    except ValueError as error:
        raise SpecInvalid(f"{path}: {error}") from None


def save(data_folder: str, processes: dict[str, Process]) -> None:
    listed = [process.to_json() for process in processes.values()]
    records.write(path_of(data_folder), {"version": VERSION, "processes": listed})
