"""The modelled readings: pure, the same however they are asked for, the same on every machine."""

import hashlib

import numpy as np
import pytest
from practice import practice_flight, practice_run

from upcall.fastdata import hashing, physics, sensors
from upcall.fastdata.faults import Fault, FaultKind, schedule
from upcall.fastdata.generator import Generator, _sine
from upcall.fastdata.hashing import Stream
from upcall.fastdata.noise import noise_table
from upcall.fastdata.sensors import TABLE, Kind

FLIGHT = practice_flight()
RUN = practice_run(FLIGHT)
QUIET = practice_run(FLIGHT, faults="none")


def test_readings_do_not_depend_on_how_time_is_cut() -> None:
    whole = Generator(RUN, FLIGHT).generate(3, 1_000, 700)
    other = Generator(RUN, FLIGHT)
    for step in (1, 32, 37, 128, 500):
        pieces = [other.generate(3, at, min(step, 1_700 - at)) for at in range(1_000, 1_700, step)]
        assert np.array_equal(np.concatenate(pieces), whole)


def test_readings_do_not_depend_on_what_was_asked_before() -> None:
    one, two = Generator(RUN, FLIGHT), Generator(RUN, FLIGHT)
    for block in reversed(range(sensors.BLOCKS)):
        two.generate(block, 99_000, 128)
    assert np.array_equal(one.generate(17, 5_000, 128), two.generate(17, 5_000, 128))


def test_the_bits_are_the_same_on_every_machine_and_in_every_version() -> None:
    """What is computed for a stored run must be what was stored: a change here needs a new version of the run."""
    digest = hashlib.sha256()
    for noise in ("normal", "heavy"):
        generator = Generator(practice_run(FLIGHT, noise=noise), FLIGHT)
        for block in range(sensors.BLOCKS):
            for second in (0, 9, 50, 300, 601, 1_199):
                digest.update(generator.generate(block, second * 128, 128).astype("<i2").tobytes())
    assert digest.hexdigest() == "5213a29190d269b29cbd88c40744fbb9ee6d3564da40319894a0a8a6ceb4d2e9"


def test_seeds_and_rates_give_other_readings() -> None:
    base = Generator(RUN, FLIGHT).generate(0, 0, 128)
    assert not np.array_equal(base, Generator(practice_run(FLIGHT, seed=8), FLIGHT).generate(0, 0, 128))
    quick = Generator(practice_run(FLIGHT, rate_hz=1_024), FLIGHT).generate(0, 0, 1_024)
    slow_mean, quick_mean = base.mean(axis=0), quick.mean(axis=0)
    assert np.abs(slow_mean - quick_mean).max() < 60  # the same flight, sampled more often


@pytest.mark.parametrize(("first", "samples"), [(-1, 5), (0, 0), (1_200 * 128 - 1, 2)])
def test_samples_outside_the_run_are_refused(first: int, samples: int) -> None:
    with pytest.raises(ValueError, match="has 0 to 153599"):
        Generator(RUN, FLIGHT).generate(0, first, samples)


def test_a_run_of_another_flight_or_beyond_its_end_is_refused() -> None:
    with pytest.raises(ValueError, match="is of flight"):
        Generator(practice_run(FLIGHT, flight_digest="0" * 64), FLIGHT)
    with pytest.raises(ValueError, match="lasts until second 1201"):
        Generator(practice_run(FLIGHT, seconds=1_201), FLIGHT)


def test_neighbours_read_the_same_value_but_for_noise_and_small_errors() -> None:
    generator = Generator(QUIET, FLIGHT)
    for block in (0, 7, 19):
        columns = sensors.block_slice(block)
        counts = generator.generate(block, 400 * 128, 128)
        values = TABLE.offset[columns] + TABLE.scale[columns] * counts
        grouped = values.reshape(128, sensors.GROUPS_PER_BLOCK, sensors.NEIGHBOURS)
        sigma = TABLE.noise_units[columns].reshape(sensors.GROUPS_PER_BLOCK, sensors.NEIGHBOURS)
        residual = (grouped - np.median(grouped, axis=2, keepdims=True)) / sigma
        assert np.abs(residual.mean(axis=0)).max() < 16  # 3 of bias, a thousandth of the driver
        assert 0.8 < residual.std(axis=0).mean() < 1.15


def test_no_converter_saturates() -> None:
    model = physics.build_model(FLIGHT, 7)
    assert all(np.abs(model.drivers(second)).max() < physics.DRIVER_MAX for second in range(FLIGHT.seconds))
    generator = Generator(RUN, FLIGHT)
    for second in range(0, 1_200, 150):
        for block in (0, 9):
            assert np.abs(generator.generate(block, second * 128, 16).astype(int)).max() < 32_000


def test_the_flight_drives_the_sensors() -> None:
    """High up it is cold, the air is thin, and fuel has been burnt."""
    generator = Generator(QUIET, FLIGHT)

    def mean_value(kind: Kind, second: int) -> float:
        columns = dict(sensors.kind_slices())[kind]
        counts = generator.generate(0, second * 128, 128)[:, columns].mean(axis=0)
        return float((TABLE.offset[:1_000][columns] + TABLE.scale[:1_000][columns] * counts).mean())

    low, high = 5, 600
    assert mean_value(Kind.TEMPERATURE, low) > mean_value(Kind.TEMPERATURE, high) + 8  # less the ram rise
    assert mean_value(Kind.PRESSURE, low) > 900 > 500 > mean_value(Kind.PRESSURE, high)
    assert mean_value(Kind.FUEL, low) > mean_value(Kind.FUEL, high) + 100
    assert abs(mean_value(Kind.STRAIN, low)) > 100


