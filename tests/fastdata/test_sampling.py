"""Which readings are taken when, and in how long frames."""

import numpy as np
from practice import practice_flight, practice_run

from upcall.fastdata.frames import decode
from upcall.fastdata.generator import Generator
from upcall.fastdata.sampling import Sampler

FLIGHT = practice_flight()


def a_sampler(**changes: object) -> Sampler:
    return Sampler(practice_run(FLIGHT, blocks=2, **changes), FLIGHT)


def test_frames_are_short_while_all_is_well_and_long_with_a_backlog() -> None:
    sampler = a_sampler()
    assert sampler.stretch(due_samples=32, buffered_readings=0) == 32
    assert sampler.stretch(due_samples=300, buffered_readings=0) == 128
    assert sampler.stretch(due_samples=32, buffered_readings=3 * sampler.readings_a_second) == 128
    sampler.advance(32)
    assert sampler.stretch(due_samples=64, buffered_readings=3 * sampler.readings_a_second) == 96
    assert sampler.stretch(due_samples=64, buffered_readings=0) == 32


def test_fast_rates_make_no_frame_that_kafka_refuses() -> None:
    sampler = a_sampler(rate_hz=1_024)
    assert sampler.stretch(1_024 * 100, 0) == 256
    assert sampler.stretch(256, 0) == 256


def test_no_frame_crosses_a_second_and_none_is_left_out() -> None:
    sampler = a_sampler()
    taken = 0
    for turn in range(60):
        samples = sampler.stretch(sampler.position + (500 if turn % 7 > 3 else 32), 0)
        assert sampler.position // 128 == (sampler.position + samples - 1) // 128
        assert sampler.position == taken
        sampler.advance(samples)
        taken += samples


def test_frames_hold_the_readings_of_the_run() -> None:
    sampler = a_sampler()
    sampler.advance(1_280)
    packed = sampler.take(32)
    generator = Generator(sampler.run, FLIGHT)
    assert [each.key.block for each in packed] == [0, 10]
    for each in packed:
        frame = decode(each.frame)
        assert (frame.run_id, frame.block, frame.first_sample) == (sampler.run.run_id, each.key.block, 1_280)
        assert np.array_equal(frame.counts, generator.generate(each.key.block, 1_280, 32))
        assert each.readings == 32_000
    assert sampler.position == 1_280


def test_after_a_long_stop_what_cannot_be_kept_is_skipped_and_counted() -> None:
    sampler = a_sampler()
    sampler.advance(160)  # in the midst of second 1
    assert sampler.skip(due_samples=160 + 120 * 128, buffer_s=120) == 0
    skipped = sampler.skip(due_samples=500 * 128, buffer_s=120)
    assert sampler.position % 128 == 0
    assert skipped == (sampler.position - 160) * 2_000
    assert sampler.second == 500 - 120
    assert sampler.skip(due_samples=500 * 128, buffer_s=120) == 0


def test_after_the_flight_comes_the_next_loop() -> None:
    sampler = a_sampler(begin_s=1_198, seconds=2)
    first = sampler.run
    sampler.advance(128)
    sampler.advance(128)
    assert sampler.ordinal == 1
    assert (sampler.position, sampler.seconds_taken) == (0, 2)
    assert sampler.run == first.next_loop()
    assert sampler.take(32)[0].key.ordinal == 1
    assert sampler.runs == {0: first, 1: sampler.run}
    sampler.forget_runs({0})
    assert set(sampler.runs) == {0, 1}
    sampler.forget_runs(set())
    assert set(sampler.runs) == {1}
