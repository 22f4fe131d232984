"""What stands on the command line as ``key=value``."""

from pathlib import Path

import pytest

from upcall.cli.values import parse_pairs
from upcall.protocol.errors import Invalid


def test_values_are_as_yaml_reads_them_unless_they_stay_text() -> None:
    found = parse_pairs(["brokers=3", "config.min.insync.replicas=2", "name:=7", "on=true"], "--set")
    assert found == {"brokers": 3, "config": {"min.insync.replicas": 2}, "name": "7", "on": True}


def test_a_value_may_be_the_text_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("print(1)\n")
    assert parse_pairs([f"program=@{tmp_path}/job.py"], "do") == {"program": "print(1)\n"}


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), (b"\xff\xfe", "is not text")])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "job.py").write_bytes(content)
    with pytest.raises(Invalid, match=message):
        parse_pairs([f"program=@{tmp_path}/job.py"], "do")