def differences(fault: Fault, first: int, samples: int) -> np.ndarray:
    """What a fault changed in its sensor's counts."""
    faulty = Generator(RUN, FLIGHT).generate(fault.block, first, samples)
    healthy = Generator(QUIET, FLIGHT)
    column = fault.sensor % sensors.SENSORS_PER_BLOCK
    clean = np.array([healthy.healthy_count(fault.sensor, first + at) for at in range(samples)])
    return faulty[:, column].astype(int) - clean  # type: ignore[no-any-return]


def of_kind(kind: FaultKind) -> Fault:
    return next(fault for fault in schedule(RUN) if fault.kind is kind)


def test_a_step_adds_a_constant_while_it_lasts() -> None:
    fault = of_kind(FaultKind.STEP)
    around = differences(fault, fault.begin_sample - 5, 200)
    assert around[:5].tolist() == [0] * 5
    assert set(around[5:].tolist()) == {fault.magnitude_counts}
    assert differences(fault, fault.end_sample - 1, 2).tolist() == [fault.magnitude_counts, 0]


def test_a_spike_is_one_sample() -> None:
    fault = of_kind(FaultKind.SPIKE)
    assert differences(fault, fault.begin_sample - 1, 3).tolist() == [0, fault.magnitude_counts, 0]


def test_a_stuck_sensor_repeats_its_first_count() -> None:
    fault = of_kind(FaultKind.STUCK)
    column = fault.sensor % sensors.SENSORS_PER_BLOCK
    length = fault.end_sample - fault.begin_sample
    counts = Generator(RUN, FLIGHT).generate(fault.block, fault.begin_sample, length)[:, column]
    assert set(counts.tolist()) == {Generator(QUIET, FLIGHT).healthy_count(fault.sensor, fault.begin_sample)}


def test_noise_is_multiplied() -> None:
    fault = of_kind(FaultKind.NOISE)
    column = fault.sensor % sensors.SENSORS_PER_BLOCK
    added = differences(fault, fault.begin_sample, 1_000)
    expected = (fault.magnitude_sigma - 1) * TABLE.noise_counts[fault.sensor]
    assert abs(added.std() / expected - 1) < 0.1
    assert column >= 0


def test_a_drift_grows_to_its_magnitude() -> None:
    fault = of_kind(FaultKind.DRIFT)
    length = fault.end_sample - fault.begin_sample
    ends = [differences(fault, fault.begin_sample + at, 1)[0] for at in (0, length // 2, length - 1)]
    assert ends[0] == 0
    assert abs(ends[1] - fault.magnitude_counts / 2) <= 1
    assert abs(ends[2] - fault.magnitude_counts) <= 1


def test_only_the_faulty_sensor_changes() -> None:
    fault = of_kind(FaultKind.STEP)
    faulty = Generator(RUN, FLIGHT).generate(fault.block, fault.begin_sample, 100)
    healthy = Generator(QUIET, FLIGHT).generate(fault.block, fault.begin_sample, 100)
    changed = set(np.flatnonzero((faulty != healthy).any(axis=0)).tolist())
    labelled = {
        each.sensor % 1_000
        for each in schedule(RUN)
        if each.block == fault.block and each.touches(fault.begin_sample, 100)
    }
    assert changed <= labelled
    assert fault.sensor % 1_000 in changed


@pytest.mark.parametrize(("noise", "most"), [("normal", 4.4), ("heavy", 7.1)])
@pytest.mark.parametrize("sigma", [3, 4, 6])
def test_noise_has_its_deviation_and_its_tails(noise: str, most: float, sigma: int) -> None:
    table = noise_table(sigma, noise).astype(int)
    assert table.mean() == 0
    assert sigma * 0.999 < table.std() < sigma * 1.06
    assert most - 0.6 < table.max() / sigma <= most
    assert table.min() == -table.max()
    assert (np.diff(table) >= 0).all()


def test_the_noise_of_neighbours_and_of_following_samples_is_independent() -> None:
    generator = Generator(QUIET, FLIGHT)
    noise = np.concatenate([generator._noise(0, second * 128, 128) for second in range(40)]).astype(float)
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0)
    between = noise[:, :200].T @ noise[:, :200] / len(noise)
    assert np.abs(between - np.eye(200)).max() < 0.08  # 5.7 deviations of 5,120 samples
    assert np.abs((noise[1:] * noise[:-1]).mean(axis=0)).max() < 0.08


def test_words_are_the_same_alone_and_in_arrays() -> None:
    numbers = np.array([0, 1, 2, 1_000, 2**40, 2**62])
    for stream in Stream:
        assert hashing.words(9, stream, numbers).tolist() == [hashing.word(9, stream, int(n)) for n in numbers]


def test_streams_and_seeds_are_far_apart() -> None:
    drawn = {hashing.word(seed, stream, n) for seed in range(50) for stream in Stream for n in range(50)}
    assert len(drawn) == 50 * len(Stream) * 50


def test_the_sine_is_one() -> None:
    phase = np.arange(0, 65_536, 7)
    assert np.abs(_sine(phase) / 16_384 - np.sin(phase * np.pi / 32_768)).max() < 0.002
