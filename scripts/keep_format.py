"""Keeps what this release writes into a data folder, as text, for the tests of all releases that come later.

    python scripts/keep_format.py            writes tests/store/formats/<this release>/

A small cluster is run for that: a service of two members, a changed option, a drained node, all of it down again. Of
the catalog's packages nothing is kept (each start registers them anew), and of blobs and events neither.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from upcall import __version__
from upcall.store.migrations import APPLICATION_ID

ROOT = Path(__file__).parents[1]
FORMATS = ROOT / "tests" / "store" / "formats"
COMMANDS = (
    ("up", "--nodes", "2", "--memory-mib-per-node", "256"),
    ("install", str(ROOT / "examples" / "hello.py"), "--set", "count=2"),
    ("update", "hello", "--set", "greeting=servus"),
    ("node", "drain", "node-2"),
)


def main() -> None:
    target = FORMATS / __version__
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="format-") as scratch:
        data = Path(scratch).resolve() / "data"
        try:
            for words in COMMANDS:
                _upcall(data, *words)
            (checkpoint,) = (data / "nodes" / "node-1").glob("checkpoint*.json")
            agents = checkpoint.read_bytes()
        finally:
            _upcall(data, "down")
        places = {
            str(data): "/data",
            sys.executable: "/usr/bin/python3",
            str(ROOT): "/source",
            str(Path.home()): "/home",
        }

        def write(name: str, text: str) -> None:
            for place, stands_for in places.items():
                text = text.replace(place, stands_for)
            (target / name).write_text(text)

        write("records.sql", "".join(f"{line};\n" for line in _records(data / "master" / "upcall.sqlite")))
        write("cluster.json", _indented((data / "cluster.json").read_bytes()))
        write("checkpoint.json", _indented(agents))


def _upcall(data: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "upcall.cli", *words, "--data", str(data)], check=True, cwd="/")


def _records(database: Path) -> list[str]:
    """As SQL, with the values readable."""
    with sqlite3.connect(database) as connection:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        tables = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        counters = [f"INSERT INTO counter VALUES ('{name}', {value})" for name, value in
                    connection.execute("SELECT name, value FROM counter ORDER BY name")]  # fmt: skip
        rows = connection.execute("SELECT kind, key, value, version FROM records ORDER BY version").fetchall()
    records = [
        f"INSERT INTO records VALUES ('{kind}', '{key}', CAST('{_quoted(value)}' AS BLOB), {version})"
        for kind, key, value, version in rows
        if kind != "package" or key.startswith("hello")
    ]
    return [
        *tables,
        *counters,
        *records,
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {schema}",
    ]


def _quoted(value: bytes) -> str:
    return value.decode().replace("'", "''")


def _indented(data: bytes) -> str:
    return json.dumps(json.loads(data), indent=1) + "\n"


if __name__ == "__main__":
    main()
