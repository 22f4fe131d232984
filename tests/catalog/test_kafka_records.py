"""Stretches of a log as bytes, and what of an earlier copy is still so."""

from hypothesis import given
from hypothesis import strategies as st

from upcall.catalog.kafka.copying import chains, known, name_of
from upcall.catalog.kafka.records import Record, Stretch, before, packed, unpacked
from upcall.service.backup import Part

HEADERS = st.none() | st.lists(
    st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), min_size=1, max_size=3
)
RECORDS = st.lists(
    st.tuples(st.integers(-1, 2**40), st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=9), HEADERS),
    max_size=20,
)


@given(RECORDS, st.integers(0, 20))
def test_records_come_out_as_they_went_in(
    records: list[tuple[int, bytes, bytes, list[tuple[str, bytes]]]], skip: int
) -> None:
    stretch = Stretch()
    for number, record in enumerate(records):
        stretch.add(number * 2, *record)  # type: ignore[arg-type]
    found = list(unpacked(packed(stretch), skip))
    assert found == [Record(number * 2, *record) for number, record in enumerate(records)][skip:]  # type: ignore[arg-type]


def test_an_offset_between_two_records_is_that_of_the_next() -> None:
    stretch = Stretch()
    for offset in (3, 4, 7):
        stretch.add(offset, 0, None, b"x", None)
    assert [before(packed(stretch), offset) for offset in (0, 3, 5, 7, 8)] == [0, 0, 2, 2, 3]


def part(first: int, following: int, topic: str = "id") -> Part:
    about = {"topic_id": topic, "first": first, "next": following, "records": following - first}
    return Part(name=name_of("orders", 0, first), about=about)


def test_of_an_earlier_copy_stays_what_has_no_gap_and_lies_within_the_log() -> None:
    chain = [part(0, 10), part(10, 25), part(25, 30)]
    assert known(chain, "id", 0, 40) == chain
    assert known(chain, "id", 12, 40) == chain[1:], "retention has removed the first"
    assert known(chain, "id", 0, 27) == chain[:2], "the log was cut"
    assert known(chain, "other", 0, 40) == [], "the topic was made anew"
    assert known([chain[0], chain[2]], "id", 0, 40) == chain[:1]


def test_stretches_are_found_by_their_partition_in_their_order() -> None:
    parts = {each.name: each for each in (part(10, 20), part(2, 10), part(100, 120))}
    assert [each.about["first"] for each in chains(parts)["orders", 0]] == [2, 10, 100]
