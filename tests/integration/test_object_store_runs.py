"""A whole service's backup in an S3 server on loopback, on a real cluster; who logs in there is on no command line, and
in no log."""

import json
from pathlib import Path
from typing import Any

from real_cluster import Cluster
from typer.testing import CliRunner

from live_files import content, files
from s3_server import BUCKET, KEY, SECRET, s3_server
from upcall.cli.main import application

SHELF = str(Path(__file__).parent / "packages" / "shelf.py")
PLACE = f"s3://{BUCKET}/company"


def told(cluster: Cluster, *words: str) -> Any:
    return json.loads(cluster.upcall(*words, "-o", "json").stdout)


def test_what_goes_to_an_object_store_comes_back_and_nobody_sees_who_logs_in(cluster: Cluster, tmp_path: Path) -> None:
    with s3_server(tmp_path) as endpoint:
        cluster.upcall("install", SHELF)
        cluster.until_ready("shelf.shelf-0")
        words = ["secret", "set", "s3-backups", "--data", str(cluster.data)]
        said = CliRunner().invoke(application("secret"), words, input=f"{KEY}:{SECRET}\n")
        assert said.exit_code == 0, said.output
        how = ("--secret", "s3-backups", "--endpoint", endpoint)
        made = []
        for name in "abc":
            cluster.upcall("service", "do", "shelf", "put", f"name={name}", f"text=all of {name}")
            made.append(told(cluster, "backup", "shelf", "--to", PLACE, *how))
        assert [each["new_bytes"] for each in made] == [len("all of a")] * 3
        assert all(each["backup"].startswith(f"{PLACE}/shelf/shelf-") and each["verified"] for each in made)
        would = told(cluster, "backup", "remove", "shelf", "--keep", "1", "--dry-run", *how)
        went = told(cluster, "backup", "remove", "shelf", "--keep", "1", "--from", PLACE, "--yes", *how)
        assert went["backups"] == would["backups"] == [each["id"] for each in made[:2]]
        listed = told(cluster, "backup", "list", "shelf", "--at", PLACE, *how)
        assert [each["id"] for each in listed] == [made[2]["id"]]
        cluster.upcall("service", "do", "shelf", "put", "name=a", "text=spoilt")
        cluster.upcall("restore", made[2]["backup"], "--over", "a,b,c", *how)
        assert told(cluster, "service", "do", "shelf", "books") == {each: f"all of {each}" for each in "abc"}
        wrong = cluster.refused("backup", "shelf", "--to", PLACE, "--endpoint", endpoint)
        assert SECRET not in wrong
        assert [path for path in Path("/proc").glob("[0-9]*/cmdline") if SECRET.encode() in content(path)] == []
    written = [path for path in files(cluster.data) if "secrets" not in path.parts]
    assert [path for path in written if SECRET.encode() in content(path)] == []
