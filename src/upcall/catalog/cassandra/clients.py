"""How clients of a Cassandra connect, as it stands."""

from typing import Final

from upcall.service import Client

LOGIN: Final = """\
{
 "username": "{{user}}", "password": "{{password}}",
 "hosts": {{hosts}}, "port": {{port}}
}
"""
PYTHON: Final = """\
import json
from pathlib import Path
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster

login = json.loads(Path("{{folder}}/login.json").read_text())
who = PlainTextAuthProvider(login["username"], login["password"]) if "username" in login else None
session = Cluster(login["hosts"], port=login["port"], auth_provider=who).connect()
print(session.execute("SELECT release_version FROM system.local").one())"""
CQLSHRC: Final = """\
{{login}}[authentication]
username = {{user}}
password = {{password}}
"""

CLIENTS: Final = (
    Client(
        "Python (cassandra-driver)", "cql", PYTHON, {"login.json": LOGIN},
        shell=("{{python}}", "-m", "upcall.catalog.cassandra.shell", "{{folder}}/login.json"),
    ),
    Client("cqlsh", "cql", 'cqlsh --cqlshrc "{{folder}}/cqlshrc" {{host}} {{port}}', {"cqlshrc": CQLSHRC}),
)  # fmt: skip
