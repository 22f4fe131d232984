"""What a frame promises: every bit comes back, damage is noticed, a newer format is named as such."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from upcall.fastdata import frames
from upcall.fastdata.frames import CorruptFrame, Frame, FutureFrame, decode, encode, inspect
from upcall.fastdata.packing import Packing

counts_arrays = hnp.arrays(
    np.int16, st.tuples(st.integers(1, 40), st.integers(1, 30)), elements=st.integers(-32_768, 32_767)
)
packings = st.sampled_from(list(Packing))


def a_frame(counts: np.ndarray | None = None, run_id: str = "a380-7", block: int = 3, first_sample: int = 128) -> Frame:
    if counts is None:
        counts = np.arange(32 * 50, dtype=np.int16).reshape(32, 50)
    return Frame(run_id, block, first_sample, 128, counts)


@given(counts=counts_arrays, packing=packings, block=st.integers(0, 2**32 - 1), second=st.integers(0, 2**40))
def test_every_count_comes_back(counts: np.ndarray, packing: Packing, block: int, second: int) -> None:
    data = encode(a_frame(counts, block=block, first_sample=second * 128 + 3), packing)
    frame = decode(data)
    assert np.array_equal(frame.counts, counts)
    assert frame.counts.dtype == np.int16
    assert (frame.run_id, frame.block, frame.first_sample, frame.rate_hz) == ("a380-7", block, second * 128 + 3, 128)
    assert frame.second == second
    assert frame.last_sample == second * 128 + 3 + len(counts) - 1
    header = inspect(data)
    assert (header.block, header.first_sample, header.last_sample, header.second, header.packing) == (
        block,
        frame.first_sample,
        frame.last_sample,
        second,
        packing,
    )


@given(counts=counts_arrays, packing=packings, data=st.data())
def test_one_changed_byte_is_noticed(counts: np.ndarray, packing: Packing, data: st.DataObject) -> None:
    good = encode(a_frame(counts), packing)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptFrame):
        decode(bytes(bad))


@given(counts=counts_arrays, packing=packings, data=st.data())
def test_a_frame_cut_short_or_continued_is_noticed(counts: np.ndarray, packing: Packing, data: st.DataObject) -> None:
    good = encode(a_frame(counts), packing)
    with pytest.raises(CorruptFrame):
        decode(good[: data.draw(st.integers(0, len(good) - 1))])
    with pytest.raises(CorruptFrame):
        decode(good + b"\0")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_clearly(data: bytes) -> None:
    with pytest.raises(frames.FrameError):
        decode(data)


def test_a_newer_version_is_named_and_not_called_damage() -> None:
    data = bytearray(encode(a_frame()))
    data[4], data[5] = 9, 9 ^ 0xFF
    with pytest.raises(FutureFrame, match=r"version 9 .*versions up to 1"):
        inspect(bytes(data))


def test_a_version_that_never_existed_is_damage() -> None:
    data = bytearray(encode(a_frame()))
    data[4], data[5] = 0, 0xFF
    with pytest.raises(CorruptFrame, match="version 0"):
        inspect(bytes(data))


def resealed(data: bytes, **changes: tuple[int, bytes]) -> bytes:
    """The frame with bytes replaced and its checksum made right again: written wrongly, not damaged."""
    body = bytearray(data[:-4])
    for place, new in changes.values():
        body[place : place + len(new)] = new
    return bytes(body) + zlib.crc32(body).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("place", "new", "says"),
    [
        (6, b"\x63", "99"),
        (20, b"\0\0", "a rate of 0 Hz"),
        (22, b"\0\0", "no samples"),
        (22, b"\xff\x00", "cross a second"),
        (24, b"\xff\xff", "65535 sensors"),
        (24, b"\x07\x00", "bytes of counts"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(place: int, new: bytes, says: str) -> None:
    with pytest.raises(CorruptFrame, match=says):
        decode(resealed(encode(a_frame()), change=(place, new)))


def test_a_huge_claim_allocates_nothing() -> None:
    """4,096 sensors by 128 samples claimed over a few packed bytes."""
    data = encode(a_frame(np.zeros((1, 1), np.int16), first_sample=0))
    with pytest.raises(CorruptFrame, match="claims 2 bytes"):
        decode(resealed(data, samples=(22, b"\x80\x00"), sensors=(24, b"\x00\x10")))


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (a_frame(first_sample=120), "cross a second"),
        (a_frame(first_sample=-1), "counted from 0"),
        (a_frame(run_id=""), "1 to 255 characters"),
        (a_frame(np.zeros((2, 5_000), np.int16)), "5000 sensors"),
        (a_frame(np.zeros((2, 5), np.int32)), "int16"),
    ],
)
def test_a_frame_nobody_would_take_is_refused_at_its_source(frame: Frame, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        encode(frame)


def test_the_format_on_the_wire_does_not_change() -> None:
    """Frames stay for days in a topic and in the store: what was written must be read by every later version."""
    counts = np.array([[1, -2, 300], [2, -3, -300]], np.int16)
    recorded = {
        Packing.RAW: (
            "5550465201fe00060500000000010000000000008000020003000c000000613338302d370100feff2c010200fdffd4fe"
        ),
    }
    data = encode(a_frame(counts, block=5, first_sample=256), Packing.RAW)
    assert data[:-4].hex() == recorded[Packing.RAW]
    assert int.from_bytes(data[-4:], "little") == zlib.crc32(data[:-4])


def test_the_default_packing_lays_folded_differences_low_bytes_first() -> None:
    """Undone here by hand, so that the layout stays what the module says."""
    import zstandard

    counts = np.array([[1, -2, 300], [2, -3, -300]], np.int16)
    data = encode(a_frame(counts, block=5, first_sample=256))
    plain = zstandard.ZstdDecompressor().decompress(data[30 + 6 : -4])
    folded = [2, 3, 600, 2, 1, 1199]  # differences 1, -2, 300, 1, -1, -600
    assert plain == bytes(value & 0xFF for value in folded) + bytes(value >> 8 for value in folded)
