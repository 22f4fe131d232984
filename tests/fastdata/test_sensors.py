"""The sensor table: numbers, names, groups, exact calibration, places on the wings."""

import numpy as np
import pytest

from upcall.fastdata import sensors
from upcall.fastdata.sensors import TABLE, Kind


def test_names_and_numbers_are_one_to_one() -> None:
    names = [sensors.name(sensor) for sensor in range(sensors.SENSORS)]
    assert len(set(names)) == sensors.SENSORS
    assert [sensors.number(each) for each in names] == list(range(sensors.SENSORS))
    assert names[3_267] == "L03-STR-05-17"


@pytest.mark.parametrize(
    "bad", ["", "L03", "L03-VIB-05-17", "X03-STR-05-17", "L10-STR-05-17", "L3-STR-5-17", "L03-STR-05-50"]
)
def test_a_name_of_no_sensor_is_one_clear_error(bad: str) -> None:
    with pytest.raises(ValueError, match=r"no sensor .*names are like"):
        sensors.number(bad)


def test_a_number_of_no_sensor_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match="0 to 19999"):
        sensors.name(20_000)
    with pytest.raises(ValueError, match="0 to 19"):
        sensors.block_slice(20)


def test_both_wings_have_all_kinds_alike() -> None:
    left, right = TABLE.kind[: sensors.SENSORS_PER_WING], TABLE.kind[sensors.SENSORS_PER_WING :]
    assert np.array_equal(left, right)
    assert np.bincount(left).tolist() == [4_000, 2_000, 1_500, 1_000, 500, 1_000]


def test_a_group_lies_in_one_block_and_is_of_one_kind() -> None:
    for sensor in range(0, sensors.SENSORS, 37):
        group = sensors.neighbours(sensor)
        assert len(group) == sensors.NEIGHBOURS
        assert sensor in group
        assert {sensors.block_of(each) for each in group} == {sensors.block_of(sensor)}
        assert {sensors.kind_of(each) for each in group} == {Kind(TABLE.kind[sensor])}


def test_kind_slices_cover_a_block() -> None:
    kinds = np.full(sensors.SENSORS_PER_BLOCK, -1)
    for kind, columns in sensors.kind_slices():
        kinds[columns] = kind
    for block in range(sensors.BLOCKS):
        assert np.array_equal(TABLE.kind[sensors.block_slice(block)], kinds)


def test_values_are_exact_in_single_precision() -> None:
    counts = np.array([[-32_768], [-1_001], [-1], [0], [1], [777], [32_767]])
    exact = TABLE.offset + TABLE.scale * counts
    single = TABLE.offset.astype(np.float32) + TABLE.scale.astype(np.float32) * counts.astype(np.float32)
    assert np.array_equal(single.astype(np.float64), exact)


def test_the_zero_count_reads_as_the_kinds_zero() -> None:
    zero = np.array([sheet.zero for sheet in sensors.SHEETS])[TABLE.kind]
    assert np.array_equal(TABLE.offset + TABLE.scale * TABLE.zero_counts, zero)


def test_every_sensor_has_a_place_of_its_own_on_its_wing() -> None:
    places = set(zip(TABLE.x_mm.tolist(), TABLE.y_mm.tolist(), strict=True))
    assert len(places) == sensors.SENSORS
    assert (TABLE.y_mm[: sensors.SENSORS_PER_WING] < 0).all()
    assert np.array_equal(TABLE.y_mm[: sensors.SENSORS_PER_WING], -TABLE.y_mm[sensors.SENSORS_PER_WING :])
    assert 3_600 <= np.abs(TABLE.y_mm).min() < np.abs(TABLE.y_mm).max() <= 39_900


def test_neighbours_stand_side_by_side() -> None:
    for group in range(0, sensors.GROUPS, 7):
        members = slice(group * sensors.NEIGHBOURS, (group + 1) * sensors.NEIGHBOURS)
        assert np.ptp(TABLE.y_mm[members]) < 1_000
        assert np.ptp(TABLE.x_mm[members]) < 5_000


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        TABLE.scale[0] = 2.0
