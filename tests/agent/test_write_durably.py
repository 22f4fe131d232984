"""A file that several write at once is whole, whoever was last."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from upcall.agent.checkpoint import write_durably


def test_many_writers_of_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    data = b"x" * 100_000
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write_durably(path, data), range(40)))
    assert path.read_bytes() == data
    assert [each.name for each in tmp_path.iterdir()] == ["blob"]
