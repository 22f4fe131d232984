"""A small shell for CQL: ``python -m upcall.catalog.cassandra.shell FILE``, with where and as whom in a file. ``cqlsh``
needs a Python of its own; this one needs the driver alone."""

import cmd
import json
import sys
from pathlib import Path
from typing import Any, Final

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import RoundRobinPolicy
from cassandra.query import dict_factory

ROWS_MAX: Final = 1000


class Shell(cmd.Cmd):
    intro = "CQL, each statement up to its `;`; quit (or Ctrl-D) leaves"
    prompt = "cql> "

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session
        self._begun = ""

    def onecmd(self, line: str) -> bool:
        if line == "EOF" or (not self._begun and line.strip().rstrip(";") in ("quit", "exit")):
            return True
        self._begun = f"{self._begun}\n{line}".strip()
        if self._begun.endswith(";"):
            statement, self._begun = self._begun, ""
            self._execute(statement)
        self.prompt = "...> " if self._begun else "cql> "
        return False

    def _execute(self, statement: str) -> None:
        try:
            rows = [row for row, _ in zip(self._session.execute(statement), range(ROWS_MAX), strict=False)]
        except Exception as error:  # What a server refuses and what the driver cannot do have no base in common.
            self._say(f"error: {' '.join(str(error).split())}")
            return
        except KeyboardInterrupt:
            self._say("")
            return
        if rows:
            self._say(" | ".join(rows[0]))
        for row in rows:
            self._say(" | ".join(str(value) for value in row.values()))
        self._say(f"({len(rows)} rows)" if len(rows) != 1 else "(1 row)")

    def _say(self, words: str) -> None:
        self.stdout.write(f"{words}\n")
        self.stdout.flush()


def connected(file: Path) -> Any:
    login = json.loads(file.read_text(encoding="utf-8"))
    who = PlainTextAuthProvider(login["username"], login["password"]) if "username" in login else None
    profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), row_factory=dict_factory)
    profiles = {EXEC_PROFILE_DEFAULT: profile}
    return Cluster(login["hosts"], port=login["port"], auth_provider=who, execution_profiles=profiles).connect()


def main(file: str) -> int:
    try:
        session = connected(Path(file))
    except Exception as error:
        sys.stderr.write(f"error: no node lets it in: {' '.join(str(error).split())}\n")
        return 1
    Shell(session).cmdloop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
