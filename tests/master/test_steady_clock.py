"""The machine's clock jumps: what is to last lasts as long as it was to, it is told, and a restart changes nothing."""

from pathlib import Path

import pytest

from upcall.master.steady_clock import SteadyClock

YEAR_S = 365 * 86_400.0
DAY_S = 86_400.0


class Machine:
    def __init__(self) -> None:
        self.now_s, self.wall_s, self.boot = 100.0, 1_700_000_000.0, "boot-1"

    def pass_by(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_s += seconds

    def clock(self, file: Path | None = None) -> SteadyClock:
        return SteadyClock(file, machine=lambda: self.wall_s, passed=lambda: self.now_s, boot=lambda: self.boot)


def test_a_clock_that_drifts_or_slept_is_the_machines() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(100):
        machine.pass_by(60)
        machine.wall_s += 0.5
        assert clock() == pytest.approx(machine.wall_s)
    machine.pass_by(7 * DAY_S)  # a sleep
    assert clock() == pytest.approx(machine.wall_s)
    assert clock.news() == []


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S, 3600.0, -3600.0])
def test_a_jump_ends_no_grace_before_nine_tenths_of_it_have_passed(jump_s: float) -> None:
    machine = Machine()
    clock = machine.clock()
    began_s = clock()
    machine.wall_s += jump_s
    for _ in range(24):
        machine.pass_by(3600 / 24)
        clock()
    assert 0.9 * 3600 - 1 <= clock() - began_s <= 1.1 * 3600 + 1
    (told,) = clock.news()
    assert f"jumped {'forward' if jump_s > 0 else 'back'} by " in told


def test_a_clock_that_is_put_right_again_is_believed_and_both_is_told_once() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_s += YEAR_S
    clock()
    machine.pass_by(10)
    machine.wall_s -= YEAR_S
    assert clock() == pytest.approx(machine.wall_s, abs=2)
    assert len(clock.news()) == 2
    assert clock.news() == []


def test_an_hour_is_caught_up_with_in_ten_and_told_at_its_begin_and_its_end() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_s += 3600
    for _ in range(11 * 60):
        machine.pass_by(60)
        clock()
    assert clock() == pytest.approx(machine.wall_s)
    assert [told.partition(" jumped")[0].partition(" is b")[0] for told in clock.news()] == ["the machine's clock"] * 2


def test_the_next_start_of_the_master_does_not_jump_and_the_next_start_of_the_machine_believes_it(
    tmp_path: Path,
) -> None:
    machine, file = Machine(), tmp_path / "clock.json"
    clock = machine.clock(file)
    before_s = clock()
    machine.wall_s += YEAR_S
    clock()
    machine.pass_by(60)
    assert machine.clock(file)() - before_s < 120
    machine.boot = "boot-2"
    assert machine.clock(file)() == pytest.approx(machine.wall_s)


def test_a_file_that_cannot_be_read_is_no_reason_not_to_start(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    file.write_text("{")
    machine = Machine()
    assert machine.clock(file)() == pytest.approx(machine.wall_s)
