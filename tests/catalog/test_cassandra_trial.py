"""What is tried of a backup of Cassandra, and what counts as tried: without a ring."""

import pytest

from upcall.catalog.cassandra import trial
from upcall.catalog.cassandra.trial import Counts, Table, chosen, counted, statements
from upcall.protocol.errors import Conflict
from upcall.service.backup.manifest import Chunk, Part

OUTPUT = """
SSTable: /data/trial/upcall_trial/rows/nb-1-big
Partitions: 3
Rows: 12
Tombstones: 0
TTL max: 0
SSTable: /data/trial/upcall_trial/rows/nb-2-big
  Partitions: 1,000
  Rows: 1,024
  Tombstones: 2
TTL max: 86400 (1 day)
"""


def part(node: str, table: str, file: str, size: int) -> Part:
    return Part(name=f"data/{node}/flown/{table}/{file}", chunks=(Chunk("0" * 64, size),))


PARTS = [
    part(node, table, f"nb-{number}-big-{kind}", size)
    for node in ("node-0", "node-1")
    for table, size in (("rows", 10), ("flights", 30))
    for number in (1, 2)
    for kind in ("Data.db", "Index.db")
]


def test_the_tools_words_are_read_file_by_file() -> None:
    assert counted(OUTPUT) == Counts(partitions=1003, rows=1036, largest=1024, all_live=False)
    assert counted("nothing that it knows") == Counts()


def test_so_many_rows_are_there_as_the_files_can_have() -> None:
    table, live = Table("flown", "rows"), Counts(partitions=5, rows=30, largest=12)
    for read in (12, 30, 35):
        live.check(table, read)
    with pytest.raises(Conflict, match="one file alone 12"):
        live.check(table, 11)
    with pytest.raises(Conflict, match="its files 30"):
        live.check(table, 36)
    Counts(partitions=5, rows=30, largest=12, all_live=False).check(table, 0)


def test_whole_sstables_are_tried_within_the_bound_and_what_waited_longest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everything = chosen(PARTS, {})
    assert {str(table): sum(map(len, of.values())) for table, of in everything.items()} == {
        "flown.flights": 8,
        "flown.rows": 8,
    }
    monkeypatch.setattr(trial, "BYTES_MAX", 130)
    some = chosen(PARTS, {"flown.flights": 5.0, "flown.rows": 9.0})
    assert {str(table): sum(map(len, of.values())) for table, of in some.items()} == {"flown.flights": 4}
    after = chosen(PARTS, {"flown.flights": 10.0, "flown.rows": 9.0})
    assert {str(table): sum(map(len, of.values())) for table, of in after.items()} == {"flown.rows": 8}


def test_a_table_is_made_anew_in_the_trials_keyspace_with_its_types_alone() -> None:
    schema = {
        "statements": [
            "CREATE TYPE flown.place (lat double, lon double)",
            "CREATE TABLE flown.rows (id int PRIMARY KEY, text text) WITH comment = 'of flown.rows'",
            'CREATE TABLE flown."Flights" (day text, at frozen<place>, PRIMARY KEY (day))',
            "ALTER TABLE flown.rows DROP gone USING TIMESTAMP 5",
            "CREATE INDEX by_text ON flown.rows (text)",
            "CREATE MATERIALIZED VIEW flown.by_at AS SELECT * FROM flown.rows",
        ]
    }
    assert statements(schema, Table("flown", "rows"), "its_own") == [
        "CREATE TYPE its_own.place (lat double, lon double)",
        "CREATE TABLE its_own.rows (id int PRIMARY KEY, text text) WITH comment = 'of flown.rows'",
        "ALTER TABLE its_own.rows DROP gone USING TIMESTAMP 5",
    ]
    assert len(statements(schema, Table("flown", "Flights"), "its_own")) == 2
